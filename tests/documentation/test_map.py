"""The map in docs/design.rst names what there is, and all of it."""
import re

from .blocks import ROOT, of_kind


def paths(text):
    """Return what the map names, as paths below the checkout."""
    found, folders = set(), {}
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        first = line.split()[0]
        above = "".join(name for depth, name in sorted(folders.items()) if depth < indent)
        if first.endswith("/"):
            folders = {depth: name for depth, name in folders.items() if depth < indent}
            folders[indent] = first
            above = "".join(name for _, name in sorted(folders.items()))
            found.add(above)
        elif first.endswith(".py"):
            found.add(above + first)
        found |= {above + name for name in re.findall(r"(\w+\.py):", line)}
    return found


def test_map():
    (block,) = of_kind("map")
    named = paths(block.text)
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
    package = {
        str(path.relative_to(ROOT)) for folder in ("", "delivery", "server", "tools")
        for path in (ROOT / "asgi_redis" / folder).glob("*.py") if path.name != "__init__.py"
    }
    assert sorted(package - named) == []
    folders = {"tests/%s/" % path.parent.name for path in ROOT.glob("tests/*/__init__.py")}
    assert sorted(folders - named) == []
