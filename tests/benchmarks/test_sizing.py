"""The comparison of plans with set-ups: its judgement, and where its Daphnes are; nothing is measured."""
import pytest

from asgi_redis.tools.size.plan import most_together
from benchmarks import sizing
from benchmarks.errors import CannotMeasure


def period(requests=0, frames=0, seconds=2.0):
    return sizing.Period(seconds, {"requests": requests, "frames": frames}, {}, [])


@pytest.mark.parametrize("predicted, measured, verdict", [
    (100, 125, "right"),
    (100, 126, "wrong"),
    (100, 75, "right"),
    (100, 74, "wrong"),
    (None, 74, "-"),
])
def test_a_prediction_may_be_off_by_a_quarter(predicted, measured, verdict):
    assert sizing.Figure("CPU", measured, predicted).verdict == verdict


def test_the_table_has_a_title_for_each_set_up_and_a_dash_for_what_is_not_predicted():
    figures = [sizing.Figure("requests", 100), sizing.Figure("connections", 11, 10)]
    lines = sizing.table(sizing.as_data([{"row": "site", "title": "a site", "figures": figures}])).splitlines()
    assert [line.split() for line in lines[3:5]] == [
        ["a", "site", "requests", "-", "100", "-", "-"], ["\\", "connections", "10.0", "11.0", "1.10", "right"],
    ]


def test_the_load_is_that_which_was_counted():
    load = sizing.as_counted(sizing.SITE_LOAD, period(requests=100))
    assert (load.rate, load.broadcasts) == (50, sizing.SITE_LOAD.broadcasts / 2)


def test_a_set_up_that_answers_nothing():
    with pytest.raises(CannotMeasure, match="No request was answered"):
        sizing.as_counted(sizing.SITE_LOAD, period())


def test_broadcasts_that_do_not_arrive():
    load = sizing.SITE_LOAD._replace(broadcasts=1.0, group_size=100)
    sizing.check_broadcasts(load, period(frames=190))
    with pytest.raises(CannotMeasure, match="50 messages of broadcasts arrived a second, and not 100"):
        sizing.check_broadcasts(load, period(frames=100))


@pytest.mark.parametrize("daphnes, shards", [(3, 1), (3, 4), (5, 4), (2, 2), (2, 50), (20, 10)])
def test_the_queues_of_daphnes_lie_as_a_plan_has_it(daphnes, shards):
    hosts = [f"redis://127.0.0.1:{port}" for port in range(6000, 6000 + shards)]  # nothing connects
    server = {"backend": "asgi_redis.RedisChannelLayer", "arguments": {"hosts": hosts}}
    names = sizing.names_of(daphnes, server)
    layer = sizing.layer_of(server)
    found = [layer.consistent_hash(name + "!") for name in names]
    assert len(set(names)) == daphnes
    assert max(map(found.count, found)) == most_together(daphnes, shards)
    assert found.count(layer.consistent_hash("room")) == most_together(daphnes, shards)


def test_rows_are_chosen_by_name():
    assert sizing.arguments(["--rows", "cluster-10,site"]).rows == ["site", "cluster-10"]


def test_an_unknown_row(capsys):
    with pytest.raises(SystemExit):
        sizing.arguments(["--rows", "sned"])
    assert "there is no sned among: site, shards, cluster-1" in capsys.readouterr().err
