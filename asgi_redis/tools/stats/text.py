"""``stats`` as text."""
from __future__ import unicode_literals

import time

#: How wide the bar of a full channel is, how many rows a table has, and to how many characters a cell may be shortened.
BAR = 10
MOST_ROWS = 30
SHORTEST = 12

#: A terminal with fewer columns gets no bars.
NARROW = 70


def tables(found, before=None, columns=None):
    """
    Return lines of text about ``found``, from ``collect``.

    ``before``: an earlier one, for rates. ``columns``: how wide a line may be (default: as it comes).
    """
    lines = ["asgi_redis %s, %s" % (found["release"], time.strftime("%H:%M:%S", time.localtime(found["time"])))]
    if not found["is_whole"]:
        lines.append("A server has so many keys that only some were looked at: channels and groups may be missing.")
    sections = [
        ("channels", channels(found, before, columns)), ("processes", processes(found)), ("groups", groups(found)),
        ("shards", shards(found)),
    ]
    for title, rows in sections:
        lines += ["", "%s (%d)" % (title.capitalize(), len(found[title]))]
        lines += table(rows, columns) if len(rows) > 1 else []
    return [line[:columns] for line in lines + errors(found)]


def table(rows, columns=None):
    """Return lines for ``rows`` of texts, the first of which are headings. Columns of numbers are aligned right."""
    rows, more = rows[:1 + MOST_ROWS], len(rows) - 1 - MOST_ROWS
    by_column = list(zip(*rows))
    widths = [max(len(cell) for cell in column) for column in by_column]
    excess = sum(widths) + 2 * len(widths) - columns if columns else 0
    if excess > 0:
        widest = widths.index(max(widths))
        widths[widest] = max(widths[widest] - excess, min(SHORTEST, widths[widest]))
    right = [all(cell[:1].isdigit() or cell == "-" for cell in column[1:]) for column in by_column]
    lines = [
        "".join(
            "  " + (shortened(cell, width).rjust(width) if is_right else shortened(cell, width).ljust(width))
            for cell, width, is_right in zip(row, widths, right)
        ).rstrip() for row in rows
    ]
    return lines + (["  ... and %d more" % more] if more > 0 else [])


def shortened(text, length):
    """Return ``text`` with at most ``length`` characters, its beginning and its end: random parts are at the end."""
    if len(text) <= length:
        return text
    kept = length - 3
    return text[:kept - kept // 3] + "..." + text[len(text) - kept // 3:]


def channels(found, before, columns):
    rows = [["channel", "waiting", "capacity", "", "oldest", "sent", "full", "dropped"]]
    rows[0] += ["sent/s"] if before else []
    earlier = {channel["channel"]: channel["sent"] for channel in before["channels"]} if before else {}
    seconds = max(found["time"] - before["time"], 0.001) if before else 1  # the clock may be set back
    for channel in sorted(found["channels"], key=lambda channel: (-filled(channel), channel["channel"])):
        row = [channel["channel"], "%d" % channel["waiting"], "%d" % channel["capacity"], bar(filled(channel))]
        row += ["%.0f s" % channel["oldest"]] + ["%d" % channel[name] for name in ("sent", "full", "dropped")]
        if before:
            # Counters start again from 0 after an hour without messages.
            sent = max(channel["sent"] - earlier.get(channel["channel"], channel["sent"]), 0)
            row.append("%.1f" % (sent / seconds))
        rows.append(row)
    if columns and columns < NARROW:
        rows = [row[:3] + row[4:] for row in rows]
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
            shortened(", ".join(record["channels"]), 60),
        ])
    return rows


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
    rows = [["shard", "address", "state", "waiting", "sent", "share", "groups"]]
    sent = sum(shard.get("sent", 0) for shard in found["shards"])
    for number, shard in enumerate(found["shards"], 1):
        if "error" in shard:
            rows.append(["%d" % number, shard["address"], "ERROR", "-", "-", "-", "-"])
        else:
            share = "%d %%" % (100 * shard["sent"] // sent) if sent else "-"
            rows.append(["%d" % number, shard["address"], "ok"] + [
                "%d" % shard["waiting"], "%d" % shard["sent"], share, "%d" % shard["groups"],
            ])
    return rows


def errors(found):
    return [
        "  Shard %d: %s" % (number, shard["error"]) for number, shard in enumerate(found["shards"], 1)
        if "error" in shard
    ]
