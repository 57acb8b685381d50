"""The judgement and the table of the benchmarks; nothing is measured."""
import json

import pytest

from benchmarks import __main__ as command_line
from benchmarks.errors import CannotMeasure
from benchmarks.report import Result, figure, missed, rows_as_data, save, table, text
from benchmarks.rounds import sides_of, take_turns
from benchmarks.rows import Row, at_least, at_most, baseline_rows, quick_rows
from benchmarks.sides import Side

RELEASED = Side("1.4.3", "old", "send")
THIS = Side("this", "old", "send")
ABOUT = {"command": "python -m benchmarks", "versions": {"server": "redis 7"}}


def result(target, reference, measured):
    """A result whose wall times are ``reference`` and ``measured``."""
    figures = [{"wall": wall, "client": 1.0, "server": 1.0} for wall in (reference, measured)]
    return Result(Row("send", "send, old stack", "1.4.3", RELEASED, THIS, "wall", target), *figures)


@pytest.mark.parametrize("target, reference, measured, ratio, verdict", [
    (at_least(2.5), 100, 40, 2.5, "reached"),
    (at_least(2.5), 100, 41, 100 / 41, "missed"),
    (at_least(2.5), 2497, 1000, 2.497, "reached"),
    (at_most(0.6), 100, 60, 0.6, "reached"),
    (at_most(0.6), 100, 61, 0.61, "missed"),
    (at_most(None), 100, 400, 4, "-"),
])
def test_a_verdict(target, reference, measured, ratio, verdict):
    judged = result(target, reference, measured)
    assert judged.ratio == pytest.approx(ratio)
    assert judged.verdict == verdict


def test_the_table_has_both_figures_and_the_target():
    lines = table([result(at_least(2.5), 1234.5, 45.67)]).splitlines()
    assert len(lines) == 5
    assert lines[0] == lines[2] == lines[4]
    assert lines[3].split("  ")[0] == "send, old stack"
    for shown in ("1,234 / 45.7", "27.03", ">= 2.5", "reached"):
        assert shown in lines[3]


def test_small_figures_have_a_decimal_and_large_ones_commas():
    assert [figure(value) for value in (0.25, 99.94, 100.4, 123456.7)] == ["0.2", "99.9", "100", "123,457"]


def test_what_was_missed_is_listed():
    results = [result(at_least(2.5), 100, 50), result(at_least(1.5), 100, 50)]
    assert missed(results) == ["Missed: send, old stack, against 1.4.3: 2.00, wanted >= 2.5."]


def test_the_data_hold_the_figures_and_the_table(tmp_path):
    results = [result(at_least(2.5), 100, 50)]
    save(tmp_path / "data", ABOUT["command"], ABOUT["versions"], text(results), rows=rows_as_data(results))
    data = json.loads((tmp_path / "data").read_text())
    assert {name: data["about"][name] for name in ("command", "versions")} == ABOUT and table(results) in data["text"]
    row, = data["rows"]
    assert (row["ratio"], row["verdict"], row["measured"]["us"]["wall"]) == (2.0, "missed", 50)


def test_sides_take_turns_and_the_best_of_each_figure_counts():
    rounds = {RELEASED: [(3, 1), (2, 9)], THIS: [(1, 4), (2, 3)]}
    turns = []

    def measure(side):
        turns.append(side)
        return dict(zip(("wall", "client"), rounds[side][(len(turns) - 1) // 2]))

    best = {}
    take_turns([RELEASED, THIS], measure, 2, 60, best)
    assert turns == [RELEASED, THIS] * 2
    assert best == {RELEASED: {"wall": 2, "client": 1}, THIS: {"wall": 1, "client": 3}}


def test_a_side_of_several_rows_is_measured_once():
    rows = [row for row in quick_rows() if row.name == "send"]
    sides = sides_of(rows)
    assert len(rows) == 3 and len(sides) == len(set(sides)) == 5


def test_a_baseline_is_compared_on_both_stacks():
    rows = baseline_rows(quick_rows(), "abc")
    assert {(row.reference.code, row.measured.code) for row in rows} == {("abc", "this")}
    assert {row.reference.stack for row in rows} == {"old", "newest"}
    assert {row.target.limit for row in rows} == {None}


def test_rows_are_chosen_by_name():
    chosen = command_line.chosen_rows(command_line.arguments(["--rows", "receive,send"]))
    assert {row.name for row in chosen} == {"send", "receive"}
    with pytest.raises(CannotMeasure, match="no row sned"):
        command_line.chosen_rows(command_line.arguments(["--rows", "sned"]))


def test_quick_leaves_out_what_takes_long():
    names = {row.name for row in command_line.chosen_rows(command_line.arguments(["--quick"]))}
    assert names == {row.name for row in quick_rows()}
    assert "http" in {row.name for row in command_line.chosen_rows(command_line.arguments(["--quick", "--http"]))}
