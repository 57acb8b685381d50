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


def installed_as(folder):
    """Return the names of the metadata in ``folder`` of the distributions msgpack and msgpack-python, sorted."""
    try:
        names = os.listdir(folder)
    except OSError:  # a zip file
        return []
    return sorted(
        name for name in names
        if name.startswith(("msgpack-", "msgpack_python-")) and name.endswith((".dist-info", ".egg-info"))
    )


def warn_of_two(folder):
    """Log a WARNING if both distributions are in ``folder``."""
    found = installed_as(folder)
    if len({name.split("-")[0] for name in found}) > 1:
        logger.warning(
            "msgpack and msgpack-python are both installed (%s in %s), and share their files, so installing or "
            "uninstalling one breaks the other. To keep msgpack only: pip uninstall -y msgpack-python && %s",
            ", ".join(found), folder, MEND,
        )


warn_of_two(os.path.dirname(os.path.dirname(os.path.abspath(msgpack.__file__))))
