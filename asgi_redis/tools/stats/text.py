"""``stats`` as text."""
from __future__ import unicode_literals

import time

#: How wide the bar of a full channel is, and how many rows a table has.
BAR = 10
MOST_ROWS = 30


def tables(found, before=None):
    """Return lines of text about ``found``, from ``collect``. ``before``: an earlier one, for rates."""
    lines = ["asgi_redis %s, %s" % (found["release"], time.strftime("%H:%M:%S", time.localtime(found["time"])))]
    if not found["is_whole"]:
        lines.append("A server has so many keys that only some were looked at: channels and groups may be missing.")
    sections = [
        ("channels", channels(found, before)), ("processes", processes(found)), ("groups", groups(found)),
        ("shards", shards(found)),
    ]
    for title, rows in sections:
        lines += ["", "%s (%d)" % (title.capitalize(), len(found[title]))] + (table(rows) if len(rows) > 1 else [])
    return lines


def table(rows):
    """Return lines for ``rows`` of texts, the first of which are headings. Columns of numbers are aligned right."""
    rows, more = rows[:1 + MOST_ROWS], len(rows) - 1 - MOST_ROWS
    columns = list(zip(*rows))
    widths = [max(len(cell) for cell in column) for column in columns]
    right = [all(cell[:1].isdigit() or cell == "-" for cell in column[1:]) for column in columns]
    lines = [
        "  " + "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width) for cell, width, is_right in zip(row, widths, right)
        ).rstrip() for row in rows
    ]
    return lines + (["  ... and %d more" % more] if more > 0 else [])


def channels(found, before):
    rows = [["channel", "waiting", "oldest", "capacity", "", "sent", "full", "dropped"]]
    rows[0] += ["sent/s"] if before else []
    earlier = {channel["channel"]: channel["sent"] for channel in before["channels"]} if before else {}
    seconds = found["time"] - before["time"] if before else 1
    for channel in sorted(found["channels"], key=lambda channel: (-filled(channel), channel["channel"])):
        row = [channel["channel"], "%d" % channel["waiting"], "%.0f s" % channel["oldest"], "%d" % channel["capacity"]]
        row += [bar(filled(channel))] + ["%d" % channel[name] for name in ("sent", "full", "dropped")]
        if before:
            # Counters start again from 0 after an hour without messages.
            sent = max(channel["sent"] - earlier.get(channel["channel"], channel["sent"]), 0)
            row.append("%.1f" % (sent / seconds))
        rows.append(row)
    return rows


def filled(channel):
    """Return how full a channel is, from 0 to 1."""
    return min(float(channel["waiting"]) / channel["capacity"], 1)


def bar(part):
    length = int(part * BAR + 0.5)
    return "[%s%s]" % ("#" * length, " " * (BAR - length))


def processes(found):
    rows = [["host", "pid", "release", "Python", "redis-py", "running", "seen", "reads"]]
    for record in found["processes"]:
        rows.append([
            record["host"], "%d" % record["process"], record["release"], record["python"], record["redis_py"],
            age(found["time"] - record["since"]), age(found["time"] - record["seen"]) + " ago",
            shortened(", ".join(record["channels"])),
        ])
    return rows


def shortened(text, length=60):
    return text if len(text) <= length else text[:length - 3] + "..."


def age(seconds):
    """Return a time in one unit, as "3 h"."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return "%d %s" % (seconds // size, unit)
    return "%d s" % max(seconds, 0)


def groups(found):
    ordered = sorted(found["groups"], key=lambda group: (-group["members"], group["group"]))
    return [["group", "members"]] + [[group["group"], "%d" % group["members"]] for group in ordered]


def shards(found):
    rows = [["shard", "address", "waiting", "sent", "share", "groups"]]
    sent = sum(shard.get("sent", 0) for shard in found["shards"])
    for number, shard in enumerate(found["shards"], 1):
        if "error" in shard:
            rows.append(["%d" % number, shard["address"], "-", "-", "-", "- " + shard["error"]])
        else:
            share = "%d %%" % (100 * shard["sent"] // sent) if sent else "-"
            rows.append(["%d" % number, shard["address"]] + [
                "%d" % shard["waiting"], "%d" % shard["sent"], share, "%d" % shard["groups"],
            ])
    return rows
