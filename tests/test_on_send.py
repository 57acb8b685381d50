"""``on_send``, which a subclass overrides to observe the messages that are sent."""
from __future__ import unicode_literals

import pytest

from asgi_redis import BaseRedisChannelLayer, RedisChannelLayer, RedisLocalChannelLayer

from . import servers

CHANNELS = ["normal", "other", "process!x", "process!y", "reader?x"]


class Refusal(Exception):
    pass


class Observer(object):
    """Mixed into a layer, notes what it sends in ``observed``; refuses what is for the channel ``refused``."""

    refused = None

    def __init__(self, **arguments):
        self.observed = []
        super(Observer, self).__init__(**arguments)

    def on_send(self, channel, message):
        self.observed.append((channel, message))
        if channel == self.refused:
            raise Refusal(channel)


class ObservedLayer(Observer, RedisChannelLayer):
    pass


class ObservedLocalLayer(Observer, RedisLocalChannelLayer):
    pass


@pytest.fixture(params=["plain", "local"])
def layer(request, make_layer):
    """One layer of each class, with these five channels in the group "crowd"."""
    model = make_layer(2, capacity=3)
    arguments = {
        "hosts": servers.hosts(2, model.prefix, model.stats_prefix), "prefix": model.prefix,
        "stats_prefix": model.stats_prefix, "capacity": 3,
    }
    if request.param == "plain":
        layer = ObservedLayer(**arguments)
    else:
        layer = ObservedLocalLayer(local_layer=make_layer(1, capacity=3), **arguments)
    for channel in CHANNELS:
        layer.group_add("crowd", channel)
    return layer


def received(layer):
    """All waiting messages, sorted by channel."""
    queues = ["normal", "other", "process!", "reader?x"]
    return sorted(iter(lambda: layer.receive(queues), (None, None)), key=lambda found: found[0])


@pytest.mark.parametrize("channel", CHANNELS)
def test_send_calls_it_once_with_the_message_as_given(layer, channel):
    message = {"n": 1}
    layer.send(channel, message)
    assert layer.observed == [(channel, {"n": 1})]
    assert layer.observed[0][1] is message
    assert received(layer) == [(channel, {"n": 1})]


@pytest.mark.parametrize("announced", [False, True])
def test_send_group_calls_it_once_for_each_member(layer, announced):
    if announced:
        layer.receive(["process!"])  # from now on, the members of this process get one entry together
    message = {"n": 1}
    layer.send_group("crowd", message)
    assert sorted(channel for channel, _ in layer.observed) == CHANNELS
    assert all(observed is message for _, observed in layer.observed)
    assert received(layer) == [(channel, {"n": 1}) for channel in CHANNELS]


def test_send_group_calls_it_for_a_group_of_one(layer):
    layer.group_add("one", "process!x")
    layer.send_group("one", {"n": 1})
    assert layer.observed == [("process!x", {"n": 1})]


def test_it_is_called_for_messages_to_full_channels(layer):
    for _ in range(layer.capacity):
        layer.send("normal", {"n": 1})
    with pytest.raises(layer.ChannelFull):
        layer.send("normal", {"n": 2})
    layer.send_group("crowd", {"n": 3})
    observed = [message["n"] for channel, message in layer.observed if channel == "normal"]
    assert observed == [1] * layer.capacity + [2, 3]


@pytest.mark.parametrize("channel", CHANNELS)
def test_its_exception_goes_to_the_caller_of_send_and_nothing_is_sent(layer, channel):
    layer.refused = channel
    with pytest.raises(Refusal):
        layer.send(channel, {"n": 1})
    assert received(layer) == []


@pytest.mark.parametrize("channel", CHANNELS)
def test_its_exception_goes_to_the_caller_of_send_group_and_no_member_gets_the_message(layer, channel):
    layer.refused = channel
    with pytest.raises(Refusal):
        layer.send_group("crowd", {"n": 1})
    assert received(layer) == []


def test_it_is_not_called_for_a_message_that_is_refused(layer):
    for send in (lambda: layer.send("process!x", []), lambda: layer.send_group("crowd", [])):
        with pytest.raises(TypeError):
            send()
    assert layer.observed == []


def test_a_layer_that_does_not_override_it_does_not_call_it(make_layer, monkeypatch):
    called = []
    monkeypatch.setattr(BaseRedisChannelLayer, "on_send", lambda layer, channel, message: called.append(channel))
    layer = make_layer()
    layer.group_add("crowd", "normal")
    layer.send("normal", {})
    layer.send_group("crowd", {})
    assert called == []
