"""The commands ``send``, ``receive``, ``group`` and ``flush``: for finding out where it goes wrong."""
from __future__ import unicode_literals

import json
import logging
import sys

import six
from six.moves import input

from .arguments import at_least_one
from .stats.collect import collect
from .target import CannotRun, add_options, on_layer

MESSAGE_HELP = "a JSON object, or - to read it from standard input"


def add_to(commands):
    """Add the commands to ``commands``, the subparsers of ``argparse``."""
    parser = add_command(commands, "send", send, "send a message to a channel")
    parser.add_argument("channel")
    parser.add_argument("message", help=MESSAGE_HELP)

    parser = add_command(commands, "receive", receive, "take messages from channels, and print them", epilog=(
        "The messages are gone then: no worker gets them. Exit status: 0, 1 if there was no message, 2 after an error."
    ))
    parser.add_argument("channels", nargs="+", metavar="channel", help=(
        "for a process-specific channel, its name up to the !"
    ))
    parser.add_argument("--wait", action="store_true", help="wait up to 5 seconds for each message")
    parser.add_argument("--count", type=at_least_one, default=1, metavar="N", help=(
        "take at most N messages (default 1)"
    ))

    add_group_commands(commands)
    parser = add_command(commands, "flush", flush, "delete all messages, groups and counters of the layer", epilog=(
        "Exit status: 0, 1 if you did not agree, 2 after an error."
    ))
    parser.add_argument("--yes", action="store_true", help="do not ask")


def add_group_commands(commands):
    about = "change a group, list it, or send to it"
    groups = commands.add_parser("group", help=about, description=sentence(about)).add_subparsers(
        metavar="action", dest="action"
    )
    groups.required = True
    for name, act, about in [
        ("add", group_add, "make a channel a member"), ("discard", group_discard, "remove a channel"),
        ("list", group_list, "print the members"), ("send", group_send, "send a message to all members"),
    ]:
        parser = add_command(groups, name, act, about)
        parser.add_argument("group")
        if name in ("add", "discard"):
            parser.add_argument("channel")
        elif name == "send":
            parser.add_argument("message", help=MESSAGE_HELP)


def add_command(commands, name, act, about, epilog="Exit status: 0, 2 after an error."):
    parser = commands.add_parser(name, help=about, description=sentence(about), epilog=epilog)
    add_options(parser)
    parser.set_defaults(run=on_layer(act))
    return parser


def sentence(text):
    return text[0].upper() + text[1:] + "."


def read_message(text):
    """Return the message in ``text``, or on standard input if that is a hyphen. CannotRun if it is not one."""
    text = six.ensure_text(text)
    try:
        message = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise CannotRun("The message is not JSON: %s" % error)
    except RuntimeError:  # RecursionError, which Python 2 does not have
        raise CannotRun("The message is nested too deeply to be read.")
    if not isinstance(message, dict):
        raise CannotRun("The message must be a JSON object, such as {\"text\": \"hello\"}.")
    return message


def called(layer, method, *arguments):
    """Return ``method(*arguments)`` of ``layer``. CannotRun for a wrong name or message, or a full channel."""
    try:
        return method(*[six.ensure_text(part) if isinstance(part, str) else part for part in arguments])
    except (TypeError, ValueError, layer.ChannelFull, layer.MessageTooLarge) as error:
        raise CannotRun("%s" % error)


def show_losses():
    """Show what only the log tells: messages that can't be read, or that find members of a group full, are dropped."""
    logging.getLogger("asgi_redis.delivery").addHandler(logging.StreamHandler())


def send(layer, options, screen):
    called(layer, layer.send, options.channel, read_message(options.message))
    return 0


def receive(layer, options, screen):
    show_losses()
    channels, found = [six.ensure_text(channel) for channel in options.channels], 0
    while found < options.count:
        channel, message = called(layer, layer.receive, channels, options.wait)
        if channel is None and options.wait:
            # A receive that waits does not say that a shard is unavailable.
            channel, message = called(layer, layer.receive, channels)
        if channel is None:
            break
        found += 1
        screen.line(json.dumps({"channel": channel, "message": shown(message)}, sort_keys=True))
    return 0 if found else 1


def shown(value):
    """Return a part of a message as JSON can have it: bytes, and what else JSON lacks, as Python writes them."""
    if isinstance(value, dict):
        return {
            key if isinstance(key, six.text_type) else "%s" % shown(key): shown(part) for key, part in value.items()
        }
    if isinstance(value, list):
        return [shown(part) for part in value]
    if value is None or isinstance(value, six.integer_types + (bool, float, six.text_type)):
        return value
    return ("b" if six.PY2 and isinstance(value, bytes) else "") + repr(value)


def group_add(layer, options, screen):
    called(layer, layer.group_add, options.group, options.channel)
    return 0


def group_discard(layer, options, screen):
    called(layer, layer.group_discard, options.group, options.channel)
    return 0


def group_list(layer, options, screen):
    for channel in called(layer, layer.group_channels, options.group):
        screen.line(channel)
    return 0


def group_send(layer, options, screen):
    show_losses()
    called(layer, layer.send_group, options.group, read_message(options.message))
    return 0


def flush(layer, options, screen):
    """Delete everything, once the user has agreed. Return 1 if the user has not."""
    found = collect(layer)
    for shard in found["shards"]:
        if "error" in shard:
            raise CannotRun("Nothing was deleted: %s" % shard["error"])
    screen.line("%s, prefixes %s and %s" % (
        ", ".join(shard["address"] for shard in found["shards"]), layer.prefix, layer.stats_prefix,
    ))
    screen.line("%s%d messages in %d channels, %d groups with %d members, and all counters." % (
        "" if found["is_whole"] else "At least ", sum(channel["waiting"] for channel in found["channels"]),
        len(found["channels"]), len(found["groups"]), sum(group["members"] for group in found["groups"]),
    ))
    if not options.yes and not agreed():
        screen.line("Nothing was deleted.")
        return 1
    layer.flush()
    screen.line("Deleted.")
    return 0


def agreed():
    if not sys.stdin.isatty():
        raise CannotRun("Standard input is not a terminal, so there is no one to ask: add --yes to delete this.")
    try:
        return input("Delete this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D
        sys.stdout.write("\n")
        return False
