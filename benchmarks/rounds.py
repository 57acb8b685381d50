"""Sides take turns, and the best of the rounds counts."""
import time


def take_turns(sides, measure, rounds, seconds, best):
    """
    Give each of ``sides`` one turn in each round, and keep the smallest of each figure in ``best``, {side: {name:
    figure}}. The smallest is the one with the least noise: other processes on the machine only add.

    ``measure(side)``: the figures of a turn, {name: us a call}. ``rounds``: how many; fewer, but at least one, if they
    take more than ``seconds``.
    """
    deadline = time.monotonic() + seconds
    for number in range(rounds):
        if number and time.monotonic() > deadline:
            return
        for side in sides:
            known = best.setdefault(side, {})
            for name, figure in measure(side).items():
                known[name] = min(figure, known.get(name, figure))


def sides_of(rows):
    """All sides that ``rows`` need, each once, in a fixed order."""
    return list(dict.fromkeys(side for row in rows for side in (row.reference, row.measured)))
