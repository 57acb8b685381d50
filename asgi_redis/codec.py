"""Message <-> bytes: msgpack, inside Fernet where there are keys."""
from __future__ import unicode_literals

import base64
import hashlib
import struct
import time

import msgpack
import six

try:
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet
except ImportError:
    Fernet = None


#: text for text on every msgpack from 0.5.2 on; and keys that are numbers, which 1.0 refuses unless told.
UNPACK_OPTIONS = {"raw": False}
if msgpack.version >= (0, 6):
    UNPACK_OPTIONS["strict_map_key"] = False

#: Later ones trust no length that goes beyond the body.
LENGTHS = ["max_%s_len" % kind for kind in ("str", "bin", "array", "map", "ext")] if msgpack.version < (0, 6) else []


def unpack_options(body):
    """Arguments for ``msgpack.unpackb``."""
    return dict(UNPACK_OPTIONS, **dict.fromkeys(LENGTHS, len(body))) if LENGTHS else UNPACK_OPTIONS


#: What msgpack packs as it is, beside maps and lists.
SCALARS = six.integer_types + (six.text_type, six.binary_type, bytearray, memoryview, float, bool, type(None))


#: What msgpack's versions raise for a body that is none of theirs. Anything else comes from elsewhere, as a signal.
UNPACK_ERRORS = (ValueError, TypeError, OverflowError, RuntimeError, msgpack.UnpackException)


class BadMessage(ValueError):
    """A body that is no message; the text says why, and never what was in it."""


def make_fernet(key):
    """
    The cipher for one key.

    ``key``: text or bytes of any length, best with 32 bytes of entropy. Its SHA-256, in URL-safe base64, is the Fernet
    key, as in releases 1.x.
    """
    if Fernet is None:
        raise ValueError("Encryption needs the package 'cryptography': pip install asgi_redis[cryptography]")
    if not isinstance(key, (six.text_type, six.binary_type)):
        raise ValueError("An encryption key must be text or bytes, not %s." % type(key).__name__)
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(six.ensure_binary(key, "utf-8")).digest()))


def unpackable(value):
    """The name of the first type inside ``value`` that msgpack has no form for, or None."""
    if isinstance(value, dict):
        parts = list(value) + list(value.values())
    elif isinstance(value, (list, tuple)):
        parts = value
    else:
        return None if isinstance(value, SCALARS) else type(value).__name__
    return next((name for name in map(unpackable, parts) if name), None)


class Codec(object):
    """
    Packs messages and unpacks bodies.

    ``keys``: symmetric encryption keys; the first encrypts, all decrypt. None: bodies are not encrypted.
    ``max_age``: seconds after which an encrypted body is refused.
    """

    def __init__(self, keys=None, max_age=70):
        self.crypter = MultiFernet([make_fernet(key) for key in keys]) if keys else None
        self.max_age = max_age

    def encode(self, message):
        """The body of ``message``, a dict. TypeError names the type that msgpack has no form for."""
        return self.encrypt(self.pack(message))

    def pack(self, message):
        """``encode`` without the encryption."""
        try:
            return msgpack.packb(message, use_bin_type=True)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            six.raise_from(TypeError(self._reason(message, error)), None)

    def encrypt(self, packed):
        return self.crypter.encrypt(packed) if self.crypter else packed

    def with_item(self, packed, length, key, value):
        """``packed``, a dict of ``length`` items, with one more, without packing the others again."""
        packer = msgpack.Packer(use_bin_type=True)
        rest = packed[len(packer.pack_map_header(length)):]
        return packer.pack_map_header(length + 1) + rest + packer.pack(key) + packer.pack(value)

    def _reason(self, message, error):
        # msgpack's own words may quote the value, so they are not passed on.
        try:
            name = unpackable(message)
        except RuntimeError:
            return "nested too deeply"
        if name:
            return "%s has no form in msgpack" % name
        # msgpack before 1.0 raises subclasses of these.
        reasons = [
            (UnicodeError, "text that is not valid Unicode"), (OverflowError, "an integer is beyond 64 bits"),
            (ValueError, "nested too deeply"),
        ]
        return next((reason for kind, reason in reasons if isinstance(error, kind)), type(error).__name__)

    def decode(self, body):
        """The message in ``body``. BadMessage says why there is none."""
        return self.unpack(self.decrypt(body))

    def decrypt(self, body):
        """What is inside the encryption of ``body``, if there is any. BadMessage where it can't be trusted."""
        if not self.crypter:
            return body
        try:
            return self.crypter.decrypt(body, self.max_age)
        except InvalidToken:
            raise BadMessage(self._distrust(body))

    def _distrust(self, body):
        try:
            self.crypter.decrypt(body)  # of any age
        except InvalidToken:
            return "it can't be decrypted: a wrong key, or changed on the way"
        age = time.time() - encrypted_at(body)
        return (
            "by the clocks it was sent %d seconds %s, which is more than a message lives: those of the machines differ"
            % (abs(age), "ago" if age > 0 else "from now")
        )

    def unpack(self, body):
        """The message in a body that is not encrypted. BadMessage says why there is none."""
        try:
            message = msgpack.unpackb(body, **unpack_options(body))
        except UNPACK_ERRORS as error:
            six.raise_from(BadMessage("it is not msgpack (%s)" % type(error).__name__), None)
        if not isinstance(message, dict):
            raise BadMessage("it is a %s, not a map" % type(message).__name__)
        return message


def encrypted_at(token):
    """Seconds since the epoch, by the clock of who made a Fernet token: eight bytes behind the first."""
    return struct.unpack(b">Q", base64.urlsafe_b64decode(token[:12])[1:])[0]
