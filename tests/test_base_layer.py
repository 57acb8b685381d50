"""The base class of all layers, beside that of asgiref 1; and a layer without asgiref."""
from __future__ import unicode_literals

import collections
import importlib
import json
import re
import subprocess
import sys
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_redis import BaseRedisChannelLayer, RedisChannelLayer
from asgi_redis.base_layer import OwnBaseChannelLayer
from asgi_redis.names import Names

from . import old_asgiref, servers
from .fuzzing import examples

Theirs = old_asgiref.BaseChannelLayer

beside_theirs = pytest.mark.skipif(Theirs is None, reason=old_asgiref.MISSING)


class Ours(Names, OwnBaseChannelLayer):
    """What a layer inherits if asgiref 1 is not installed."""


def outcome(call, *args, **kwargs):
    """Return what ``call`` returns, or the class of the error that it raises."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return type(error)


NAMES = st.one_of(
    st.text("abz09AZ-_.!?", max_size=8),
    st.text(max_size=4),
    st.integers(97, 102).map("a".__mul__),
    st.builds("{}{}{}".format, st.text("ab", min_size=1), st.sampled_from("!?\n"), st.text(max_size=3)),
)
PATTERNS = st.one_of(
    st.text("ab.!?*[]-^\\", max_size=6),
    st.sampled_from([re.compile(pattern) for pattern in ("a", "a$", ".*[!?]", "(?i)B", "")]),
)
CAPACITIES = st.lists(st.tuples(PATTERNS, st.integers(1, 9)), max_size=5).map(collections.OrderedDict)


def capacity_of(base, capacities, channel):
    return base(channel_capacity=capacities).get_capacity(channel)


@beside_theirs
@examples(20)
@given(CAPACITIES, st.one_of(NAMES, st.text("ab.!?", max_size=4)))
def test_the_same_pattern_decides_about_the_capacity(capacities, channel):
    assert outcome(capacity_of, Ours, capacities, channel) == outcome(capacity_of, Theirs, capacities, channel)


@beside_theirs
@examples(10)
@given(NAMES)
def test_a_channel_has_the_same_queue(name):
    assert Ours().non_local_name(name) == Theirs().non_local_name(name)


@beside_theirs
@examples(10)
@given(st.one_of(NAMES, st.binary(max_size=120), st.lists(st.none()), st.integers(), st.none()))
def test_the_same_types_and_lengths_match(name):
    assert outcome(Ours().match_type_and_length, name) == outcome(Theirs().match_type_and_length, name)


#: asgiref 1 accepts a line feed at the end of a name, and letters and digits of all languages behind a ! or ?.
ACCEPTED_BY_THEIRS = re.compile(r"(?u)[a-zA-Z0-9\-_.]*([!?][\w\-_.]*)?\n?\Z")


def assert_same_verdict(ours, theirs, name):
    if ours != theirs:
        assert (ours, theirs) == (TypeError, True)
        assert re.search("[^ -~]", name) and ACCEPTED_BY_THEIRS.match(name)


@beside_theirs
@examples(20)
@given(NAMES, st.booleans())
def test_the_same_channel_names_are_valid(name, receive):
    ours, theirs = (outcome(base().valid_channel_name, name, receive=receive) for base in (Ours, Theirs))
    assert_same_verdict(ours, theirs, name)


@beside_theirs
@examples(20)
@given(NAMES)
def test_the_same_group_names_are_valid(name):
    ours, theirs = (outcome(base().valid_group_name, name) for base in (Ours, Theirs))
    assert_same_verdict(ours, theirs, name)


@beside_theirs
@examples(10)
@given(st.lists(st.text("ab!?.", max_size=4), min_size=1, max_size=3), st.booleans())
def test_the_same_lists_of_channel_names_are_valid(names, receive):
    ours, theirs = (outcome(base().valid_channel_names, names, receive=receive) for base in (Ours, Theirs))
    assert ours == theirs


@beside_theirs
@pytest.mark.parametrize("name", [b"bytes", 1, None, ["list"]])
@pytest.mark.parametrize("method", ["valid_channel_name", "valid_group_name"])
def test_what_is_not_text_is_no_name(method, name):
    assert [outcome(getattr(base(), method), name) for base in (Ours, Theirs)] == [TypeError, TypeError]


@beside_theirs
@pytest.mark.parametrize("arguments", [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, {}), (1, 2, 3, None)])
def test_the_same_arguments_in_the_same_order(arguments):
    assert vars(Ours(*arguments)) == vars(Theirs(*arguments))


@pytest.mark.parametrize("base", [Ours, pytest.param(Theirs, marks=beside_theirs)])
def test_receive_many_warns_and_is_receive(base):
    class Layer(base):
        def receive(self, channels, block=False):
            return channels, block

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert Layer().receive_many(["a"], block=True) == (["a"], True)
    assert [warning.category for warning in caught] == [DeprecationWarning]


@beside_theirs
def test_a_layer_has_all_public_names_of_asgiref_s_base():
    own = set(dir(Ours)) | set(vars(BaseRedisChannelLayer))
    # asgiref does not use it itself.
    assert {name for name in dir(Theirs) if not name.startswith("_")} - own == {"invalid_name_error"}


@pytest.mark.parametrize("name", ["ChannelFull", "MessageTooLarge"])
def test_errors_are_plain_exceptions_which_layer_and_class_have(name):
    error = getattr(OwnBaseChannelLayer, name)
    assert error.__bases__ == (Exception,)
    assert getattr(OwnBaseChannelLayer(), name) is error


def test_a_layer_is_one_of_asgiref_if_that_has_the_class():
    try:
        base = importlib.import_module("asgiref.base_layer").BaseChannelLayer
    except ImportError:
        pytest.skip("needs asgiref 1")
    layer = RedisChannelLayer()
    assert isinstance(layer, base)
    assert (layer.ChannelFull, layer.MessageTooLarge) == (base.ChannelFull, base.MessageTooLarge)


WITHOUT_ASGIREF = """
from __future__ import unicode_literals
import json, sys
sys.modules["asgiref"] = sys.modules["asgiref.base_layer"] = None
from asgi_redis import RedisChannelLayer
from asgi_redis.base_layer import OwnBaseChannelLayer
layer = RedisChannelLayer(**json.loads(sys.argv[1]))
assert isinstance(layer, OwnBaseChannelLayer)
layer.group_add("room", "socket!a")
layer.send_group("room", {"n": 1})
assert layer.receive_many(["socket!"]) == ("socket!a", {"n": 1})
layer.send("single", {"n": 2})
try:
    layer.send("single", {"n": 3})
except layer.ChannelFull:
    layer.flush()
    print("full")
"""


def test_a_layer_needs_no_asgiref(layer):
    arguments = {
        "hosts": servers.hosts(1, layer.prefix, layer.stats_prefix), "prefix": layer.prefix,
        "stats_prefix": layer.stats_prefix, "channel_capacity": {"s*": 1},
    }
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_ASGIREF, json.dumps(arguments)]
    assert subprocess.check_output(command) == b"full\n"


ASGI_IPC_WITHOUT_ASGIREF = """
import sys
sys.modules["asgiref"] = sys.modules["asgiref.base_layer"] = None
from asgi_redis import ipc
del sys.modules["asgiref"], sys.modules["asgiref.base_layer"]
sys.path = []
with ipc.old_asgiref():
    from asgiref.base_layer import BaseChannelLayer
assert BaseChannelLayer is ipc.Base
assert not [name for name in sys.modules if name.startswith("asgiref")]
print("done")
"""


def test_asgi_ipc_needs_no_asgiref():
    command = [sys.executable, "-W", "ignore", "-c", ASGI_IPC_WITHOUT_ASGIREF]
    assert subprocess.check_output(command) == b"done\n"
