"""What is made of the clients' figures; nothing is measured."""
import pytest

from benchmarks import endtoend


def answers(**capacities):
    """Return a turn of sides that answer at most so many requests a second, and a list of the turns that they had."""
    turns = []

    def turn(side, rate):
        turns.append((side, rate))
        return {"answered": min(rate, capacities[side])}

    return turn, turns


def test_a_side_that_twice_cannot_answer_a_rate_is_not_asked_for_more():
    turn, turns = answers(slow=60, fast=400)
    rows = endtoend.climb([50, 100, 200], ["slow", "fast"], turn)
    assert turns == [
        ("slow", 50), ("fast", 50), ("slow", 100), ("slow", 100), ("fast", 100), ("fast", 200),
    ]
    assert [row["rate"] for row in rows if row["side"] == "slow"] == [50, 100]


def test_the_better_of_two_turns_counts():
    found = iter([{"answered": 10}, {"answered": 99}, {"answered": 200}])
    rows = endtoend.climb([100, 200], ["this"], lambda side, rate: next(found))
    assert [row["answered"] for row in rows] == [99, 200]


def test_the_share_of_a_broadcast_that_arrived():
    row = endtoend.summary({"each": [1.0, 2.0, 3.0], "last": [3.0, 9.0, 4.0]}, 12)
    assert row == {"arrived": 0.25, "p50": 2.0, "p99": 3.0, "last": 4.0}


def test_of_no_message_there_is_no_time():
    row = endtoend.summary({"each": [], "last": []}, 100)
    line = endtoend.broadcasts_table([dict(row, side="this", sockets=1000)]).splitlines()[3]
    assert line.split() == ["1,000", "this", "0.0", "%", "-", "-", "-"]


def test_an_unknown_part(capsys):
    with pytest.raises(SystemExit):
        endtoend.arguments(["--parts", "http,sned"])
    assert "there is no sned among: http, broadcasts" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["0", "20,-1", "20,x", ""])
def test_rates_are_positive_whole_numbers(words, capsys):
    with pytest.raises(SystemExit):
        endtoend.arguments(["--rates", words])
    assert "--rates: invalid numbers value: " + repr(words) in capsys.readouterr().err
