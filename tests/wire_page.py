"""The tables of docs/wire-format.rst, as a program reads them."""
from __future__ import unicode_literals

import io
import os
import re
import time

import docutils.core
from docutils import nodes

PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "wire-format.rst")

#: The tables of keys that a layer has; the command line has another.
OF_LAYERS = "Keys of release 1.4", "Keys of this release"
OF_CHECK = "Keys of asgi-redis check",

#: How much the clocks of the server and of Python may differ, in seconds: the server reads its own once a command.
CLOCKS = 0.2


def tables():
    """Return {title of a section: the rows of its table without the header, each a list of cells}."""
    with io.open(PAGE, encoding="utf-8") as file:
        # Roles of Sphinx are errors to docutils; a table that is malformed must not pass as one that is not there.
        tree = docutils.core.publish_doctree(file.read(), settings_overrides={"report_level": 5, "halt_level": 4})
    found = {}
    for section in tree.findall(nodes.section):
        for table in [child for child in section.children if isinstance(child, nodes.table)]:
            body = next(iter(table.findall(nodes.tbody)))
            found[section[0].astext()] = [row.children for row in body.children]
    return found


def literal(cell):
    """Return the first literal text in ``cell``, or None."""
    return next((found.astext() for found in cell.findall(nodes.literal)), None)


class Row(object):
    """A row of a table of keys. ``key``, ``type``: as the page has them. ``life``: the longest, in seconds."""

    def __init__(self, cells, compiled, arguments):
        key, type, value, life = cells
        self.key = literal(key)
        self.type = type.astext()
        self.life = eval(literal(life), {"max": max}, arguments)
        self.is_key = compiled(self.key)
        #: Matches the value, or each element of it; None if it is a body.
        self.is_value = compiled(literal(value)) if literal(value) else None
        assert literal(value) or value.astext().startswith("a body")

    def flaw(self, found, since):
        """Return what is wrong with ``found``, a key that it describes and that was made after ``since``, or None."""
        if not 0 <= found.life <= self.life:
            return "lives for %s s, not for %s at most" % (found.life, self.life)
        if found.life < self.life - (time.time() - since) - CLOCKS:
            return "lives for only %s s, not for %s" % (found.life, self.life)
        if self.is_value and not all(self.is_value(element) for element in found.elements):
            return "holds %r" % found.elements


class Found(object):
    """A key on a server. ``type`` is "none" if it has expired since."""

    def __init__(self, client, key):
        self.key = key
        self.elements = None
        self.life = client.pttl(key) / 1000.0
        self.type = client.type(key).decode("ascii")
        if self.type == "string":
            self.elements = [client.get(key)]
        elif self.type == "list":
            self.elements = client.lrange(key, 0, -1)
        elif self.type == "zset":
            self.elements = client.zrange(key, 0, -1)
        if self.elements in ([], [None]):
            self.type = "none"


class Page(object):
    """
    The page, for a layer.

    ``prefixes``, ``stats_prefixes``: a list of one text, or on a Redis Cluster, of one for each hash tag.
    ``arguments``: the layer's arguments that lives depend on, a dict.
    """

    def __init__(self, prefixes, stats_prefixes, arguments):
        found = tables()
        self._names = {literal(row[0]): "(?:%s)" % literal(row[1]) for row in found["Names"]}
        self._names["<prefix>"] = "(?:%s)" % "|".join(map(re.escape, prefixes))
        self._names["<stats>"] = "(?:%s)" % "|".join(map(re.escape, stats_prefixes))
        self.rows = {
            title: [Row(cells, self._compiled, arguments) for cells in found[title]] for title in OF_LAYERS + OF_CHECK
        }

    def _compiled(self, pattern):
        """Return a function that tells whether bytes match ``pattern``: a regular expression if it has no names."""
        parts = re.split("(<[a-z]+>)", pattern)
        if len(parts) > 1:
            pattern = "".join(self._names[part] if part in self._names else re.escape(part) for part in parts)
        return re.compile(("(?:%s)\\Z" % pattern).encode("utf-8")).match

    def keys(self, titles):
        return {row.key for title in titles for row in self.rows[title]}

    def look_at(self, client, since):
        """
        Compare all keys on a server, which were made after ``since``, with the tables, and return the keys of the rows
        that were met. AssertionError if a key does not match exactly one row.
        """
        met = set()
        for key in sorted(set(client.scan_iter())):
            found = Found(client, key)
            rows = [
                row for title in self.rows for row in self.rows[title] if row.is_key(key) and row.type == found.type
            ]
            if found.type == "none":
                continue
            assert len(rows) == 1, "%r, a %s, matches %s" % (key, found.type, [row.key for row in rows] or "no row")
            assert rows[0].flaw(found, since) is None, "%r %s" % (key, rows[0].flaw(found, since))
            met.add(rows[0].key)
        return met
