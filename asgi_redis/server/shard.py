"""A shard: a server, a service of Sentinels, or a hash slot."""
from __future__ import unicode_literals

import logging
import time

from redis.exceptions import NoScriptError, RedisError, ResponseError

from . import resp, scripts, times
from .breaker import Breaker, not_sent
from .clients import address_of, is_outage, site_options, with_address
from .connection import connect
from .keys import ORIGIN_MS, random_name
from .session import Session

logger = logging.getLogger(__name__)

#: If a reply takes longer than this many seconds, the master may have been replaced, and Sentinels are asked.
SLOW = 0.5

#: How long a call follows slots that move and masters that change, and how long it pauses between tries, in seconds.
FOLLOW_FOR = 10
FOLLOW_PAUSE = 0.02


class UnsupportedRedis(Exception):
    """The server is too old: it lacks a command that this layer cannot do without (Redis 2.6.12 is the oldest)."""


class Place(object):
    """Where a shard is: here, on a fixed server. There are subclasses for Sentinel and Redis Cluster."""

    #: True if single keys of the shard may be on their way to another server.
    may_move = False

    #: When ``check`` is due, by ``times.monotonic``.
    check_at = float("inf")

    def __init__(self, client):
        self._client = client

    def client(self):
        """Return the redis-py client whose settings are used for new connections."""
        return self._client

    def known_client(self):
        """Return what ``client`` does, but without asking a server for it; redis-py's error if that must be done."""
        return self.client()

    def options(self, client):
        """Return the keyword arguments for new connections like those of ``client``."""
        return client.connection_pool.connection_kwargs

    def check(self, connection):
        """Return True if ``connection`` still goes to the right server."""
        return True

    def follow(self, error):
        """
        Take note of an error. Return True if the shard has moved, so that the call must be repeated at once; or the
        redis-py client of another server, if only this call must go there.
        """

    def was_slow(self):
        """Take note that a reply took long."""


class OwnClient(Place):
    """A server that a site gave a redis-py client of its own for."""

    def options(self, client):
        return site_options(client.connection_pool.connection_kwargs)


