"""How long things may take, in seconds. Modules look these up when they need them, so that tests can shorten them."""
from __future__ import unicode_literals

import time


def forward(clock):
    """Return a clock like ``clock`` that stands still for a moment when that is set back by more than a second."""
    last, ahead = [clock()], [0]

    def now():
        read = clock() + ahead[0]
        if read < last[0] - 1:  # less may be another thread that has read the clock in between
            ahead[0] += last[0] - read
            read = last[0]
        last[0] = read
        return read

    return now


#: Python 2 has no clock that only goes forward.
monotonic = getattr(time, "monotonic", None) or forward(time.time)

#: How long redis-py's connections wait for a reply, and to connect, unless ``connection_kwargs`` say otherwise.
SOCKET_TIMEOUT = 5
CONNECT_TIMEOUT = 2

#: How long the server may take to reply to a command that does not block, unless ``connection_kwargs`` set another
#: ``socket_timeout`` than SOCKET_TIMEOUT. Shorter than that, because it may hold up a reactor.
REPLY_TIMEOUT = 2

#: How long a call waits for the nodes of a Redis Cluster to say which slots they have now.
SLOTS_TIMEOUT = 0.5

#: A connection that has been idle for longer is checked before it is used, so that no command is written to a server
#: that has gone: once it is written, it may have been executed.
IDLE_CHECK = 0.01

#: How long calls are repeated after the first failure of a shard. After that, calls in the same outage fail at once.
RETRY_FOR = 0.9

#: The pauses between tries, each twice as long as the one before, and how long the server may take to reply to a try.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
SHORTEST_PATIENCE, LONGEST_PATIENCE = 0.25, 2.0

#: If a shard fails again within this time, that counts as the same outage.
FLAPPING = 10

#: How often a lasting outage is logged.
LOG_AGAIN = 60

#: How long one thread may probe a server, or put messages back, before another one does it too.
LONGEST_TURN = 30

#: How much later than its timeout the reply to a blocking pop may arrive: servers before Redis 6 check only once a
#: second which clients have timed out.
GRACE = 2

#: How long a message key must have been missing from its queue before it is put back: release 1.4 pops, reads and
#: deletes in three commands.
MISSING_FOR = 1.0

#: How long a reader that seems to lack keys pauses before it takes another message.
WRONG_KEYS_PAUSE = 1.0

#: How often the lives of counters are renewed, for each queue.
RENEW_COUNTERS = 60
