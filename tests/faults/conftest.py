from __future__ import unicode_literals

import io

import pytest

from . import report


def pytest_addoption(parser):
    parser.addoption("--report", metavar="PATH", help="write what was measured to this file")


@pytest.fixture(scope="session")
def verdicts(request):
    """[(topology class, scenario, verdict), ...] of this run, of which the report is made in the end."""
    found = []
    yield found
    path = request.config.getoption("report", None)
    if path:
        with io.open(path, "w", encoding="utf-8") as file:
            file.write(report.text(found))
