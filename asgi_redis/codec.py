"""Message <-> bytes: msgpack, encrypted with Fernet if there are keys."""
from __future__ import unicode_literals

import base64
import functools
import hashlib
import struct
import sys
import time

import six

from .whole_msgpack import msgpack

try:
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet
except ImportError:
    Fernet = None


#: Text is unpacked as text on every msgpack from 0.5.2 on, and keys may be numbers, which msgpack 1.0 would refuse.
UNPACK_OPTIONS = {"raw": False}
if msgpack.version >= (0, 6):
    UNPACK_OPTIONS["strict_map_key"] = False
elif msgpack.version < (0, 5, 4):
    # Its own default, "strict", which means the same, makes it warn on each call.
    UNPACK_OPTIONS["unicode_errors"] = None

#: Versions before 0.6 need to be told how long a part may be; later ones accept no length beyond the body's.
LENGTHS = ["max_%s_len" % kind for kind in ("str", "bin", "array", "map", "ext")] if msgpack.version < (0, 6) else []


#: {number of bits of a length: arguments for ``msgpack.unpackb``} for those before, which allow twice as much at most.
OPTIONS_FOR = {bits: dict(UNPACK_OPTIONS, **dict.fromkeys(LENGTHS, 2 ** bits)) for bits in range(63)}


def unpackb(body):
    return msgpack.unpackb(body, **OPTIONS_FOR[len(body).bit_length()])


if not LENGTHS:
    unpackb = functools.partial(msgpack.unpackb, **UNPACK_OPTIONS)


#: The types that msgpack can pack, besides dicts and lists, and take as keys. ExtType is a tuple.
SCALARS = six.integer_types + (six.text_type, six.binary_type, bytearray, memoryview, float, bool, type(None))
SCALARS += tuple(getattr(msgpack, name) for name in ("ExtType", "Timestamp") if hasattr(msgpack, name))


#: How every Fernet token begins, and no message that is not encrypted: a 0x80 and four zeros, in URL-safe base64.
TOKEN = b"gAAAAA"


#: What the versions of msgpack raise for a message that they can't pack, or a body that is not msgpack. Other errors
#: come from elsewhere: from a signal handler, for example.
MSGPACK_ERRORS = (ValueError, TypeError, OverflowError, RuntimeError, msgpack.UnpackException)


class BadMessage(ValueError):
    """A body that is not a message. The text gives the reason, but never the content."""


class WrongKeys(BadMessage):
    """A body that readers with other keys may well be able to read."""


def make_fernet(key):
    """
    Return the cipher for one key.

    ``key``: text or bytes of any length, ideally with 32 bytes of entropy. Its SHA-256, in URL-safe base64, is the
    Fernet key, as in releases 1.x.
    """
    if Fernet is None:
        raise ValueError("Encryption needs the package 'cryptography': pip install asgi_redis[cryptography]")
    if not isinstance(key, (six.text_type, six.binary_type)):
        raise ValueError("An encryption key must be text or bytes, not %s." % type(key).__name__)
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(six.ensure_binary(key, "utf-8")).digest()))


def fingerprint(key):
    """
    Return three hexadecimal digits that differ between most keys. They are too few to find a key by: 4,095 of 4,096
    wrong guesses are recognised, but one of any 4,096 random texts has the same.
    """
    return hashlib.sha256(b"asgi_redis fingerprint " + key).hexdigest()[:3]


def flaw(value):
    """Return why ``value`` can't be packed, or can't be unpacked after that, naming a type; None if no type is why."""
    if isinstance(value, SCALARS):
        return None
    if isinstance(value, dict):
        return first(flaw_of_key, value) or first(flaw, value.values())
    if isinstance(value, (list, tuple)):
        return first(flaw, value)
    if is_lazy(value):
        name = "%s.%s" % (type(value).__module__, type(value).__name__)
        return "%s is a lazy text; call %s() on it" % (name, six.text_type.__name__)
    return "msgpack has no type for %s" % type(value).__name__


def flaw_of_key(key):
    if isinstance(key, (list, tuple, dict)) and not isinstance(key, SCALARS):
        return "%s can't be the key of a dict: a receiver would get a list or dict instead" % type(key).__name__
    return flaw(key)


def first(function, values):
    return next((found for found in map(function, values) if found), None)


