"""The figures of docs/sizing.rst that ``asgi-redis size`` computes."""
import re

import pytest

from asgi_redis.tools.size.costs import USUAL
from asgi_redis.tools.size.plan import Load, Plan

from .blocks import ROOT

ROWS = re.findall(
    r"^(\d+) +([\d,]+) +([\d,]+)$", (ROOT / "docs" / "sizing.rst").read_text(encoding="utf-8"), re.MULTILINE
)
assert len(ROWS) == 5


def shards_for(rate, message_size):
    return Plan(Load(
        rate=rate, sockets=0, group_size=0, broadcasts=0, message_size=message_size, view=0.02, capacity=100,
        daphnes=None, workers=None,
    ), USUAL).shards or float("inf")


@pytest.mark.parametrize("column, message_size", [(1, 1000), (2, 10000)])
@pytest.mark.parametrize("row", ROWS)
def test_what_so_many_shards_carry(row, column, message_size):
    shards, rate = int(row[0]), float(row[column].replace(",", ""))
    assert shards_for(rate, message_size) <= shards < shards_for(rate + 10, message_size)
