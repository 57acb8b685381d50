"""Properties that hold for any message, any body, any name, and any prefix."""
from __future__ import unicode_literals

import contextlib
import json
import logging
import re
import struct

import msgpack
import pytest
import six
from hypothesis import assume, given
from hypothesis import strategies as st

from asgi_redis import RedisChannelLayer
from asgi_redis.delivery import losses
from asgi_redis.server import times
from asgi_redis.tools.embedded import Server

from . import servers
from .fuzzing import examples, making_layers
from .test_bad_input import push
from .test_blocking import Reader, wait_until_blocked

try:
    import resource
except ImportError:  # Windows
    resource = None

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."


class Reversing(RedisChannelLayer):
    """Has a serialization of its own."""

    def serialize(self, message):
        return super(Reversing, self).serialize(message)[::-1]

    def deserialize(self, message):
        return super(Reversing, self).deserialize(message[::-1])


#: How bodies are made: a class of layers, and its keys.
CODECS = {
    "plain": (RedisChannelLayer, None),
    "one key": (RedisChannelLayer, ["key"]),
    "two keys": (RedisChannelLayer, ["new", "old"]),
    "overridden": (Reversing, None),
    "overridden, one key": (Reversing, ["key"]),
}


@contextlib.contextmanager
def codec_layer(codec, shards=1):
    """A layer for one example, with one of ``CODECS``."""
    cls, keys = CODECS[codec]
    with making_layers(shards) as make:
        yield make(cls, symmetric_encryption_keys=keys)


# Messages.


def same(one, other):
    """Whether two values are equal to the types of what is in them: 1 is neither True nor 1.0, and NaN is NaN."""
    if isinstance(one, six.integer_types) and not isinstance(one, bool):
        return isinstance(other, six.integer_types) and not isinstance(other, bool) and one == other
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        # Python 2 takes b"a" for "a".
        kinds = [{(type(key), key) for key in value} for value in (one, other)]
        return kinds[0] == kinds[1] and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return struct.pack(str(">d"), one) == struct.pack(str(">d"), other) if isinstance(one, float) else one == other


def inside(scalars):
    """``scalars``, also in lists and dicts, and those in one another."""
    keys = st.one_of(st.text(), st.just("__asgi_channel__"))

    def containers(values):
        return st.one_of(st.lists(values), st.dictionaries(keys, values))

    return st.recursive(scalars, containers, max_leaves=15)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2 ** 63, 2 ** 64 - 1), st.floats(), st.text(), st.binary(),
    st.sampled_from([-2 ** 63, 2 ** 63, 2 ** 64 - 1, -0.0, "\x00", b"\xff" * 70000, "\u20ac" * 300]),
)
messages = st.dictionaries(st.text(), inside(scalars)).filter(lambda message: "__asgi_channel__" not in message)

words = st.text(LETTERS, min_size=1, max_size=20)
channels = st.one_of(words, st.tuples(words, st.sampled_from("?!"), words).map("".join))


def queue_of(channel):
    return channel.partition("!")[0] + "!" if "!" in channel else channel


@pytest.mark.parametrize("codec", sorted(CODECS))
@examples(0.6)
@given(message=messages, channel=channels, shards=st.integers(1, 3), block=st.booleans())
def test_a_message_arrives_as_it_was_sent(codec, message, channel, shards, block):
    with codec_layer(codec, shards) as layer:
        layer.send(channel, message)
        found, received = layer.receive([queue_of(channel)], block)
        assert found == channel and same(received, message)
        assert layer.receive([queue_of(channel)]) == (None, None)


@pytest.mark.parametrize("codec", sorted(CODECS))
@examples(0.4)
@given(
    message=messages, members=st.sets(channels, min_size=1, max_size=6), mates=st.sets(words, max_size=5),
    announced=st.booleans(), shards=st.integers(1, 3), block=st.booleans(), random=st.random_module(),
)
def test_a_message_arrives_at_each_member_of_a_group(codec, message, members, mates, announced, shards, block, random):
    members = members | {"process!" + mate for mate in mates}
    queues = {queue_of(member) for member in members}
    with codec_layer(codec, shards) as layer:
        for member in members:
            layer.group_add("crowd", member)
        if announced:
            assert layer.receive(queues) == (None, None)
        layer.send_group("crowd", message)
        got = []
        for _ in members:
            channel, received = layer.receive(queues, block)
            assert same(received, message)
            received.clear()  # the others must not notice
            got.append(channel)
        assert sorted(got) == sorted(members)
        assert layer.receive(queues) == (None, None)


