"""What is made of the figures of an overload, and a short one."""
import json
import subprocess
import sys

import pytest

from benchmarks import saturation
from benchmarks.environments import ROOT, variables
from benchmarks.errors import CannotMeasure
from benchmarks.servers import Servers
from benchmarks.sides import MEASURED

#: A second of half the readers' speed, and one of five times that.
SHORT = {"steps": [[1, 100], [1, 1000]], "service": 0.01, "capacity": 20}


def found(delay=0.4, refused=3000):
    """What an overload may give: of 6,000 messages ``refused``, and the others received after ``delay`` seconds."""
    received = 6000 - refused
    return {
        "sent": 6000, "refused": [6.0] * refused,
        "received": [[number * 20.0 / received, delay] for number in range(received)],
    }


def test_the_time_of_a_full_channel_follows_from_the_readers_speed():
    judged = saturation.judged(found())
    assert judged["bound"] == pytest.approx(1000 * saturation.CAPACITY / 150)
    assert [row["refused"] for row in judged["steps"]] == [0, 0.8, 0, 0]


def test_all_messages_accounted_for_in_time_miss_nothing():
    assert saturation.missed({"overload": saturation.judged(found())}) == []


def test_a_message_neither_refused_nor_received_is_missed():
    lost = dict(found(), sent=6001)
    assert saturation.missed({"overload": saturation.judged(lost)}) == [
        "Missed: messages neither refused nor received: 1."
    ]


def test_messages_that_wait_longer_than_a_full_channel_are_missed():
    line, = saturation.missed({"overload": saturation.judged(found(delay=0.9))})
    assert line == "Missed: a p99 of 900 ms; a full channel is read in 667 ms."


def test_other_parts_have_no_targets():
    assert saturation.missed({"shards": []}) == []


def test_the_table_has_the_share_of_each_process():
    row = {"workers": 2, "threads": 1, "requests": 700.4}
    row["cpu"] = {"daphne": 0.7, "worker 1": 0.4, "worker 2": 0.3, "server": 0.25, "load tool": 0.05}
    assert saturation.processes_table([row]).splitlines()[3].split() == (
        "2 1 700 70 % 40 %, 30 % 25 % 5 % 170 %".split()
    )


def test_an_unknown_part(capsys):
    with pytest.raises(SystemExit):
        saturation.arguments(["--parts", "sned"])
    assert "there is no sned among: processes, shards, overload" in capsys.readouterr().err


def test_in_an_overload_each_message_is_received_or_refused():
    try:
        servers = Servers()
        layer = servers.layer("plain")
    except CannotMeasure as error:
        pytest.skip(str(error))
    with servers:
        command = {"run": "overload", "options": SHORT, "server": layer, "seconds": 1}
        output = subprocess.run(
            [sys.executable, "-W", "ignore", str(MEASURED), "asgi_redis"], input=json.dumps(command) + "\n",
            stdout=subprocess.PIPE, env=variables(ROOT), universal_newlines=True, timeout=60, check=True,
        ).stdout
    counts = json.loads(output.splitlines()[1])["answer"]
    assert counts["sent"] == 1100
    assert len(counts["refused"]) + len(counts["received"]) == 1100
    assert len(counts["refused"]) > 0
