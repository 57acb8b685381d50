"""The commands ``send``, ``receive``, ``group`` and ``flush``: for finding out where it goes wrong."""
from __future__ import unicode_literals

import json
import sys

import six
from six.moves import input

from .stats.collect import collect
from .target import CannotRun, add_options, make_layer


def add_to(commands):
    """Add the commands to ``commands``, the subparsers of ``argparse``."""
    parser = add_command(commands, "send", send, "send a message to a channel")
    parser.add_argument("channel")
    parser.add_argument("message", help=MESSAGE_HELP)

    parser = add_command(commands, "receive", receive, "take messages from channels, and print them", epilog=(
        "Exit status: 0, 1 if there was no message, 2 after an error. The messages are gone then."
    ))
    parser.add_argument("channels", nargs="+", metavar="channel", help=(
        "of a process-specific channel, the name up to its !"
    ))
    parser.add_argument("--wait", action="store_true", help="wait for a message, for 5 seconds")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="up to how many messages (default 1)")

    groups = commands.add_parser("group", help="change a group, list it, or send to it").add_subparsers(
        metavar="action", dest="action"
    )
    groups.required = True
    for name, run, about in [
        ("add", group_add, "make a channel a member"), ("discard", group_discard, "remove a channel"),
        ("list", group_list, "print the members"), ("send", group_send, "send a message to all members"),
    ]:
        parser = add_command(groups, name, run, about)
        parser.add_argument("group")
        if name in ("add", "discard"):
            parser.add_argument("channel")
        elif name == "send":
            parser.add_argument("message", help=MESSAGE_HELP)

    parser = add_command(commands, "flush", flush, "delete all messages, groups and counters of the layer")
    parser.add_argument("--yes", action="store_true", help="do not ask")


MESSAGE_HELP = "a JSON object, or - to read it from standard input"


def add_command(commands, name, run, about, **options):
    parser = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".", **options)
    add_options(parser)
    parser.set_defaults(run=run)
    return parser


def read_message(text):
    """Return the message in ``text``, or on standard input if that is a hyphen. CannotRun if it is not one."""
    try:
        message = json.loads(sys.stdin.read() if text == "-" else six.ensure_text(text))
    except ValueError as error:
        raise CannotRun("The message is not JSON: %s" % error)
    if not isinstance(message, dict):
        raise CannotRun("The message must be a JSON object, as {\"text\": \"hello\"}.")
    return message


def called(method, *arguments):
    """Return ``method(*arguments)``. CannotRun for a wrong name or message."""
    try:
        return method(*[six.ensure_text(part) if isinstance(part, str) else part for part in arguments])
    except (TypeError, ValueError) as error:
        raise CannotRun("%s" % error)


def send(options, screen, signals):
    layer, message = make_layer(options), read_message(options.message)
    try:
        called(layer.send, options.channel, message)
    except layer.ChannelFull as error:
        raise CannotRun("%s" % error)
    return 0


def receive(options, screen, signals):
    layer, found = make_layer(options), 0
    with signals.raised():
        while found < options.count:
            names = [six.ensure_text(channel) for channel in options.channels]
            channel, message = called(layer.receive, names, options.wait)
            if channel is None:
                break
            found += 1
            screen.line(json.dumps({"channel": channel, "message": message}, default=repr, sort_keys=True))
    return 0 if found else 1


def group_add(options, screen, signals):
    called(make_layer(options).group_add, options.group, options.channel)
    return 0


def group_discard(options, screen, signals):
    called(make_layer(options).group_discard, options.group, options.channel)
    return 0


def group_list(options, screen, signals):
    for channel in called(make_layer(options).group_channels, options.group):
        screen.line(channel)
    return 0


def group_send(options, screen, signals):
    layer, message = make_layer(options), read_message(options.message)
    called(layer.send_group, options.group, message)
    return 0


def flush(options, screen, signals):
    """Delete everything, once the user has agreed. Return 1 if the user has not."""
    layer = make_layer(options)
    with signals.raised():
        found = collect(layer)
        screen.line("%s, prefixes %s and %s" % (
            ", ".join(shard["address"] for shard in found["shards"]), layer.prefix, layer.stats_prefix,
        ))
        screen.line("%d messages in %d channels, %d groups with %d members, and all counters." % (
            sum(channel["waiting"] for channel in found["channels"]), len(found["channels"]), len(found["groups"]),
            sum(group["members"] for group in found["groups"]),
        ))
        if not options.yes and not agreed():
            screen.line("Nothing was deleted.")
            return 1
        layer.flush()
        screen.line("Deleted.")
    return 0


def agreed():
    if not sys.stdin.isatty():
        raise CannotRun("Nobody can be asked here: give --yes to delete this.")
    return input("Delete this? [y/N] ").strip().lower() in ("y", "yes")
