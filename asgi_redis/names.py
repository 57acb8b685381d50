"""Channel and group names: which are legal, and how new ones are made."""
from __future__ import unicode_literals

import random
import re
import string

import six


def random_text(length):
    """Return letters from the system's generator, so that no two processes get the same, not even forked ones."""
    generator = random.SystemRandom()
    return "".join(generator.choice(string.ascii_letters) for _ in range(length))


#: How many names are known at once. A site has some hundreds.
KNOWN_NAMES = 1000

#: How many sets of names are known at once. A process receives on one or two.
KNOWN_SETS = 100


class Names(object):
    """The specification's rules for names. Each check returns True, or raises TypeError that says what is wrong."""

    # The specification's names. asgiref's own patterns accept a line feed at the end, and letters beyond ASCII.
    channel_name_regex = re.compile(r"[a-zA-Z0-9\-_.]+([?!][a-zA-Z0-9\-_.]*)?\Z")
    group_name_regex = re.compile(r"[a-zA-Z0-9\-_.]+\Z")

    #: Names that are valid to send to and to receive on, and sets of names to receive on, as far as they were met.
    _known_names = frozenset()
    _known_sets = frozenset()

    def valid_channel_name(self, name, receive=False):
        """True, or TypeError that says what is wrong. ``receive``: the name is to be received on."""
        if type(name) is six.text_type and name in self._known_names:
            return True
        self._check_name("channel", name, self.channel_name_regex)
        if name.endswith("?"):
            raise TypeError("The channel name %r must not end with ?: new_channel() makes a full name." % name)
        if receive and "!" in name and not name.endswith("!"):
            raise TypeError("To receive on a process-specific channel, give its name up to the !, not %r." % name)
        if "!" not in name:
            # Process-specific names are made up anew for each connection.
            self._known_names = (self._known_names if len(self._known_names) < KNOWN_NAMES else frozenset()) | {name}
        return True

    def valid_group_name(self, name):
        """Return True; TypeError if the name is illegal."""
        self._check_name("group", name, self.group_name_regex)
        return True

    def valid_channel_names(self, names, receive=False):
        """Return True; TypeError if ``names`` is not a list of legal channel names. ``receive``: as above."""
        if isinstance(names, (six.text_type, six.binary_type)) or not hasattr(names, "__iter__"):
            raise TypeError("A list of channel names is needed, not %s." % type(names).__name__)
        return all(self.valid_channel_name(name, receive) for name in names)

    def receivable(self, channels):
        """Return ``channels``, a list, a set or another collection of names to receive on, as a frozenset."""
        channels = channels if isinstance(channels, six.string_types) else frozenset(channels)
        if channels not in self._known_sets:
            self.valid_channel_names(channels, receive=True)
            self._known_sets = (self._known_sets if len(self._known_sets) < KNOWN_SETS else frozenset()) | {channels}
        return channels

    def _check_name(self, kind, name, regex):
        if not isinstance(name, six.text_type):
            raise TypeError("A %s name must be text, not %s." % (kind, type(name).__name__))
        if len(name) >= 100 or not regex.match(name):
            raise TypeError(
                "%r is not a %s name: fewer than 100 ASCII letters, digits, hyphens, underscores or periods%s."
                % (name, kind, ", and one ? or !" if kind == "channel" else "")
            )

    def new_channel(self, pattern):
        """
        Return a name for a new single-reader channel: ``pattern``, a text that ends with ``?``, and twelve random
        letters.

        TypeError if the pattern is not such a text. Redis is not asked: 68 random bits do not repeat.
        """
        if not isinstance(pattern, six.text_type) or not pattern.endswith("?"):
            raise TypeError("A pattern for a new channel is text that ends with ?, not %r." % (pattern,))
        name = pattern + random_text(12)
        self.valid_channel_name(name)
        return name
