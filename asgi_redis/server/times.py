"""How long things may take, in seconds. Modules look these up when they need them, so that tests can shorten them."""
from __future__ import unicode_literals

import time

#: Python 2 has no clock that only goes forward.
monotonic = getattr(time, "monotonic", time.time)

#: How long redis-py's connections wait for a reply, and for a connection, unless ``connection_kwargs`` say otherwise.
SOCKET_TIMEOUT = 5
CONNECT_TIMEOUT = 2

#: How long a script may take to be answered, unless ``connection_kwargs`` set a ``socket_timeout``. Shorter than
#: SOCKET_TIMEOUT: a reactor waits for it.
REPLY_TIMEOUT = 2

#: A connection that has been idle for longer is checked before it is used, so that a command is not written to a
#: server that has gone: what was written may have been done.
IDLE_CHECK = 0.01

#: How long a call is repeated after the first failure of a shard; later calls of the same outage are not.
RETRY_FOR = 0.9

#: Pauses between tries, each twice as long as the one before, and how long the server may take to answer one of them.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
SHORTEST_PATIENCE, LONGEST_PATIENCE = 0.25, 2.0

#: A shard that fails again within this time goes on with the outage it had before.
FLAPPING = 10

#: How often an outage that lasts is logged.
LOG_AGAIN = 60

#: How much longer than its timeout a blocking pop may take to be answered: servers before Redis 6 look once a second
#: which clients' time is up.
GRACE = 2

#: How long a message key must have been missing from its queue before it is put back: release 1.4 pops, reads and
#: deletes in three commands.
MISSING_FOR = 1.0

#: How often the lives of counters are renewed, for each queue.
RENEW_COUNTERS = 60
