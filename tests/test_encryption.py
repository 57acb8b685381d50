"""symmetric_encryption_keys."""
from __future__ import unicode_literals

import base64
import hashlib
import logging
import threading

import pytest
from cryptography.fernet import Fernet

KEY = "a key"


def test_bodies_are_fernet_tokens_of_the_hashed_key(make_layer, client):
    layer = make_layer(symmetric_encryption_keys=[KEY, "old"])
    layer.send("normal", {"text": "plain words"})
    body = client.get(client.lindex(layer.prefix + "normal", 0))
    assert b"plain" not in body
    fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(KEY.encode()).digest()))
    assert fernet.decrypt(body) == b"\x81\xa4text\xabplain words"
    assert layer.make_fernet(KEY).decrypt(body) == layer.crypter.decrypt(body)


@pytest.mark.parametrize("key", ["text", b"bytes", "\u00e9" * 100, ""])
def test_any_text_or_bytes_may_be_a_key(make_layer, key):
    layer = make_layer(symmetric_encryption_keys=[key])
    layer.send("process!x", {"n": 1})
    assert layer.receive(["process!"]) == ("process!x", {"n": 1})


def test_rotation(make_layer):
    old, both, new = [make_layer(symmetric_encryption_keys=keys) for keys in (["old"], ["new", "old"], ["new"])]
    old.send("normal", {"n": 1})
    both.send("normal", {"n": 2})
    assert both.receive(["normal"])[1] == {"n": 1}
    assert new.receive(["normal"])[1] == {"n": 2}


@pytest.mark.parametrize("reader, writer", [(["other"], [KEY]), ([KEY], None), (None, [KEY])])
def test_what_can_not_be_decrypted_is_dropped(make_layer, caplog, reader, writer):
    make_layer(symmetric_encryption_keys=writer).send("normal", {"n": "s3cr3t"})
    layer = make_layer(symmetric_encryption_keys=reader)
    layer.send("normal", {"n": 2})
    with caplog.at_level(logging.ERROR, "asgi_redis"):
        assert layer.receive(["normal"]) == ("normal", {"n": 2})
    assert "normal" in caplog.text and "s3cr3t" not in caplog.text


def test_a_body_older_than_expiry_and_ten_seconds_is_refused(make_layer, wall_clock):
    layer = make_layer(symmetric_encryption_keys=[KEY], expiry=30)
    wall_clock(-39)
    layer.send("normal", {"n": 1})
    wall_clock(-42)
    layer.send("normal", {"n": 2})
    wall_clock(0)
    assert layer.receive(["normal"]) == ("normal", {"n": 1})
    assert layer.receive(["normal"]) == (None, None)


@pytest.mark.parametrize("seconds, words", [(-300, "300 seconds ago"), (300, "seconds from now")])
def test_clocks_that_differ_are_told_from_a_wrong_key(make_layer, wall_clock, caplog, seconds, words):
    layer = make_layer(symmetric_encryption_keys=["new", "old"], expiry=30)
    wall_clock(seconds)
    make_layer(symmetric_encryption_keys=["old"]).send("normal", {"n": 1})
    wall_clock(0)
    with caplog.at_level(logging.ERROR, "asgi_redis"):
        assert layer.receive(["normal"]) == (None, None)
    assert len(caplog.records) == 1
    assert words in caplog.text and "clocks" in caplog.text and "normal" in caplog.text


def test_keys_are_rotated_in_the_middle_of_traffic_and_nothing_is_lost(make_layer):
    sent, found = [], []

    def write():
        for keys in (["old"], ["old", "new"], ["new", "old"], ["new"]):
            layer = make_layer(symmetric_encryption_keys=keys, capacity=10 ** 6)
            for _ in range(200):
                layer.send("normal", {"n": len(sent)})
                layer.send("process!x", {"n": len(sent)})
                sent.append(len(sent))

    writer = threading.Thread(target=write)
    writer.start()
    readers = [make_layer(symmetric_encryption_keys=keys) for keys in (["old", "new"], ["new", "old"])]
    while writer.is_alive() or len(found) < 2 * len(sent):
        for reader in readers:
            _, message = reader.receive(["normal", "process!"], block=True)
            found += [message["n"]] if message else []
    writer.join()
    assert sorted(found) == sorted(sent + sent)


def test_groups_are_encrypted_too(make_layer, client):
    layer = make_layer(symmetric_encryption_keys=[KEY])
    for name in ("normal", "process!x", "process!y"):
        layer.group_add("crowd", name)
    layer.send_group("crowd", {"text": "plain words"})
    for key in client.keys(layer.prefix + "????????????????????????????????"):
        assert b"plain" not in client.get(key)
    assert layer.receive(["normal"]) == ("normal", {"text": "plain words"})
    assert {layer.receive(["process!"])[0] for _ in range(2)} == {"process!x", "process!y"}
