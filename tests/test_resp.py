"""Replies of Redis, as the server sends them."""
from __future__ import unicode_literals

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import InvalidResponse

from asgi_redis.server import resp

REPLIES = st.recursive(
    st.none() | st.integers(-2 ** 63, 2 ** 63 - 1) | st.binary(),
    lambda replies: st.lists(replies, max_size=5), max_leaves=20,
)


def sent(reply):
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, list):
        return resp.array(len(reply)) + b"".join([sent(item) for item in reply])
    return resp.bulk(reply) if isinstance(reply, bytes) else b":" + resp.ascii_digits(reply) + b"\r\n"


@given(REPLIES)
def test_a_reply(reply):
    data = sent(reply)
    assert resp.parse(data) == (reply, len(data))


@given(REPLIES, st.binary(), st.binary())
def test_a_reply_between_others(reply, before, after):
    data = before + sent(reply)
    assert resp.parse(data + after, len(before)) == (reply, len(data))


@given(REPLIES, st.data())
def test_a_part_of_a_reply(reply, cut):
    data = sent(reply)
    part = data[:cut.draw(st.integers(0, len(data) - 1))]
    assert len(part) < resp.parse(part)[1] <= len(data) + 1


@pytest.mark.parametrize("data, reply", [
    (b"+OK\r\n", b"OK"), (b"*-1\r\n", None), (b"-NOSCRIPT No matching script.\r\n", "NOSCRIPT No matching script."),
])
def test_other_replies(data, reply):
    assert resp.parse(data) == (reply, len(data))
    assert isinstance(resp.parse(data)[0], resp.Error) == data.startswith(b"-")


def test_what_is_no_reply():
    with pytest.raises(InvalidResponse, match="HTTP/1.1 400 Bad Request"):
        resp.parse(b"HTTP/1.1 400 Bad Request\r\n")
