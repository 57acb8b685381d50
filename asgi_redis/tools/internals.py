"""The helpers of the package that the tools share. No other module of the tools imports more than the public layer."""
from __future__ import unicode_literals

from ..server.connections import without_password
from ..server.times import monotonic

__all__ = ["monotonic", "without_password"]
