"""The Lua scripts: everything that has to happen in one step, and one round trip, on the server.

Each ``.lua`` file opens with its keys, arguments and answer. Every key is declared, but for the message keys that a
queue holds: those are known only once they are popped, and are in the same slot as the queue.
"""
from __future__ import unicode_literals

import hashlib
import pkgutil

from redis.exceptions import NoScriptError, ResponseError


class UnsupportedRedis(Exception):
    """The server is too old: it lacks a command that this layer cannot do without (Redis 2.6.12 is the oldest)."""


class Script(object):
    """
    One script, sent by its digest, and whole where the server does not know it yet.

    ``name``: the file's name without ``.lua``.
    """

    def __init__(self, name):
        self.source = pkgutil.get_data(__name__, name + ".lua")
        self.sha = hashlib.sha1(self.source).hexdigest()

    def __call__(self, call, keys, args):
        """
        Run the script through ``call(*command)`` and return its answer.

        EVAL, not SCRIPT LOAD, follows an unknown digest: a SCRIPT FLUSH between two commands could not be survived.
        """
        keys_and_args = [len(keys)] + keys + args
        try:
            return call("EVALSHA", self.sha, *keys_and_args)
        except NoScriptError:
            return call("EVAL", self.source, *keys_and_args)
        except ResponseError as error:
            if "unknown command" in str(error).lower():
                raise UnsupportedRedis("This server has no Lua scripts: Redis 2.6.12 or newer is needed.")
            raise


announce = Script("announce")
channel_statistics = Script("channel_statistics")
count_full = Script("count_full")
group_add = Script("group_add")
group_discard = Script("group_discard")
group_members = Script("group_members")
put_back = Script("put_back")
receive = Script("receive")
reclaim = Script("reclaim")
recover = Script("recover")
restore = Script("restore")
send = Script("send")
send_group = Script("send_group")
wake = Script("wake")
