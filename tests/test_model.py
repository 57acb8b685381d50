"""Random sequences of calls, in two processes, beside a model of the specification."""
from __future__ import unicode_literals

import collections

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asgi_redis.delivery import receiver

from .fuzzing import examples, making_layers

CHANNELS = ["normal", "other", "reader?x", "web!", "web!1", "web!2", "web!3", "api!1", "api!2"]
QUEUES = ["normal", "other", "reader?x", "web!", "api!"]
PROCESS_SPECIFIC = ["web!", "api!"]
#: The queues that are spread over the shards.
SPREAD = ["normal", "other"]
GROUPS = ["crowd", "few"]

CAPACITY = 3
#: On several shards each holds several messages of "other", but at most one of "normal".
CAPACITIES = {"other": 8, "api!*": 2}


def queue_of(channel):
    return channel.partition("!")[0] + "!" if "!" in channel else channel


class Entry(object):
    """
    What takes places in a queue by one call. ``choices``: what can be received of it, a list of (channels, number of
    the message), in any order. ``places``: so many of them found a place; nobody knows which.
    """

    def __init__(self, choices, places=1):
        self.choices = choices
        self.places = places


class Model(object):
    """
    A channel layer by the specification, and by "Groups on busy pages" in docs/groups.rst, whose messages are numbers.

    ``shards``: among so many a normal channel is spread; each has its own order. Time does not pass in it.
    """

    def __init__(self, shards):
        self.shards = shards
        self.memory = collections.defaultdict(dict)
        self.flush(None)

    def capacity(self, queue):
        return CAPACITIES.get(queue, CAPACITIES.get(queue + "*", CAPACITY))

    def pending(self, queue):
        """The places that are taken."""
        return sum(entry.places for entry in self.queues[queue])

    def room(self, queue):
        return self.capacity(queue) - self.pending(queue)

    # Sending.

    def send(self, channel, number):
        """Whether there was a place for message ``number``."""
        return self.put(queue_of(channel), [([channel], number)]) == 1

    def put(self, queue, choices):
        """Put each of ``choices`` in a place, while there are any. How many there were."""
        places = min(len(choices), self.room(queue))
        if places:
            self.queues[queue].append(Entry(choices, places))
        size = len(choices[0][0])  # a batch is counted by its channels
        self.sent[queue] += places * size
        self.full[queue] += (len(choices) - places) * size
        return places

    def send_group(self, group, number, announced):
        """``announced``: the queues whose readers have announced that they understand batches, as far as is known."""
        assert self.surely_announced <= announced <= self.perhaps_announced
        for queue, members in self.members_by_queue(group).items():
            if queue in announced:
                self.put(queue, [(members, number)])
            else:
                self.put(queue, [([member], number) for member in members])

    # Receiving.

    def choices(self, process, channels):
        """What ``receive(channels)`` may return in ``process``: a list of (channel, number); of nothing, if empty."""
        found = []
        for queue in channels:
            if queue in self.memory[process]:
                names, number = self.memory[process][queue]
                found.append((names[0], number))
            else:
                found += [(names[0], number) for entry in self.heads(queue) for names, number in entry.choices]
        return found

    def heads(self, queue):
        """The entries that may come next: the first, or any where each shard has a first one; see ``check_order``."""
        return self.queues[queue] if queue in SPREAD and self.shards > 1 else self.queues[queue][:1]

    def receive(self, process, channel, number):
        """``process`` has received ``number`` on ``channel``, which is one of ``choices``."""
        queue = queue_of(channel)
        if queue in self.memory[process]:
            names, _ = self.memory[process].pop(queue)
        else:
            names = self.take(queue, channel, number)
            if queue in SPREAD:
                self.check_order(queue, number)
        if names[1:]:
            self.memory[process][queue] = names[1:], number

    def take(self, queue, channel, number):
        """Take from the queue what is received first on ``channel``: its channels."""
        for entry in self.heads(queue):
            for choice in entry.choices:
                if (choice[0][0], choice[1]) == (channel, number):
                    entry.choices.remove(choice)
                    entry.places -= 1
                    if not entry.places:
                        self.queues[queue].remove(entry)
                    return choice[0]

    def check_order(self, queue, number):
        """
        What is taken from ``queue`` must be as many sequences in order as there are shards, mixed. That is so where
        there never are more messages than shards of which each was sent before the one that was taken before it.
        """
        behind = [longest for earlier, longest in self.taken[queue] if earlier > number]
        longest = 1 + max(behind) if behind else 1
        assert longest <= self.shards, "the order on %s" % queue
        self.taken[queue].append((number, longest))

    def announce(self, process, channels, found):
        """``process`` has asked for ``channels``: that announces those that are looked for in Redis."""
        asked = {queue for queue in channels if queue in PROCESS_SPECIFIC and queue not in self.memory[process]}
        # On a slow machine, what is taken from memory may renew an announcement.
        self.perhaps_announced |= set(channels) & set(PROCESS_SPECIFIC)
        # Where one shard, or the memory, has something, the others need not be asked.
        if not found or (asked and len(channels) == 1):
            self.surely_announced |= asked

    # Groups.

    def group_add(self, group, channel):
        self.group_discard(group, channel)
        self.groups[group].append(channel)

    def group_discard(self, group, channel):
        self.groups[group] = [member for member in self.groups[group] if member != channel]

    def members_by_queue(self, group):
        members = collections.OrderedDict()
        for member in self.groups[group]:
            members.setdefault(queue_of(member), []).append(member)
        return members

    # Everything else.

    def flush(self, process):
        """Of what is in memory, only that of ``process`` goes."""
        self.queues = {queue: [] for queue in QUEUES}
        self.groups = {group: [] for group in GROUPS}
        self.surely_announced = set()
        self.perhaps_announced = set()
        self.sent = collections.Counter()
        self.full = collections.Counter()
        self.taken = collections.defaultdict(list)
        self.memory.pop(process, None)

    def die(self, process):
        """What ``process`` has in memory goes with it."""
        self.memory.pop(process, None)


