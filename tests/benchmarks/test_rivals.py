"""What the run beside other layers measures; nothing is measured."""
import pytest

from benchmarks import rivals

BY_NAME = {rival.name: rival for rival in rivals.RIVALS}
ROWS = {row.name: row for row in rivals.ROWS}


def test_redis_alone_is_measured_by_its_commands():
    assert rivals.side_of(BY_NAME["redis-py"], ROWS["receive"]).options == (("call", "lpop"),)
    assert rivals.side_of(BY_NAME["redis-py"], ROWS["encrypted"]) is None


def test_what_a_layer_lacks_is_left_out():
    assert rivals.side_of(BY_NAME["pubsub"], ROWS["receive"]) is None
    assert rivals.side_of(BY_NAME["core"], ROWS["receive-blocking"]).server == "core"


def test_what_a_layer_lacks_is_the_name_of_a_row():
    assert {name for names in rivals.LACKS.values() for name in names} <= set(ROWS)


def test_the_table_has_all_figures_and_a_dash_for_what_is_missing():
    results = [{"title": "woken", "figures": {"this": {"p50": 100.4, "p99": 12.34}}}]
    lines = rivals.table(results, [BY_NAME["this"], BY_NAME["core"]]).splitlines()
    assert lines[3].split("  ") == ["woken", "100 / 12.3", "-"]


@pytest.mark.parametrize("words", [["--rows", "sned"], ["--rivals", "1.4.3,sned"]])
def test_an_unknown_name(words, capsys):
    with pytest.raises(SystemExit):
        rivals.arguments(words)
    assert "there is no sned among" in capsys.readouterr().err