def is_lazy(value):
    """Return True if ``value`` is what Django's ``gettext_lazy`` and its like return."""
    django = sys.modules.get("django.utils.functional")
    return django is not None and isinstance(value, django.Promise)


class Codec(object):
    """
    Packs messages and unpacks bodies.

    ``keys``: symmetric encryption keys; the first encrypts, all decrypt (default: bodies are not encrypted).
    ``max_age``: after how many seconds an encrypted body is refused (default 70).
    """

    def __init__(self, keys=None, max_age=70):
        fernets = [make_fernet(key) for key in keys or ()]  # first: without cryptography there is no MultiFernet
        self.crypter = MultiFernet(fernets) if fernets else None
        self.fingerprints = [fingerprint(six.ensure_binary(key)) for key in keys or ()]
        self.max_age = max_age

    def encode(self, message):
        """Return the body of ``message``, a dict. TypeError names what can't be packed, or unpacked after that."""
        return self.encrypt(self.pack(message))

    def pack(self, message):
        """Do ``encode`` without the encryption."""
        try:
            try:
                # This takes neither tuples nor subclasses, so every key in the message can be unpacked as one.
                return msgpack.Packer(use_bin_type=True, strict_types=True).pack(message)
            except TypeError:
                packed = msgpack.Packer(use_bin_type=True).pack(message)
                unpackb(packed)  # faster than to look at the types of all keys
                return packed
        except MSGPACK_ERRORS as error:
            six.raise_from(TypeError(self._reason(message, error)), None)

    def encrypt(self, packed):
        return self.crypter.encrypt(packed) if self.crypter else packed

    def with_item(self, packed, length, key, value):
        """Return ``packed``, a dict of ``length`` items, with one more, without packing the others again."""
        packer = msgpack.Packer(use_bin_type=True)
        rest = packed[len(packer.pack_map_header(length)):]
        return packer.pack_map_header(length + 1) + rest + packer.pack(key) + packer.pack(value)

    def _reason(self, message, error):
        # msgpack's own message may quote the value, so it is not passed on.
        try:
            reason = flaw(message)
        except RuntimeError:
            return "nested too deeply"
        if reason:
            return reason
        # msgpack before 1.0 raises subclasses of these.
        reasons = [
            (UnicodeError, "text that is not valid Unicode"), (OverflowError, "an integer is beyond 64 bits"),
            (ValueError, "nested too deeply"),
        ]
        return next((reason for kind, reason in reasons if isinstance(error, kind)), type(error).__name__)

    def decode(self, body):
        """Return the message in ``body``. BadMessage if there is none."""
        return self.unpack(self.decrypt(body))

    def decrypt(self, body):
        """Return ``body`` decrypted, or as it is if there are no keys. BadMessage if it can't be trusted."""
        if not self.crypter:
            return body
        try:
            return self.crypter.decrypt(body, self.max_age)
        except InvalidToken:
            raise self._distrust(body)

    def _distrust(self, body):
        """Return the exception for a body that can't be decrypted."""
        if not body.startswith(TOKEN):
            return WrongKeys("not encrypted, but this process has keys")
        try:
            self.crypter.decrypt(body)  # of any age
        except InvalidToken:
            return WrongKeys("encrypted with a key that this process does not have, or changed on the way")
        age = time.time() - encrypted_at(body)
        return BadMessage(
            "by the clocks, sent %d seconds %s, longer than a message lives: the clocks of the machines differ"
            % (abs(age), "ago" if age > 0 else "from now")
        )

    def unpack(self, body):
        """Return the message in a body that is not encrypted. BadMessage if there is none."""
        try:
            message = unpackb(body)
        except MSGPACK_ERRORS as error:
            if self.crypter is None and body.startswith(TOKEN):
                raise WrongKeys("encrypted, but this process has no keys")
            six.raise_from(BadMessage("not msgpack (%s)" % type(error).__name__), None)
        if not isinstance(message, dict):
            raise BadMessage("a %s, not a map" % type(message).__name__)
        return message


def encrypted_at(token):
    """
    Return when a Fernet token was made, by its maker's clock, in seconds since the epoch: the eight bytes after the
    first.
    """
    return struct.unpack(b">Q", base64.urlsafe_b64decode(token[:12])[1:])[0]
