"""On a Redis Cluster braces in a key choose its slot, so the layer's prefixes must not have any."""
from __future__ import unicode_literals

import pytest

from asgi_redis import RedisClusterChannelLayer

from .conftest import needs_cluster

#: Never connected to.
HOSTS = [("127.0.0.1", 1)]


@needs_cluster
@pytest.mark.parametrize("name", ["prefix", "stats_prefix"])
@pytest.mark.parametrize("value", ["{site}:", "site{:", "{}site:", "a{b}c{d}:"])
def test_a_brace_in_a_prefix_is_a_value_error_that_names_the_argument(name, value):
    with pytest.raises(ValueError) as raised:
        RedisClusterChannelLayer(hosts=HOSTS, **{name: value})
    assert str(raised.value).startswith(name)
    assert "{" in str(raised.value)


@needs_cluster
def test_prefixes_without_braces_are_taken():
    layer = RedisClusterChannelLayer(hosts=HOSTS, prefix="site-1:[x]", stats_prefix="site-1-meta:")
    assert (layer.prefix, layer.stats_prefix) == ("site-1:[x]", "site-1-meta:")


def test_one_server_takes_braces(make_layer):
    layer = make_layer(prefix="{site}:", stats_prefix="{site}-meta:")
    layer.group_add("crowd", "process!x")
    layer.send_group("crowd", {"n": 1})
    assert layer.receive(["process!"]) == ("process!x", {"n": 1})
