"""
Imports msgpack, if it is whole.

The distribution msgpack was once called msgpack-python, and release 1.4 requires it by that name. Both install into the
folder msgpack. pip does not know that, so uninstalling either leaves the other without most of its files.
"""
from __future__ import unicode_literals

import logging
import os

import six

logger = logging.getLogger(__name__)

#: Reinstalls msgpack, whatever is left of it. From 1.0 on, it has no compiled part on Python 2.
MEND = "pip install --force-reinstall --no-deps %s" % ('"msgpack<1"' if six.PY2 else "msgpack")

try:
    import msgpack
    from msgpack import Packer, UnpackException, unpackb, version  # noqa: F401, a folder without modules has none of them
except ImportError as error:
    six.raise_from(ImportError("msgpack is missing or incomplete (%s). To mend it: %s" % (error, MEND)), None)


def installed_in(folder):
    """Return the metadata in ``folder``, {name of a distribution: name of a folder}."""
    try:
        names = os.listdir(folder)
    except OSError:  # a zip file
        return {}
    return {name.split("-")[0]: name for name in names if name.endswith((".dist-info", ".egg-info"))}


def warn_of_two(folder):
    """Log a WARNING if both distributions are in ``folder``, and not asgi_ipc, which requires the old one."""
    found = installed_in(folder)
    if "msgpack" in found and "msgpack_python" in found and "asgi_ipc" not in found:
        logger.warning(
            "msgpack and msgpack-python are both installed (%s, %s in %s), and share their files, so installing or "
            "uninstalling one breaks the other. To keep msgpack only: pip uninstall -y msgpack-python && %s",
            found["msgpack"], found["msgpack_python"], folder, MEND,
        )


warn_of_two(os.path.dirname(os.path.dirname(os.path.abspath(msgpack.__file__))))