# Bodies that nobody should have sent.

SECRET = "s3cr3t"

#: The queues that bodies are pushed into, and a channel of each.
QUEUES = {"normal": "normal", "reader?x": "reader?x", "process!": "process!x"}

#: Headers that declare more than will ever follow: up to 4 GB, or so many items.
DECLARATIONS = [
    b"\xdd\xff\xff\xff\xff", b"\xdd\x7f\xff\xff\xff", b"\xdd\x0f\xff\xff\xff", b"\xdc\xff\xff",  # array
    b"\xdf\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\xdf\x0f\xff\xff\xff", b"\xde\xff\xff",  # map
    b"\xdb\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xff", b"\xda\xff\xff",  # str
    b"\xc6\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"\xc5\xff\xff",  # bin
    b"\xc9\xff\xff\xff\xff\x01", b"\xc9\x7f\xff\xff\xff\xff", b"\xc8\xff\xff\xff",  # ext
]

#: How the next level of something nested begins: in an array, as a value of a map, as its key.
LEVELS = [b"\x91", b"\x81\xa1a", b"\x81", b"\x92\x91\xc0", b"\x81\xb0__asgi_channel__", b"\xdd\x00\x00\x00\x01"]

#: The types that msgpack leaves to its users, and its timestamps: good ones and bad ones.
EXTENSIONS = [
    b"\xd4\x05s", b"\xc7\x06\x07s3cr3t", b"\xc7\x00\x01", b"\xd6\xff\x00\x00\x00\x01", b"\xd6\xff\xff\xff\xff\xff",
    b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\xc7\x0c\xff" + b"\xff" * 12, b"\xc7\x0c\xff" + b"\x00" * 12,
    b"\xd5\xffxx", b"\xc7\x03\xffs3c",
]


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def packed_map(*pairs):
    """A map of keys and values that are packed already."""
    return six.int2byte(0x80 + len(pairs)) + b"".join(key + value for key, value in pairs)


@st.composite
def cut(draw, bodies):
    body = draw(bodies)
    return body[:draw(st.integers(0, len(body)))]