class Shard(object):
    """
    One shard: its keys, its sessions, and whether it is available.

    ``number``, ``count``: which one of how many, from 0. ``keys``: its ``Keys``. ``place``: its ``Place``.
    """

    def __init__(self, number, count, keys, place):
        self.number = number
        self.keys = keys
        self.place = place
        self.breaker = Breaker(self)
        self._count = count
        #: Sessions that no call has borrowed, the last used one at the end; and those whose last call got no reply.
        self._free = []
        self._unanswered = []
        #: All sessions.
        self._sessions = set()
        self._origin = None
        #: The origin of the data that the server had when this process first connected; b"" if it never did.
        self.first_origin = b""
        #: Data that callers keep for the queues of this shard, by name.
        self.queues = {}

    def __str__(self):
        return "Redis %s (shard %d of %d)" % (self.address, self.number + 1, self._count)

    @property
    def address(self):
        try:
            return address_of(self.place.known_client())
        except RedisError as error:  # a Redis Cluster without an available node
            return str(error)

    @property
    def log_attributes(self):
        return {"shard": self.number, "address": self.address}

    # Sessions.

    def borrow(self, receiving=False):
        """
        Return a session for one call, which ends with ``give_back`` or ``retire``. redis-py's error if the shard is
        unavailable.

        ``receiving``: True for a blocking receive, which waits anyway, so it may probe.
        """
        if self.breaker.error is not None:
            self.check_available(receiving)
        return self._take_session()

    def _take_session(self):
        try:
            # Once the script of the next call has stored its number, one that got no reply does nothing if it is late.
            return (self._unanswered or self._free).pop()
        except IndexError:
            return self._new_session()

    def _new_session(self):
        session = Session(self.keys)
        self._sessions.add(session)
        return session

    def give_back(self, session):
        (self._unanswered if session.sent else self._free).append(session)

    def retire(self, session):
        """End a session whose name no other call may have."""
        session.close()
        self._sessions.discard(session)

    def abandon(self):
        """Leave all connections to the process that this one was forked from."""
        for session in self._sessions:
            opened = session.opened
            if opened is not None:
                opened.abandon()

    # Calls.

    def ask(self, session, command, elsewhere=False):
        """
        Send a packed command and return the reply. If the shard is unavailable, repeat the command for a second from
        the first failure.

        ``elsewhere``: True if the caller can use another shard, so that a command that was not sent is not repeated.
        Errors have an attribute ``was_sent``, False if the server surely has not executed the command.
        """
        session.sent = False
        now = times.monotonic()
        try:
            if session.connection is None or now > session.idle_at or now > self.place.check_at:
                self.prepare(session)
                now = times.monotonic()  # Sentinels that were slow say nothing about the master
            session.sent = True
            reply = session.ask(command)
        except RedisError as error:
            try:
                reply = self._ask_again(session, command, error, elsewhere)
            except RedisError as error:
                error.was_sent = session.sent
                raise
        done = times.monotonic()
        session.sent = False
        session.idle_at = done + times.IDLE_CHECK
        if done - now > SLOW:
            self.place.was_slow()
        return reply

    def run(self, script, keys, arguments):
        """Run a script without a number, which may run twice."""
        return self._do(script.command(keys, arguments))

    def ask_once(self, command, patience):
        """Send a packed command once, and return its reply, which may take ``patience`` seconds: for cleaning up."""
        session = self.borrow()
        try:
            session.sent = False
            self.prepare(session, patience)
            session.connection.set_timeout(patience)
            reply = run_once(session, command)
            session.connection.set_timeout(self._reply_timeout())
            return reply
        except BaseException:
            session.close()
            raise
        finally:
            self.give_back(session)

    def do(self, *command):
        """Send one command, which may be executed twice, and return its reply."""
        return self._do(resp.command(*command))

    def _do(self, command):
        session = self.borrow()
        try:
            return self.ask(session, command)
        finally:
            self.give_back(session)

    def prepare(self, session, patience=None):
        """Give ``session`` a connection that is intact, as far as can be told without asking the server."""
        connection = session.connection
        if connection is not None:
            if connection.is_intact() and self.place.check(connection.redis_py):
                return
            session.close()
        self.connect(session, patience)

    def connect(self, session, patience=None):
        """
        Open a new connection for ``session``, and check that the server takes writes. redis-py's errors.

        ``patience``: how long each step may take, in seconds (default: set by the layer's arguments).
        """
        client = self.place.client()
        options = self.place.options(client)
        timeout = reply_timeout(options)
        session.connection = session.opened = connect(client, options, patience, patience or timeout)
        try:
            origin = self._ask_for_origin(session)
            session.connection.set_timeout(timeout)
        except BaseException:
            session.close()
            raise
        if self.breaker.error is not None:
            self.breaker.succeeded()
        self._note_origin(origin)

    def _ask_for_origin(self, session):
        began = times.monotonic()
        command = scripts.origin.command([self.keys.origin], [random_name(), ORIGIN_MS])
        origin = run_once(session, command)
        if times.monotonic() - began > SLOW:
            self.place.was_slow()
        return origin

    def check_origin(self):
        """Log an ERROR if the server has lost its data although connections stayed open, as by FLUSHALL."""
        self._note_origin(self.run(scripts.origin, [self.keys.origin], [random_name(), ORIGIN_MS]))

    def _note_origin(self, origin):
        before, self._origin = self._origin, origin
        self.first_origin = self.first_origin or origin
        if before not in (None, origin):
            logger.error(
                "%s has lost its data: group memberships there are gone. Restart the interface servers, so that their "
                "clients reconnect and join their groups again.", self, extra=self.log_attributes,
            )

    def forget_origin(self):
        """Record that this process has deleted the shard's data itself."""
        self._origin, self.first_origin = None, b""

    # Failures.

    def _ask_again(self, session, command, error, elsewhere):
        """Go on with ``ask`` after its first failure: return the reply, or raise the last error."""
        began = times.monotonic()
        is_renewed = not session.sent  # it was connecting that failed
        is_lost = False
        while True:
            if isinstance(error, NoScriptError):
                command, moved = scripts.whole(command), None
            else:
                # A reply tells that this try did nothing; one before, which got none, may have done it.
                is_lost = is_lost or (session.sent and not isinstance(error, ResponseError))
                session.sent = is_lost
                if is_lost:
                    session.late = session.number
                error, moved = self.explain(error), self.place.follow(error)
                if moved and times.monotonic() - began < FOLLOW_FOR:
                    session.close()
                    time.sleep(FOLLOW_PAUSE)
                else:
                    self._consider(session, error, began, is_renewed, elsewhere)
                    is_renewed = True
            try:
                return self._once_more(session, command, moved, began)
            except RedisError as again:
                error = again

    def _consider(self, session, error, began, is_renewed, elsewhere):
        """Return if a call that failed with ``error`` may be repeated now; raise ``error`` otherwise."""
        if not is_outage(error):
            raise error
        session.close()
        if not is_renewed:
            return  # perhaps only the connection is broken, not the server
        may_repeat = self.breaker.failed(error, began)
        if not may_repeat or (elsewhere and not session.sent):
            raise error
        time.sleep(self.breaker.pause())

    def _once_more(self, session, command, moved, began):
        if moved and moved is not True:
            session.sent = True
            return ask_this_once(moved, self.place.options(moved), command)
        patience = None
        if session.connection is None:
            patience = max(min(self.breaker.time_left(began), 0.5), 0.1)
            self.connect(session, patience)
        try:
            if patience:
                session.connection.set_timeout(patience)
            session.sent = True
            return session.ask(command)
        finally:
            if patience and session.connection is not None:
                session.connection.set_timeout(self._reply_timeout())

    def _reply_timeout(self):
        return reply_timeout(self.place.options(self.place.client()))

    def explain(self, error):
        """Return ``error`` with the server's address in its text. UnsupportedRedis if the server has no scripts."""
        try:
            error = with_address(error, self.place.known_client())
        except RedisError:
            pass  # no address is known
        text = str(error).lower()
        if isinstance(error, ResponseError) and "unknown command" in text and "eval" in text:
            raise UnsupportedRedis("%s does not run Lua scripts: the layer needs Redis 2.6.12 or newer." % self)
        return error

    def check_available(self, receiving=False):
        """Return if a call may be tried. Otherwise probe the server, if a probe is due, or raise redis-py's error."""
        if self.breaker.is_open():
            with self.breaker.probe(receiving) as patience:
                self._probe(patience)

    def _probe(self, patience):
        """Connect anew; redis-py's error if the server does not reply within ``patience`` seconds, or has no writes."""
        session = self._take_session()
        try:
            session.close()
            self.connect(session, patience)
        except RedisError as error:
            error = self.explain(error)
            self.place.follow(error)
            if is_outage(error):
                self.breaker.failed(error)
            raise not_sent(error)
        finally:
            self.give_back(session)


def run_once(session, command):
    """Return the reply to a command that runs a script, which the server may not have yet."""
    try:
        return session.ask(command)
    except NoScriptError:
        return session.ask(scripts.whole(command))


def reply_timeout(options):
    """
    Return how long replies to commands that do not block may take, in seconds, or None for no limit.

    ``options``: the keyword arguments of the connection.
    """
    timeout = options.get("socket_timeout")
    return times.REPLY_TIMEOUT if timeout == times.SOCKET_TIMEOUT else timeout


def ask_this_once(client, options, command):
    """Return the reply of a cluster's node that a slot is being moved to."""
    connection = connect(client, options, timeout=reply_timeout(options))
    try:
        connection.ask(resp.command("ASKING"))
        try:
            return connection.ask(command)
        except NoScriptError:
            connection.ask(resp.command("ASKING"))
            return connection.ask(scripts.whole(command))
    finally:
        connection.close()