class Processes(RuleBasedStateMachine):
    """Two processes with a layer each, and the model of both."""

    shards = 1
    keys = None

    def __init__(self):
        super(Processes, self).__init__()
        self.making = making_layers(self.shards)
        self.make = self.making.__enter__()
        self.model = Model(self.shards)
        self.layers = {}
        self.number = 0
        self.next_flush = 20

    def teardown(self):
        self.making.__exit__(None, None, None)

    # Random choices of the layer, as the shard that comes first, differ between examples.
    @initialize(random=st.random_module())
    def start_both(self, random):
        for process in "ab":
            self.start(process)

    def start(self, process):
        self.layers[process] = self.make(
            capacity=CAPACITY, channel_capacity=CAPACITIES, symmetric_encryption_keys=self.keys,
        )

    def message(self):
        self.number += 1
        return {"n": self.number, "list": [self.number]}

    processes = st.sampled_from("ab")

    # Messages.

    @rule(process=processes, channel=st.sampled_from(CHANNELS))
    def send(self, process, channel):
        message = self.message()
        if self.model.send(channel, self.number):
            self.layers[process].send(channel, message)
        else:
            with pytest.raises(self.layers[process].ChannelFull):
                self.layers[process].send(channel, message)

    @rule(process=processes, channel=st.sampled_from(CHANNELS))
    def fill(self, process, channel):
        for _ in range(self.model.room(queue_of(channel)) + 1):
            self.send(process, channel)

    @rule(process=processes, channels=st.sets(st.sampled_from(QUEUES)), block=st.booleans())
    def receive(self, process, channels, block):
        choices = self.model.choices(process, channels)
        channel, message = self.layers[process].receive(channels, block and bool(choices))
        self.model.announce(process, channels, bool(choices))
        if not choices:
            assert (channel, message) == (None, None)
            return
        assert channel is not None, "missed %s" % choices
        number = message["n"]
        assert (channel, number) in choices and message == {"n": number, "list": [number]}
        self.model.receive(process, channel, number)
        message["list"].append("whoever gets the same must not see this")

    @rule(process=processes, channels=st.one_of(st.just(QUEUES), st.sampled_from(QUEUES).map(lambda queue: [queue])))
    def receive_all(self, process, channels):
        while self.model.choices(process, channels):
            self.receive(process, channels, False)
        self.receive(process, channels, False)

    # Groups.

    @rule(process=processes, group=st.sampled_from(GROUPS), channel=st.sampled_from(CHANNELS))
    def group_add(self, process, group, channel):
        self.layers[process].group_add(group, channel)
        self.model.group_add(group, channel)

    @rule(process=processes, group=st.sampled_from(GROUPS), channel=st.sampled_from(CHANNELS))
    def group_discard(self, process, group, channel):
        self.layers[process].group_discard(group, channel)
        self.model.group_discard(group, channel)

    @rule(process=processes, group=st.sampled_from(GROUPS), newcomers=st.lists(st.sampled_from(CHANNELS)))
    def send_group(self, process, group, newcomers):
        for channel in newcomers:
            self.group_add(process, group, channel)
        announced = {queue for queue in PROCESS_SPECIFIC if self.is_announced(queue)}
        self.layers[process].send_group(group, self.message())
        self.model.send_group(group, self.number, announced)

    @rule(process=processes, queue=st.sampled_from(PROCESS_SPECIFIC))
    def take_the_first_of_a_batch(self, process, queue):
        self.receive_all(process, [queue])
        for channel in CHANNELS:
            if queue_of(channel) == queue:
                self.group_add(process, "crowd", channel)
        self.send_group(process, "crowd", [])
        self.receive(process, [queue], False)

    def is_announced(self, queue):
        layer = self.layers["a"]
        return layer.connection(layer.consistent_hash(queue)).exists(layer.prefix + queue + "#batches") == 1

    # Ends, not so often that there is nothing to lose.

    @precondition(lambda self: self.number >= self.next_flush or any(self.model.memory.values()))
    @rule(process=processes)
    def flush(self, process):
        self.layers[process].flush()
        for layer in self.layers.values():
            layer._parts.receiver.announce_anew()  # as those of other processes do some seconds later
        self.model.flush(process)
        self.next_flush = self.number + 20

    @precondition(lambda self: any(self.model.memory.values()))
    @rule(process=processes)
    def die(self, process):
        self.start(process)
        self.model.die(process)

    # What can be seen at any time.

    @invariant()
    def statistics_are_those_of_the_model(self):
        for layer in list(self.layers.values())[:1]:
            for queue in QUEUES:
                statistics = layer.channel_statistics(queue)
                assert statistics.pop("messages_max_age") >= 0
                assert statistics == {
                    "messages_count": self.model.sent[queue],
                    "channel_full_count": self.model.full[queue],
                    "messages_pending": self.model.pending(queue),
                }
            assert layer.global_statistics() == {
                "messages_count": sum(self.model.sent.values()), "channel_full_count": sum(self.model.full.values()),
            }

    @invariant()
    def members_are_those_of_the_model(self):
        for layer in self.layers.values():
            for group in GROUPS:
                assert layer.group_channels(group) == self.model.groups[group]


@pytest.fixture(autouse=True, scope="module")
def announcements_last():
    """An example that takes long on a busy machine must not outlive them."""
    before, receiver.ANNOUNCED_FOR = receiver.ANNOUNCED_FOR, 3600
    yield
    receiver.ANNOUNCED_FOR = before


class OneShard(Processes):
    pass


class ThreeShards(Processes):
    shards = 3


class OneShardEncrypted(OneShard):
    keys = ["key"]


class ThreeShardsEncrypted(ThreeShards):
    keys = ["new", "old"]


TestOneShard = OneShard.TestCase
TestThreeShards = ThreeShards.TestCase
TestOneShardEncrypted = OneShardEncrypted.TestCase
TestThreeShardsEncrypted = ThreeShardsEncrypted.TestCase

TestOneShard.settings = TestThreeShards.settings = examples(0.6)
TestOneShardEncrypted.settings = TestThreeShardsEncrypted.settings = examples(0.2)
