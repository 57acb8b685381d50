from __future__ import unicode_literals

from channels import Group
from channels.sessions import enforce_ordering


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


def join(message, group):
    # A client that sees its socket open is in the group.
    Group(group).add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def leave(message, group):
    Group(group).discard(message.reply_channel)
