"""The Lua scripts: everything that must happen in one step, and one round trip, on the server.

Each ``.lua`` file opens with its keys, arguments and reply. Every queue is declared. A key that is derived from a
declared one begins with it, or lies in its slot on a Redis Cluster. The scripts run on Redis 2.6's Lua, and never write
in an order taken from ``pairs``. The first line of those that use keys which they do not declare permits that on
Dragonfly.
"""
from __future__ import unicode_literals

import hashlib
import pkgutil

from .. import resp


class Script(object):
    """One script, from the file ``name.lua``."""

    def __init__(self, name):
        source = pkgutil.get_data(__name__, name + ".lua")
        #: The first two words of a command that runs the script: with its digest, and with the whole script for a
        #: server that does not have it yet. EVAL, not SCRIPT LOAD: a SCRIPT FLUSH could come between that and EVALSHA.
        self.by_digest = resp.command("EVALSHA", hashlib.sha1(source).hexdigest())[4:]
        self.whole = resp.command("EVAL", source)[4:]

    def head(self, keys, arguments):
        """Return the beginning of a command with this many keys and arguments."""
        return resp.array(3 + keys + arguments) + self.by_digest + resp.bulk(keys)

    def command(self, keys, arguments):
        """Return a whole command. ``keys``, ``arguments``: lists of bytes, text and integers."""
        return self.head(len(keys), len(arguments)) + b"".join([resp.bulk(part) for part in keys + arguments])


announce = Script("announce")
channel_statistics = Script("channel_statistics")
count = Script("count")
flush = Script("flush")
group_add = Script("group_add")
group_discard = Script("group_discard")
group_members = Script("group_members")
origin = Script("origin")
presence = Script("presence")
put_back = Script("put_back")
receive = Script("receive")
return_message = Script("return_message")
send = Script("send")
send_group = Script("send_group")
wake = Script("wake")

_WHOLE = {script.by_digest: script.whole for script in list(globals().values()) if isinstance(script, Script)}


def whole(command):
    """Return ``command``, which runs a script by its digest, with the whole script instead of the digest."""
    start = command.index(b"\r\n") + 2
    end = start + len(send.by_digest)
    return command[:start] + _WHOLE[command[start:end]] + command[end:]
