"""Sphinx: ``tox -e docs``, or ``sphinx-build -W docs docs/_build``."""
import pathlib
import re

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "asgi_redis" / "__init__.py"

project = "asgi_redis"
release = version = re.search(r'__version__ = "(.+)"', SOURCE.read_text(encoding="utf-8")).group(1)
copyright = "the asgi_redis authors"
extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"asgi_redis {release}"
nitpicky = False
autodoc_member_order = "bysource"
