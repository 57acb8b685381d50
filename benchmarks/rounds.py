"""Sides take turns, and the best of the rounds counts."""


def best_of(sides, measure, rounds):
    """
    The smallest of each figure, over ``rounds`` in which each of ``sides`` has one turn: {side: {name: figure}}.

    ``measure(side)``: the figures of one round, {name: us a call}. The smallest is the one with the least noise: what
    else runs on a machine only ever adds.
    """
    best = {}
    for _ in range(rounds):
        for side in sides:
            known = best.setdefault(side, {})
            for name, figure in measure(side).items():
                known[name] = min(figure, known.get(name, figure))
    return best


def sides_of(rows):
    """All sides that ``rows`` need, each once, in a fixed order."""
    return list(dict.fromkeys(side for row in rows for side in (row.reference, row.measured)))
