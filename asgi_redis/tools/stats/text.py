"""``stats`` as text."""
from __future__ import unicode_literals

import time

#: How wide the bar of a full channel is, how many rows a table has at most, and to how many characters a cell may be
#: shortened: before a column is left out, and after all that may be.
BAR = 10
MOST_ROWS = 30
SHORT, SHORTEST = 16, 12

#: The tables that have fewer rows on a low terminal, the first one first, and how many they keep.
FEWEST_ROWS = [("groups", 0), ("processes", 2), ("channels", 2), ("shards", 2)]

#: The columns of each table that a narrow terminal does without, the first one first.
OPTIONAL = {
    "channels": ["", "capacity", "sent", "full", "dropped"],
    "processes": ["redis-py", "Python", "running", "release"],
    "groups": [],
    "shards": ["share", "groups", "sent", "waiting"],
}


def tables(found, before=None, columns=None, height=None):
    """
    Return lines of text about ``found``, from ``collect``.

    ``before``: an earlier one, for rates. ``columns``, ``height``: how wide a line may be, and how many there may be;
    there may be more if each table has only its FEWEST_ROWS (default: as it comes).
    """
    head = ["asgi_redis %s, %s" % (found["release"], time.strftime("%H:%M:%S", time.localtime(found["time"])))]
    if not found["is_whole"]:
        head.append("A server has so many keys that only some were looked at: channels and groups may be missing.")
    head += errors(found)
    sections = [
        ("channels", channels(found, before)), ("processes", processes(found)), ("groups", groups(found)),
        ("shards", shards(found)),
    ]
    most = dict.fromkeys(OPTIONAL, MOST_ROWS)
    lines = head + all_tables(sections, columns, most)
    for title, fewest in FEWEST_ROWS:
        while height and len(lines) > height and most[title] > fewest:
            most[title] = min(most[title], len(found[title])) - 1
            lines = head + all_tables(sections, columns, most)
    return [line[:columns] for line in lines]


def all_tables(sections, columns, most):
    lines = []
    for title, rows in sections:
        lines += ["", "%s (%d)" % (title.capitalize(), len(rows) - 1)]
        if len(rows) > 1 and most[title]:
            lines += table(rows, columns, OPTIONAL[title], most[title])
    return lines


def table(rows, columns=None, optional=(), most=MOST_ROWS):
    """
    Return lines for ``rows`` of texts, the first of which are headings. Columns of numbers are aligned right.

    ``optional``: headings of columns that may be left out.
    """
    most += len(rows) == 2 + most  # a row is as long as the line that would tell of it
    rows, more = rows[:1 + most], len(rows) - 1 - most
    by_column, widths = fitted(list(zip(*rows)), columns, optional)
    right = [all(cell[:1].isdigit() or cell == "-" for cell in column[1:]) for column in by_column]
    lines = [
        "".join(
            "  " + (shortened(cell, width).rjust(width) if is_right else shortened(cell, width).ljust(width))
            for cell, width, is_right in zip(row, widths, right)
        ).rstrip() for row in zip(*by_column)
    ]
    return lines + (["  ... and %d more" % more] if more > 0 else [])


def fitted(by_column, columns, optional):
    """Return those of ``by_column`` that have room, and their widths: the widest one gets what the others leave."""
    for dropped in list(optional) + [None]:
        widths = [max(len(cell) for cell in column) for column in by_column]
        widest = widths.index(max(widths))
        room = widths[widest] - max(sum(widths) + 2 * len(widths) - columns, 0) if columns else widths[widest]
        if room >= min(SHORT, widths[widest]):
            break
        by_column = [column for column in by_column if column[0] != dropped]
    widths[widest] = max(room, min(SHORTEST, widths[widest]))
    return by_column, widths


def shortened(text, length):
    """
    Return ``text`` with at most ``length`` characters: its beginning and its end, where the random part of a name is,
    or the beginning of a list.
    """
    if len(text) <= length:
        return text
    kept = length - 3
    if ", " in text:
        return text[:kept] + "..."
    return text[:kept - kept // 3] + "..." + text[len(text) - kept // 3:]


def channels(found, before):
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
    return rows


def filled(channel):
    """Return how full a channel is, from 0 to 1."""
    return min(float(channel["waiting"]) / max(channel["capacity"], 1), 1)


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
