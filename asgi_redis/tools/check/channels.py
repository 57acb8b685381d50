"""Whether messages wait for long, or channels are full, and which processes should have taken them."""
from __future__ import unicode_literals

from ..internals import MOST_CHANNELS
from ..stats.collect import Shard, of_channel
from .processes import names
from .verdicts import note, ok, warning

#: For how long, in seconds, a message may wait before that is a warning; half of ``expiry`` if that is less.
OLD = 10

#: How many channels there are verdicts on.
MOST = 10

#: What Daphne sends for each request that has ended, and what most sites do not read.
UNREAD = "http.disconnect"


def look(layer, records):
    """Return the verdicts on channels. ``records``: of the processes that receive, or None if they are unknown."""
    shards = [Shard(layer, index) for index in range(layer.ring_size)]
    known = [shard for shard in shards if shard.figures]
    errors = [shard.error for shard in shards if shard.error]
    if errors and not known:
        return [note("channels", "Not checked: %s." % errors[0].rstrip("."))]
    channels = [of_channel(layer, name, known) for name in sorted(set().union(*[shard.figures for shard in known]))]
    bad = [channel for channel in channels if is_bad(channel, min(OLD, layer.expiry / 2.0))]
    bad.sort(key=lambda channel: (-channel["oldest"], channel["channel"]))
    found = [of_bad(channel, records) for channel in bad[:MOST]]
    if len(bad) > MOST:
        found.append(note("channels", "%d more are full, or have old messages." % (len(bad) - MOST)))
    return found or [ok("channels", "%d in the last hour, none full, no message has waited for long" % len(channels))]


def is_bad(channel, old):
    return channel["waiting"] and (channel["oldest"] > old or channel["waiting"] >= channel["capacity"])


def of_bad(channel, records):
    name = channel["channel"]
    text = "%s: %d of %d wait, the oldest for %.0f s. " % (
        name, channel["waiting"], channel["capacity"], channel["oldest"],
    )
    readers = [record for record in records or [] if may_read(record, name)]
    if readers:
        return warning("channels", text + "Its readers are too slow or too few, or hang: %s." % names(readers))
    if name == UNREAD:
        return note("channels", text + "None of the processes above reads it, which is harmless.")
    if records is None:
        return warning("channels", text.rstrip())
    if "!" in name:
        return warning("channels", text + "Its process hangs or has ended.")
    return warning("channels", text + "None of the processes above reads it.")


def may_read(record, channel):
    """Return True if a process reads ``channel``. A record that is full may lack channels."""
    queue = channel.partition("!")[0] + "!" if "!" in channel else channel
    return queue in record["channels"] or ("!" not in channel and len(record["channels"]) >= MOST_CHANNELS)
