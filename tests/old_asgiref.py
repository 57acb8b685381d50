"""
asgiref 1: its base class of layers, and its conformance suite. asgiref 2 and later have neither.

Where another asgiref must be installed, the variable ASGI_REDIS_OLD_ASGIREF names a folder into which pip has put
asgiref 1: ``pip install --no-deps --target FOLDER "asgiref<2"``.
"""
from __future__ import unicode_literals

import importlib
import os
import unittest

VARIABLE = "ASGI_REDIS_OLD_ASGIREF"
MISSING = "needs asgiref 1, installed or in the folder %s" % VARIABLE


def old_asgiref(name):
    """Return the module ``name`` of asgiref 1, or None if there is none."""
    try:
        return importlib.import_module("asgiref." + name)
    except ImportError:
        path = os.path.join(os.environ.get(VARIABLE, ""), "asgiref", name + ".py")
        return module_at(path, "old_asgiref_" + name) if os.path.isfile(path) else None


def module_at(path, name):
    """Return the module at ``path``, under another name than that of the package which is installed."""
    from importlib.util import module_from_spec, spec_from_file_location  # for Python 2, there is only asgiref 1

    spec = spec_from_file_location(name, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class MissingTestCase(unittest.TestCase):
    def test_conformance(self):
        self.skipTest(MISSING)


#: asgiref 1's base class of layers, or None.
BaseChannelLayer = getattr(old_asgiref("base_layer"), "BaseChannelLayer", None)

#: The conformance suite, to be subclassed, or one test that is skipped.
ConformanceTestCase = getattr(old_asgiref("conformance"), "ConformanceTestCase", MissingTestCase)
