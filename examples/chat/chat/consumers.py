"""
What happens on a WebSocket. It speaks JSON:

    browser: {"say": text, "id": id}                     say something
             {"here": true}                              a sign of life, every ``rooms.BEAT`` seconds
    server:  {"entries": [...]}                          what was said, or who joined or left
             {"entries": [...], "people": [...], "at": number, "you": name}

An entry is {"at", "kind": "said" | "joined" | "left", "name"}, with "text" and "id" if said. Two workers may send their
entries in either order, so browsers sort by ``at``. "people", if there, are the names of those in the room as of the
number "at". "you" comes once, with the history.

On the page /status a browser sends anything every ``status.BEAT`` seconds, and gets what ``status.Reader`` reads.
"""
import json
from urllib.parse import parse_qs

from channels import Channel, Group
from channels.exceptions import DenyConnection
from channels.security.websockets import allowed_hosts_only

from . import status
from .rooms import NAME_LENGTH, TEXT_LENGTH, Room


@allowed_hosts_only
def connect(message, slug):
    name = clean_name(message["query_string"])
    if not name:
        raise DenyConnection()
    room = Room(slug)
    # First the group, then the history: what is said meanwhile comes twice rather than never.
    group(room).add(message.reply_channel)
    is_new = room.enter(message.reply_channel.name, name)
    drop_silent(room)
    reply(message, {"accept": True, "text": json.dumps(dict(news(room, room.history()), you=name))})
    if is_new:
        announce(room, "joined", name)


def receive(message, slug):
    room = Room(slug)
    name = room.name_of(message.reply_channel.name)
    if name is None:
        # It was silent for too long, asleep perhaps: the browser comes back by itself.
        reply(message, {"close": True})
        return
    content = decode(message.get("text"))
    text = content.get("say")
    if isinstance(text, str) and text.strip():
        entry = room.say(name, text.strip()[:TEXT_LENGTH], str(content.get("id"))[:40])
        tell(room, {"entries": [entry]})
    elif "here" in content:
        room.beat(message.reply_channel.name)
        drop_silent(room)


def disconnect(message, slug):
    remove(Room(slug), message.reply_channel.name)


def group(room):
    return Group("room-" + room.slug)


def tell(room, content):
    """Send to everyone in the room."""
    group(room).send({"text": json.dumps(content)}, immediately=True)


def reply(message, content):
    # Immediately, as all that is sent here: otherwise Channels sends when the consumer has ended, and a send that fails
    # then, because Redis is unavailable, ends the worker.
    message.reply_channel.send(content, immediately=True)


def clean_name(query_string):
    """The name in ``?name=``, on one line and without characters that turn or hide text."""
    name = parse_qs(query_string.decode("utf-8", "replace")).get("name", [""])[0]
    return "".join(char for char in " ".join(name.split()) if char.isprintable())[:NAME_LENGTH].strip()


def decode(text):
    """The object in a frame; {} for anything else."""
    try:
        content = json.loads(text or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def news(room, entries, at=None):
    """Entries and who is here."""
    # The number first, then the names: so of two lists the one with the higher number is never the older.
    at = at or room.number()
    return {"entries": entries, "people": room.people(), "at": at}


def announce(room, kind, name):
    """Tell the room who joined, or left."""
    at = room.number()
    tell(room, news(room, [{"at": at, "kind": kind, "name": name}], at))


def remove(room, socket):
    group(room).discard(socket)
    name = room.leave(socket)
    if name:
        announce(room, "left", name)


def drop_silent(room):
    """Remove those whose Daphne has crashed: nobody else will."""
    for socket in room.silent():
        remove(room, socket)


@allowed_hosts_only
def connect_status(message):
    reply(message, {"accept": True})
    look(message)


def look(message):
    # Each look joins the group: a Redis that was restarted has lost it.
    Group(status.GROUP).add(message.reply_channel)
    try:
        Channel(status.LOOKS).send({}, immediately=True)
    except message.channel_layer.ChannelFull:
        pass  # looks enough


def disconnect_status(message):
    Group(status.GROUP).discard(message.reply_channel)