@st.composite
def flipped(draw, bodies):
    """Bodies with some bits that are not what they were."""
    body = bytearray(draw(bodies))
    for _ in range(draw(st.integers(1, 3)) if body else 0):
        body[draw(st.integers(0, len(body) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(body)


@st.composite
def declaring_too_much(draw, bodies):
    """Bodies with one of ``DECLARATIONS`` somewhere, which is where it is understood, or not."""
    body = draw(bodies)
    place = draw(st.one_of(st.just(0), st.integers(0, len(body))))
    return body[:place] + draw(st.sampled_from(DECLARATIONS)) + body[place:]


@st.composite
def nested(draw, depths):
    """Maps with something very deep in them."""
    bottom = draw(st.sampled_from([b"\x80", b"\x90", b"\x01", b"", b"\xc1"]))
    deep = draw(st.sampled_from(LEVELS)) * draw(depths) + bottom
    names = draw(st.sampled_from([["process!x", "process!y"], ["normal"] * 3, "process!x"]))
    return packed_map((pack("__asgi_channel__"), pack(names)), (pack(SECRET), deep))


own_names = st.sampled_from(["process!x", "process!y", "process!", "normal", "reader?x"])
any_names = st.one_of(own_names, st.text(), words, st.just("other!" + SECRET), st.just(SECRET + "!x"))
full_names = st.one_of(
    any_names, st.lists(any_names, max_size=3), st.lists(own_names, min_size=2, max_size=5),
    inside(scalars), st.lists(inside(scalars), max_size=3),
).map(pack)

with_secret = st.dictionaries(
    st.sampled_from(["a", SECRET]), st.one_of(inside(scalars), st.just(SECRET), st.just([SECRET.encode("ascii")])),
)
good_bodies = st.one_of(
    with_secret.map(pack),
    st.builds(lambda message, name: pack(dict(message, __asgi_channel__=name)), with_secret, own_names),
    st.builds(lambda name, value: packed_map((pack("__asgi_channel__"), name), (pack(SECRET), pack(value))),
              full_names, inside(scalars)),
)
odd_keys = st.one_of(
    st.one_of(scalars, st.lists(scalars, max_size=2), st.dictionaries(st.text(), scalars, max_size=1)).map(pack),
    st.sampled_from(EXTENSIONS), st.just(b"\xa2\xff\xfe"),
)
bodies = st.one_of(
    st.binary(), good_bodies, cut(good_bodies), flipped(good_bodies), declaring_too_much(good_bodies),
    st.builds(lambda one, other: one + other, good_bodies, st.binary(min_size=1)),
    inside(scalars).map(pack),
    nested(st.sampled_from([2, 10, 100, 10000])),
    st.builds(lambda key, name, value: packed_map((pack("__asgi_channel__"), name), (key, value)),
              odd_keys, st.one_of(full_names, st.sampled_from(EXTENSIONS)),
              st.one_of(scalars.map(pack), st.sampled_from(EXTENSIONS))),
)


@st.composite
def wrappings(draw):
    """What a layer does to a body before it is pushed: nothing, what it should, or that badly."""
    kind = draw(st.sampled_from(["encrypted", "encrypted", "as it is", "of another key", "cut", "flipped"]))

    def wrap(layer, body):
        if kind == "as it is" or layer.crypter is None:
            return body
        token = layer.crypter.encrypt(body)
        if kind == "of another key":
            return layer.make_fernet("another key").encrypt(body)
        if kind == "cut":
            return token[:cut_at]
        if kind == "flipped":
            return token[:flip_at] + six.int2byte(six.indexbytes(token, flip_at) ^ 1 << bit) + token[flip_at + 1:]
        return token

    # A token of no bytes has 100 characters.
    cut_at, flip_at, bit = draw(st.integers(0, 99)), draw(st.integers(0, 99)), draw(st.integers(0, 7))
    return wrap


class Log(logging.Handler):
    """What ``asgi_redis`` logs in a ``with`` block."""

    def __enter__(self):
        self.records = []
        logging.getLogger("asgi_redis").addHandler(self)
        return self

    def __exit__(self, *error):
        logging.getLogger("asgi_redis").removeHandler(self)

    def emit(self, record):
        self.records.append(record)


@pytest.fixture(autouse=True, scope="module")
def hurried():
    """Readers do not pause, and what they drop is logged soon."""
    before = losses.INTERVAL, times.WRONG_KEYS_PAUSE
    losses.INTERVAL, times.WRONG_KEYS_PAUSE = 0.01, 0
    yield
    losses.INTERVAL, times.WRONG_KEYS_PAUSE = before


def check_log(log, layer, queue, drops):
    """ERRORs about ``drops`` bodies, with ``queue`` and a reason in words of the layer or of Python; nothing else."""
    layer._parts.losses.wait()
    logged = 0
    for record in log.records:
        line = record.getMessage()
        assert record.levelname == "ERROR"
        pattern = r"Dropped ([0-9]+) messages? on %s in the last second: [A-Za-z ,:()'_]+\.\Z" % re.escape(queue)
        logged += int(re.match(pattern, line).group(1))
        assert record.exc_info is None and SECRET not in line and "MemoryError" not in line
    assert logged >= drops and (drops or not logged)  # a body may be for several channels


def read_past_a_body(layer, queue, block):
    """
    Receive up to the good message that waits behind a body. True where the first receive found it, so that the body
    must have been dropped; else what came before is checked.
    """
    good = (QUEUES[queue], {"good": True})
    found = first = layer.receive([queue], block)
    while found != good:
        channel, message = found
        assert isinstance(channel, six.text_type) and layer.non_local_name(channel) == queue
        assert isinstance(message, dict) and "__asgi_channel__" not in message
        found = layer.receive([queue], block)
    assert layer.receive([queue]) == (None, None)
    return first == good


@pytest.fixture
def little_memory():
    """The process may have 2 GB, many times what it needs, but less than the large ``DECLARATIONS`` would take."""
    servers.hosts()  # the server may have more
    if resource is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2 * 1024 ** 3, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("codec", ["plain", "one key", "two keys"])
@pytest.mark.usefixtures("little_memory")
@examples(2)
@given(queue=st.sampled_from(sorted(QUEUES)), body=bodies, wrap=wrappings(), block=st.booleans())
def test_any_body_is_a_message_of_its_queue_or_dropped_and_logged(codec, queue, body, wrap, block):
    with codec_layer(codec) as layer, Log() as log:
        push(layer, wrap(layer, body), queue)
        layer.send(QUEUES[queue], {"good": True})
        check_log(log, layer, queue, drops=1 if read_past_a_body(layer, queue, block) else 0)


@pytest.mark.parametrize("codec", ["plain", "one key"])
@pytest.mark.usefixtures("little_memory")
def test_a_length_that_is_declared_takes_no_memory(codec):
    with codec_layer(codec) as layer, Log() as log:
        encrypt = layer.crypter.encrypt if layer.crypter else bytes
        for declaration in DECLARATIONS:
            push(layer, encrypt(declaration), "normal")
            push(layer, encrypt(packed_map((pack("a"), declaration + b"\x01\x02\x03"))), "normal")
        layer.send("normal", {"good": True})
        assert read_past_a_body(layer, "normal", block=False)
        check_log(log, layer, "normal", drops=2 * len(DECLARATIONS))


class Json(RedisChannelLayer):
    """Its ``deserialize`` raises what the package has never heard of, or returns what is no message."""

    def deserialize(self, message):
        return json.loads(message.decode("utf-8"))


json_texts = st.one_of(
    st.one_of(st.booleans(), st.integers(), st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text())),
    st.dictionaries(st.just("__asgi_channel__"), st.one_of(st.none(), st.text(), st.lists(own_names), own_names)),
).map(json.dumps)


@given(queue=st.sampled_from(sorted(QUEUES)), body=st.one_of(st.binary(), json_texts), block=st.booleans())
def test_any_body_is_a_message_or_dropped_where_a_subclass_unpacks_it(queue, body, block):
    with making_layers() as make, Log() as log:
        layer = make(Json)
        push(layer, body, queue)
        push(layer, json.dumps({"good": True, "__asgi_channel__": QUEUES[queue]}), queue)
        check_log(log, layer, queue, drops=1 if read_past_a_body(layer, queue, block) else 0)


@examples(0.4)
@given(queue=st.sampled_from(sorted(QUEUES)), bad=st.lists(bodies, min_size=2, max_size=20), block=st.booleans())
def test_any_number_of_bodies_that_are_dropped_hide_no_message(queue, bad, block):
    with codec_layer("one key") as layer, Log() as log:
        for body in bad:
            push(layer, body, queue)
        layer.send(QUEUES[queue], {"good": True})
        assert read_past_a_body(layer, queue, block)
        check_log(log, layer, queue, drops=len(bad))


@examples(0.4)
@given(queue=st.sampled_from(sorted(QUEUES)), body=bodies)
def test_a_reader_that_waits_goes_on_after_any_body(queue, body):
    with codec_layer("one key") as layer, Log() as log:
        reader = Reader(layer, [queue])
        wait_until_blocked(layer, 1)
        push(layer, body, queue)  # not encrypted, so that it must be dropped
        layer.send(QUEUES[queue], {"good": True})
        reader.join()
        assert reader.found == (QUEUES[queue], {"good": True})
        check_log(log, layer, queue, drops=1)


# hypothesis lets a test recurse deeper than a worker can, so these are without it.
DEPTHS = [100, 400, 480, 505, 1000]


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_broadcast_is_refused_or_arrives_however_deep_it_is(make_layer, depth):
    layer = make_layer()
    members = ["process!x", "process!y"]
    for member in members:
        layer.group_add("crowd", member)
    layer.receive(["process!"])
    deep = []
    for _ in range(depth):
        deep = [deep]
    try:
        layer.send_group("crowd", {"deep": deep})
    except TypeError:
        members = []  # it is deeper than this msgpack packs
    assert [layer.receive(["process!"])[0] for _ in members] == members
    assert layer.receive(["process!"]) == (None, None)


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_body_for_several_channels_does_no_harm_however_deep_it_is(make_layer, depth):
    layer = make_layer()
    names = pack(["process!x", "process!y"])
    push(layer, packed_map((pack("__asgi_channel__"), names), (pack("deep"), b"\x91" * depth + b"\x90")), "process!")
    layer.send("process!x", {"good": True})
    read_past_a_body(layer, "process!", block=False)


# Names.


def is_plain_name(name):
    """Whether ``name`` is one by the specification, without any mark."""
    return isinstance(name, six.text_type) and 0 < len(name) < 100 and all(letter in LETTERS for letter in name)


def is_channel_name(name):
    """The same with at most one ``?``, which something must follow, or ``!``; something must stand before it."""
    if not isinstance(name, six.text_type) or len(name) >= 100:
        return False
    for mark in "?!":
        if mark in name:
            before, _, after = name.partition(mark)
            return is_plain_name(before) and (is_plain_name(after) or (mark == "!" and not after))
    return is_plain_name(name)


def is_receivable(name):
    """A process-specific channel is received on by its name up to the ``!``."""
    return is_channel_name(name) and ("!" not in name or name.endswith("!"))


@st.composite
def almost_names(draw):
    """Names with something between their letters that may not be there."""
    name = draw(channels)
    place = draw(st.integers(0, len(name)))
    odd = st.one_of(st.characters(), st.sampled_from("?!#: *\n\r\t\x00\u00e9\u0663\uff41\u212a\u0131"))
    return name[:place] + draw(odd) + name[place:]


texts = st.one_of(
    channels,
    almost_names(),
    st.text(LETTERS + "?!", max_size=5),
    st.builds(lambda name, end: name + end, channels, st.sampled_from("?!\n")),
    st.text(),
    st.text(st.characters()),  # with lone surrogates
    st.builds(lambda name, length: (name * 101)[:length], channels, st.integers(97, 102)),
)
no_texts = st.one_of(
    st.none(), st.integers(), st.floats(), st.binary(), st.just(b"normal"), st.lists(words), st.tuples(words),
    st.dictionaries(words, st.none()), st.just(object()),
)


def keys_of(layer):
    """The keys that the layer has in Redis."""
    found = [key for index in range(layer.ring_size) for key in layer.connection(index).keys("*")]
    prefixes = layer.prefix.encode("utf-8"), layer.stats_prefix.encode("utf-8")
    return [key for key in found if key.startswith(prefixes)]


def check_accepted(call, accepted):
    """``call`` does its work if ``accepted``, else raises TypeError."""
    if accepted:
        call()
    else:
        with pytest.raises(TypeError):
            call()


@examples(4)
@given(name=st.one_of(texts, no_texts))
def test_a_channel_name_is_accepted_where_the_rule_allows_it(name):
    with codec_layer("plain") as layer:
        legal = is_channel_name(name)
        check_accepted(lambda: layer.send(name, {}), legal)
        check_accepted(lambda: layer.group_add("crowd", name), legal)
        assert bool(keys_of(layer)) == legal
        check_accepted(lambda: layer.group_discard("crowd", name), legal)
        check_accepted(lambda: layer.channel_statistics(name), legal)
        check_accepted(lambda: layer.receive([name]), is_receivable(name))


@examples(2)
@given(names=st.lists(st.one_of(channels.map(queue_of), texts, no_texts), max_size=3), block=st.booleans())
def test_a_list_of_names_is_accepted_where_all_its_names_are(names, block):
    with codec_layer("plain") as layer:
        layer.blpop_timeout = 0.001  # no names, nothing to wait for
        if all(map(is_receivable, names)):
            for name in names[:1]:
                layer.send(name, {"n": 1})
            assert layer.receive(names, block) == ((names[0], {"n": 1}) if names else (None, None))
        else:
            with pytest.raises(TypeError):
                layer.receive(names, block)
            assert keys_of(layer) == []


@examples(4)
@given(name=st.one_of(texts, no_texts))
def test_a_group_name_is_accepted_where_the_rule_allows_it(name):
    with codec_layer("plain") as layer:
        legal = is_plain_name(name)
        check_accepted(lambda: layer.group_add(name, "normal"), legal)
        assert bool(keys_of(layer)) == legal
        check_accepted(lambda: layer.send_group(name, {"n": 1}), legal)
        check_accepted(lambda: layer.group_channels(name), legal)
        check_accepted(lambda: layer.group_discard(name, "normal"), legal)
        assert layer.receive(["normal"]) == (("normal", {"n": 1}) if legal else (None, None))


@examples(2)
@given(pattern=st.one_of(texts, texts.map(lambda text: text + "?"), words.map(lambda text: text + "?"), no_texts))
def test_a_pattern_for_new_channels_is_accepted_where_its_names_are_legal(pattern):
    with codec_layer("plain") as layer:
        if isinstance(pattern, six.text_type) and pattern.endswith("?") and is_channel_name(pattern + "x" * 12):
            name = layer.new_channel(pattern)
            assert name.startswith(pattern) and is_channel_name(name)
        else:
            with pytest.raises(TypeError):
                layer.new_channel(pattern)


# Prefixes.


@pytest.fixture(scope="module")
def own_server():
    """A server for this module, where any key may be written and deleted."""
    with Server() as server:
        yield server


odd_texts = st.one_of(st.text("a*?[]\\^-", max_size=4), st.text("{}%:#\n\r \x00\u00e9", max_size=4), st.text())
prefixes = st.one_of(odd_texts, odd_texts.map(lambda text: text + ":"))


def exchange(layer):
    """Send, receive and wait on channels of all kinds, and through a group."""
    for channel in ("normal", "reader?x", "process!x", "process!y"):
        layer.send(channel, {"to": channel})
        assert layer.receive([queue_of(channel), "other"]) == (channel, {"to": channel})
        layer.group_add("crowd", channel)
    reader = Reader(layer, ["other", "process!"])
    wait_until_blocked(layer, 1)
    layer.send_group("crowd", {"n": 1})
    reader.join()
    assert (reader.found, reader.error) == (("process!x", {"n": 1}), None)
    for channel in ("normal", "reader?x", "process!y"):
        assert layer.receive([queue_of(channel)]) == (channel, {"n": 1})


def leave_something(layer):
    """What ``state`` shows, to be looked for later."""
    layer.group_add("crowd", "normal")
    layer.send("normal", {"n": 1})
    layer.send("process!x", {"n": 2})


def state(layer):
    return (
        layer.global_statistics()["messages_count"], layer.group_channels("crowd"),
        layer.receive(["normal"]), layer.receive(["process!"]),
    )


@examples(2)
@given(prefix=prefixes, stats_prefix=prefixes)
def test_a_layer_works_with_any_prefix(own_server, prefix, stats_prefix):
    with making_layers() as make:
        layer = make(hosts=[own_server.url], prefix=prefix, stats_prefix=stats_prefix)
        layer.connection(0).flushall()
        exchange(layer)
        layer.flush()
        assert state(layer) == (0, [], (None, None), (None, None))


@examples(4)
@given(texts=st.lists(prefixes, min_size=4, max_size=4, unique=True))
def test_flush_leaves_alone_what_begins_with_another_prefix(own_server, texts):
    assume(not any(one.startswith(other) for one in texts for other in texts if one is not other))
    with making_layers() as make:
        layer, other = [
            make(hosts=[own_server.url], prefix=prefix, stats_prefix=stats_prefix)
            for prefix, stats_prefix in (texts[:2], texts[2:])
        ]
        layer.connection(0).flushall()
        for one in (layer, other):
            leave_something(one)
        layer.flush()
        assert keys_of(layer) == []
        assert state(layer) == (0, [], (None, None), (None, None))
        assert state(other) == (2, ["normal"], ("normal", {"n": 1}), ("process!x", {"n": 2}))


@pytest.mark.skipif(six.PY2, reason="Python 2 encodes lone surrogates")
@pytest.mark.parametrize("argument", ["prefix", "stats_prefix"])
def test_a_prefix_that_can_not_be_encoded_is_refused_at_once(argument):
    with pytest.raises((TypeError, ValueError)) as raised:
        RedisChannelLayer(**{argument: "lone \ud800:"})
    assert argument in str(raised.value)
