"""The helpers of the package that the tools share. No other module of the tools imports more than the public layer."""
from __future__ import unicode_literals

from ..server.times import monotonic
from ..server.urls import address_of, without_password

__all__ = ["address_of", "monotonic", "without_password"]
