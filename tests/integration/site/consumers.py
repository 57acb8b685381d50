from __future__ import unicode_literals

import io
import os

from channels import Group
from channels.sessions import enforce_ordering
from django.conf import settings

from asgi_redis import __version__


@enforce_ordering
def open_echo(message):
    message.reply_channel.send({"accept": True})


@enforce_ordering
def echo(message):
    # At once: what waits for the end of the consumer would go out after the next message is free for another worker.
    message.reply_channel.send({key: message[key] for key in ("text", "bytes") if key in message}, immediately=True)


@enforce_ordering
def close_echo(message):
    pass


def note(message):
    """Write down which message came here, in a file of this process: a line ends once it is all there."""
    with io.open(os.path.join(settings.NOTES, "%d.notes" % os.getpid()), "a", encoding="ascii") as notes:
        notes.write("%d %s\n" % (message["number"], __version__))


def join(message, group):
    # A client that sees its socket open is in the group.
    Group(group).add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def leave(message, group):
    Group(group).discard(message.reply_channel)
