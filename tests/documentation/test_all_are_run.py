"""No block of the documentation is left out."""
import pytest

from .blocks import BLOCKS, ROOT, TABLE, Block, kind_of, name_of

#: What the tests in this folder say.
TESTS = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/documentation/*.py"))


@pytest.mark.parametrize("block", BLOCKS, ids=name_of)
def test_a_test_runs_it(block):
    kind = kind_of(block)
    assert kind, "Nothing runs this block: add it to TABLE in blocks.py."
    if kind.startswith("tests/"):
        assert block.title in (ROOT / kind).read_text(encoding="utf-8"), "%s does not run it" % kind
    else:
        assert 'of_kind("%s")' % kind in TESTS, "no test runs blocks of this kind: %s" % kind


def test_the_table_has_no_others():
    there = {block[:3] for block in BLOCKS}
    listed = {
        Block(document, title, number, None)[:3]
        for document, sections in TABLE.items() for title, kinds in sections.items() for number in range(len(kinds))
    }
    assert listed - there == set()
