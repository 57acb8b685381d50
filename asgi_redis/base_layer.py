"""The base class of all layers: asgiref 1's, or an equal one if another asgiref, or none, is installed."""
from __future__ import unicode_literals

import fnmatch
import re
import warnings

import six


class OwnBaseChannelLayer(object):
    """
    What a layer needs of ``BaseChannelLayer`` of asgiref 1.1, with the same arguments.

    Names are checked by ``Names``, and the specification's methods are the layer's own.
    """

    class ChannelFull(Exception):
        """The channel already holds its capacity; the message was not sent."""

    class MessageTooLarge(Exception):
        """The message is larger than the layer accepts; it was not sent."""

    def __init__(self, expiry=60, group_expiry=86400, capacity=100, channel_capacity=None):
        self.expiry = expiry
        self.group_expiry = group_expiry
        self.capacity = capacity
        self.channel_capacity = self.compile_capacities(channel_capacity or {})

    def receive_many(self, channels, block=False):
        """Do what ``receive`` does: its name in older drafts of the specification."""
        warnings.warn("receive_many is deprecated: call receive.", DeprecationWarning, stacklevel=2)
        return self.receive(channels, block)

    def compile_capacities(self, channel_capacity):
        """Return a dict of capacities by glob or compiled regular expression as a list of (expression, capacity)."""
        return [
            (pattern if hasattr(pattern, "match") else re.compile(fnmatch.translate(pattern)), capacity)
            for pattern, capacity in channel_capacity.items()
        ]

    def get_capacity(self, channel):
        """Return the capacity of the first pattern that matches ``channel``, or ``capacity`` if none does."""
        for pattern, capacity in self.channel_capacity:
            if pattern.match(channel):
                return capacity
        return self.capacity

    def match_type_and_length(self, name):
        """Return True if ``name`` is text of fewer than 100 characters."""
        return len(name) < 100 and isinstance(name, six.text_type)

    def non_local_name(self, name):
        """Return the name of a channel's queue: of a process-specific channel up to its ``!``, else the whole name."""
        return name[:name.index("!") + 1] if "!" in name else name


try:
    # Code that checks for this class, or catches its errors, must find that a layer is one.
    from asgiref.base_layer import BaseChannelLayer
except ImportError:  # asgiref 2 and later do not have it
    BaseChannelLayer = OwnBaseChannelLayer
