"""
Makes docs/compatibility.rst of what the environments of tox have recorded below .tox::

    tox -m versions,ci
    python docs/compatibility.py
"""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORDS = ROOT / ".tox" / "record"

PAGE = """\
Compatibility
=============

These are the versions with which the tests were last run. ``docs/compatibility.py`` generates this page from the
records of the environments of tox. Skipped tests are for what a version lacks, such as Redis Cluster before redis-py
4.1, or async functions on Python 2.

The test suite
--------------

{suite}

``oldserver`` and ``server62`` run the tests that depend on the server.

A Channels site
---------------

A site on Daphne with workers: pages, WebSockets, broadcasts, and outages of Redis.

Before Channels 1.1.3, ``enforce_ordering`` fails, with this release as with 1.4: it receives on a channel whose name
both releases refuse. The rest of Channels 1.0.3 works. Daphne must be 1.2 or newer: Daphne 1.0 asks for new channels in
a form that neither release accepts. Channels 1.0 does not keep pip from installing asgiref 2 or later, which it can't
run with: ``pip install "asgiref<2"`` helps.

{sites}
"""

COLUMNS = {
    "python": "Python", "redis-py": "redis-py", "hiredis": "hiredis", "msgpack": "msgpack",
    "cryptography": "cryptography", "server": "server", "passed": "passed", "skipped": "skipped",
}
SITE_COLUMNS = {
    "python": "Python", "django": "Django", "channels": "Channels", "daphne": "Daphne", "redis-py": "redis-py",
    "msgpack": "msgpack", "server": "server", "passed": "passed", "skipped": "skipped",
}


def records():
    """{environment: its record}, the oldest Python first."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RECORDS.glob("*.json")}
    return dict(sorted(found.items(), key=by_versions))


def check(found):
    """Exit if a test has failed, or if an environment did not have the versions after which it is named."""
    for name, record in found.items():
        if record["failed"] or record["error"]:
            sys.exit(f"Tests failed in the environment {name}. Run it again: tox -e {name}")
        for package, digits in re.findall(r"\b(redis|msgpack|cryptography|django|channels|daphne)(\d+)", name):
            version = record["redis-py" if package == "redis" else package]
            if not version.replace(".", "").startswith(digits):
                sys.exit(f"The environment {name} had {package} {version}, which another package may require.")


def by_versions(item):
    name, record = item
    interpreter, version = record["python"].split()
    return interpreter, numbers(version), numbers(record["redis-py"]), name


def numbers(version):
    return [int(part) for part in version.split(".")]


def table(columns, rows):
    """``rows``, records by environment, as a table of reStructuredText."""
    if not rows:
        return "No environment has recorded a run."
    cells = [["environment", *columns.values()]]
    cells += [[f"``{name}``", *(text(record[key]) for key in columns)] for name, record in rows.items()]
    widths = [max(map(len, column)) for column in zip(*cells)]
    rule = " ".join("=" * width for width in widths)
    lines = [" ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def text(value):
    return "no" if value is None else str(value).replace("CPython ", "")


def page(found):
    suite = {name: record for name, record in found.items() if "django" not in name}
    sites = {name: record for name, record in found.items() if "django" in name}
    return PAGE.format(suite=table(COLUMNS, suite), sites=table(SITE_COLUMNS, sites))


if __name__ == "__main__":
    found = records()
    check(found)
    (ROOT / "docs" / "compatibility.rst").write_text(page(found), encoding="utf-8")
