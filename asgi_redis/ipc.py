"""asgi_ipc 1.4.2, adapted to what has changed since it was released."""
from __future__ import unicode_literals

import contextlib
import importlib
import sys
import types

import six

from .base_layer import BaseChannelLayer, OwnBaseChannelLayer
from .codec import Codec
from .names import Names

#: The name under which asgi_ipc is imported.
COPY = "asgi_redis._asgi_ipc"

BASE_LAYER = "asgiref.base_layer"


class Msgpack(object):
    """Stands in for ``msgpack`` in asgi_ipc, which unpacks with ``encoding``, an argument that msgpack 1 removed."""

    _codec = Codec()

    @classmethod
    def packb(cls, message, use_bin_type):
        return cls._codec.encode(message)

    @classmethod
    def unpackb(cls, body, encoding):
        return cls._codec.decode(body)


class Base(Names, OwnBaseChannelLayer):
    """Stands in for ``BaseChannelLayer`` of asgiref 1 in asgi_ipc."""


@contextlib.contextmanager
def old_asgiref():
    """Let asgi_ipc import ``asgiref.base_layer`` in this block, also if asgiref does not have it."""
    missing = missing_modules()
    for name in missing:
        module = sys.modules[name] = types.ModuleType(str(name))
        module.BaseChannelLayer = Base
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


def missing_modules():
    """Return the names of the modules that old code imports and that are not installed."""
    if BaseChannelLayer is not OwnBaseChannelLayer:
        return []
    try:
        importlib.import_module("asgiref")
    except ImportError:
        return ["asgiref", BASE_LAYER]  # Python 2 imports the package first
    return [BASE_LAYER]


def ipc_layer(**arguments):
    """
    Return an ``IPCChannelLayer`` of asgi_ipc. ValueError if it is not installed.

    The class comes from a second import of asgi_ipc, under another name, which nothing else sees. It leaves out the
    package's ``__init__``, which needs pkg_resources only to find its version (Python 3.12 and setuptools 81 no longer
    have that), and it has ``Msgpack`` in its module, and ``Base`` if asgiref 1 is not installed.
    """
    try:
        package = types.ModuleType(str(COPY))
        package.__path__ = [folder_of("asgi_ipc")]
        sys.modules.setdefault(COPY, package)
        with old_asgiref():
            core = importlib.import_module(COPY + ".core")
    except ImportError as error:
        six.raise_from(ValueError(
            "RedisLocalChannelLayer needs asgi_ipc, or a layer of yours as local_layer: docs/topologies.rst has the "
            "commands that install it. (%s)" % error
        ), None)
    core.msgpack = Msgpack
    return core.IPCChannelLayer(**arguments)


def folder_of(package):
    """Return the folder of ``package``, without running it. ImportError if it is not installed."""
    try:
        from importlib.util import find_spec  # novm: Python 2 goes to the except
    except ImportError:
        from imp import find_module  # novm: only there

        return find_module(package)[1]
    spec = find_spec(package)
    if spec is None:
        raise ImportError("No module named %s" % package)
    return spec.submodule_search_locations[0]
