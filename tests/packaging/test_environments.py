"""That what the README says is tested is what tox.ini tests, and that the page of versions is of these environments."""
from __future__ import unicode_literals

import configparser
import itertools
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = " ".join((ROOT / "README.rst").read_text(encoding="utf-8").split())
TOX = (ROOT / "tox.ini").read_text(encoding="utf-8")


def expanded(name):
    """The names that tox reads from ``name``, which may have alternatives in braces."""
    parts = [part.split(",") for part in re.split("[{}]", name)]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def environments():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(TOX)
    names = " ".join(parser["environments"].values()).replace("\\", "")
    return [name for part in re.findall(r"(?:\{[^}]*\}|[^\s,{])+", names) for name in expanded(part)]


def as_numbers(version):
    return tuple(int(part) for part in version.split("."))


def pinned(package):
    """The versions of ``package`` that tox.ini names."""
    return [as_numbers(found) for found in re.findall(r"\b%s==([\d.]+\d)" % package, TOX)]


def test_the_pythons_of_the_readme_are_tested():
    first, last = re.search(r"Python (\S+) and \S+ to ([\d.]+\d)", README).groups()
    tested = {re.match(r"py(\d)(\d+)", name).groups() for name in environments() if re.match(r"py\d\d", name)}
    assert (min(tested, key=by_number), max(tested, key=by_number)) == (tuple(first.split(".")), tuple(last.split(".")))
    assert tested >= {("3", str(minor)) for minor in range(6, as_numbers(last)[1] + 1)}


def by_number(version):
    return [int(part) for part in version]


@pytest.mark.parametrize("package, words", [("redis", "redis-py"), ("msgpack", "msgpack")])
def test_the_oldest_version_that_the_readme_names_is_tested_and_required(package, words):
    oldest = re.search(r"%s\s+([\d.]+\d) or newer" % words, README).group(1)
    assert min(pinned(package)) == as_numbers(oldest)
    assert '"%s>=%s' % (package, oldest) in (ROOT / "setup.py").read_text(encoding="utf-8")


def test_every_factor_of_an_environment_changes_something():
    settings = TOX.partition("[testenv]")[2]
    known = {factor for line in settings.splitlines() for part in re.findall(r"^ +([\w,{}!-]+):", line)
             for name in re.split(",|-", part) for factor in expanded(name)}
    matrix = {factor for name in environments() if "-" in name for factor in name.split("-")[1:]}
    assert matrix <= known


@pytest.fixture
def compatibility():
    """The names of docs/compatibility.py, which makes the page."""
    return runpy.run_path(str(ROOT / "docs" / "compatibility.py"))


RECORD = {
    "python": "CPython 3.9.18", "redis-py": "5.0.8", "hiredis": None, "msgpack": "1.0.0", "cryptography": "2.1",
    "server": "Redis 6.2.7", "django": None, "channels": None, "daphne": None,
    "passed": 10, "skipped": 2, "failed": 0, "error": 0,
}


def test_the_page_has_a_row_for_each_environment(compatibility):
    page = compatibility["page"]({"py39": RECORD, "django22": dict(RECORD, django="2.2.28", channels="1.1.8")})
    rows = [line.split() for line in page.splitlines() if line.startswith("``py39``")]
    assert rows == [["``py39``", "3.9.18", "5.0.8", "no", "1.0.0", "2.1", "Redis", "6.2.7", "10", "2"]]
    assert re.search(r"``django22`` +3.9.18 +2.2.28 +1.1.8 +no +5.0.8 ", page)


@pytest.mark.parametrize("outcome", ["failed", "error"])
def test_an_environment_whose_tests_fail_does_not_get_onto_the_page(compatibility, outcome):
    with pytest.raises(SystemExit) as raised:
        compatibility["check"]({"py39": RECORD, "py38": dict(RECORD, **{outcome: 1})})
    assert "py38" in str(raised.value) and "py39" not in str(raised.value)


def test_an_environment_that_lacks_what_its_name_says_does_not_get_onto_the_page(compatibility):
    compatibility["check"]({"py39-redis5-msgpack10-cryptography21": RECORD})
    with pytest.raises(SystemExit) as raised:
        compatibility["check"]({"py39-redis45": RECORD})
    assert "py39-redis45 had redis 5.0.8" in str(raised.value)


def test_the_page_of_versions_has_environments_of_tox():
    page = (ROOT / "docs" / "compatibility.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^``([\w-]+)`` +\d", page, re.MULTILINE)
    assert rows and set(rows) <= set(environments())
