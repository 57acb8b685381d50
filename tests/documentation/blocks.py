"""The blocks of the documentation, what runs each of them, and what a reader replaces in them."""
import collections
import re
import textwrap
from pathlib import Path

import docutils.core
import docutils.nodes

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS = ["README.rst", "CONTRIBUTING.rst", "SECURITY.rst", "examples/chat/README.rst"] + sorted(
    "docs/" + path.name for path in (ROOT / "docs").glob("*.rst")
)

#: {document: {section: for each of its blocks, its kind, by which the tests in this folder find it, or the file
#: elsewhere that runs it}}.
TABLE = {
    "README.rst": {
        "See it work": ["installation"],
        "Use it": ["installation", "settings", "command", "python"],
    },
    "CONTRIBUTING.rst": {"Set-up": ["set-up"], "Tests": ["tox"], "Releasing": ["release"]},
    "SECURITY.rst": {"What is protected": ["settings"]},
    "examples/chat/README.rst": {"Run it": ["chat", "chat by hand"]},
    "docs/commands.rst": {"The command line": ["sample"]},
    "docs/deploying.rst": {
        "systemd": ["units", "units", "systemctl"],
        "supervisor": ["supervisor"],
        "Docker Compose": ["compose", "settings"],
        "Managed Redis": ["settings"],
        "Least privilege": ["users", "settings", "tests/acl.py"],
    },
    "docs/design.rst": {"The map of the code": ["map"]},
    "docs/getting-started.rst": {
        "Getting started": ["installation", "settings", "site"],
        "In code": ["python", "python", "python"],
    },
    "docs/groups.rst": {
        "When a channel is full": ["log"],
        "Statistics and flush": ["session", "settings"],
    },
    "docs/moving-off.rst": {
        "What the two sites need": ["installation", "tests/moving_off/test_moving_off.py"],
        "The old site": ["tests/moving_off/sites.py"] * 2,
        "The layer in the new site": ["tests/moving_off/sites.py"],
        "From the new site to the old one": ["tests/moving_off/sites.py"] * 2,
        "From the old site to the new one": ["tests/moving_off/sites.py"],
        "What Channels 4 does not share": ["tests/moving_off/test_moving_off.py"],
    },
    "docs/operating.rst": {
        "Is everything as it should be?": ["command"],
        "What is the layer doing?": ["command"],
        "What to alert on": ["crontab", "alerts"],
    },
    "docs/options.rst": {
        "hosts": ["settings"],
        "Clients of your own": ["python", "settings"],
        "prefix": ["settings"],
        "expiry": ["settings"],
        "group_expiry": ["settings"],
        "capacity": ["settings"],
        "channel_capacity": ["settings"],
        "symmetric_encryption_keys": ["settings"],
        "connection_kwargs": ["settings"],
        "reconnect_timeout": ["settings"],
        "max_message_size": ["settings"],
        "Observing messages": ["python"],
    },
    "docs/outages.rst": {"What is logged": ["log"]},
    "docs/sizing.rst": {"Sizing": ["command"]},
    "docs/topologies.rst": {
        "One server": ["settings"],
        "Shards": ["settings"],
        "Sentinel": ["settings of Sentinel"],
        "Redis Cluster": ["settings of a cluster"],
        "Local": ["settings", "tests/upgrading/test_local.py", "settings"],
    },
    "docs/upgrading.rst": {
        "Check first": ["tests/upgrading/environments.py"],
        "Until release 1.5.0 is on the index": ["tests/upgrading/environments.py"],
        "Upgrade": ["tests/upgrading/test_upgrading.py", "command"],
        "Tidy up": ["tests/upgrading/test_upgrading.py"] * 2,
        "Roll back": ["tests/upgrading/test_upgrading.py"],
    },
    "docs/wire-format.rst": {
        "Bodies": ["body"],
        "Shards": ["python", "python"],
        "Sessions": ["reply"],
    },
}

#: What a reader replaces: (text of the documentation, what the tests put there), in this order.
REPLACED = [
    ("rediss://redis1:6379", "rediss://127.0.0.1:{tls_port}"),
    ("redis1:6379", "127.0.0.1:{port}"),
    ("redis2:6379", "127.0.0.1:{other_port}"),
    ("localhost:6379", "127.0.0.1:{port}"),
    ("redis:6379", "127.0.0.1:{port}"),
    ('("redis2", 6379)', '("127.0.0.1", {other_port})'),
    ('host="redis1", port=6379', 'host="127.0.0.1", port={port}'),
    ("/run/redis.sock", "{socket}"),
    ("/run/redis/local.sock", "{socket}"),
    ("/etc/ssl/redis.pem", "{authority}"),
    ('("sentinel1", 26379), ("sentinel2", 26379), ("sentinel3", 26379)', "{sentinels}"),
    ("node1:7000", "127.0.0.1:{port}"),
    ('("node2", 7000)', '("127.0.0.1", {other_port})'),
    ("/srv/mysite/venv/bin", "{programs}"),
    ("/srv/mysite", "{project}"),
    ("=mysite\n", "={user}\n"),  # User=mysite
    ("-b 0.0.0.0", "-b 127.0.0.1"),
    ("-p 8000", "-p {http_port}"),
    ("daphne mysite", "daphne -p {http_port} mysite"),
    ("daphne chat", "daphne -p {http_port} chat"),
    ("redis-server ", "{server} --port {port} "),
    ("/var/lib/node_exporter", "{project}"),
]

#: ``number``: which one of its section it is, from 0.
Block = collections.namedtuple("Block", "document title number text")


def parse(document):
    """Return the tree of ``document``."""
    text = (ROOT / document).read_text(encoding="utf-8")
    # Level 5: docutils says nothing about directives of Sphinx. Pages that include another have no blocks of their own.
    return docutils.core.publish_doctree(text, settings_overrides={"report_level": 5, "file_insertion_enabled": False})


def is_block(node):
    return isinstance(node, (docutils.nodes.literal_block, docutils.nodes.doctest_block))


def blocks_of(document):
    """Yield the blocks of ``document``."""
    numbers = collections.Counter()
    for node in parse(document).findall(is_block):
        if isinstance(node.parent, docutils.nodes.system_message):  # a directive of Sphinx
            continue
        above = node.parent
        while not isinstance(above, (docutils.nodes.section, docutils.nodes.document)):
            above = above.parent
        title = above[0].astext()
        yield Block(document, title, numbers[title], node.astext())
        numbers[title] += 1


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


def kind_of(block):
    """Return the kind of ``block``, or the file that runs it; None if it is not in the table."""
    kinds = TABLE.get(block.document, {}).get(block.title, [])
    return kinds[block.number] if block.number < len(kinds) else None


def of_kind(kind):
    return [block for block in BLOCKS if kind_of(block) == kind]


def name_of(block):
    """For the ids of tests."""
    return "%s: %s %d" % (block.document, block.title, block.number)


def fill(text, values):
    """Return ``text`` with the values of the test where a reader puts values of their own."""
    for found, replacement in REPLACED:
        if found in text:
            text = text.replace(found, replacement.format(**values))
    return text


def commands_of(text):
    """Return the commands in ``text`` without the prompts and the output; all of it if there are no prompts."""
    commands = re.findall(r"^[$#] (.+)$", text, re.MULTILINE)
    return "\n".join(commands) if commands else textwrap.dedent(text)
