"""The helpers of the package that the tools share. No other module of the tools imports more than the public layer."""
from __future__ import unicode_literals

from ..connections import without_password
from ..waiting import monotonic

__all__ = ["monotonic", "without_password"]
