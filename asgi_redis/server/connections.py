"""redis-py: its clients, connections and errors. All differences between its versions are dealt with here."""
from __future__ import unicode_literals

import errno
import os
import re
import socket
import ssl
import struct

import redis
import six
from redis import exceptions
from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError
from redis.sentinel import MasterNotFoundError

from . import resp, times
from .sockets import readable

try:
    import redis.driver_info  # noqa: F401
    HAS_DRIVER_INFO = True
except ImportError:
    HAS_DRIVER_INFO = False
try:
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError:  # redis-py before 4.1
    Retry = None

#: Error replies of a server that can't serve now, but will again, or will be replaced. redis-py has exceptions for some
#: of them, depending on its version. In the error of a script, the word follows a hyphen.
UNAVAILABLE_ERRORS = tuple(
    getattr(exceptions, name)
    for name in (
        "AskError", "BusyLoadingError", "ClusterDownError", "MasterDownError", "MovedError", "ReadOnlyError",
        "TryAgainError",
    )
    if hasattr(exceptions, name)
)
UNAVAILABLE_WORDS = re.compile(
    "(^|-)(LOADING|CLUSTERDOWN|MASTERDOWN|READONLY|TRYAGAIN|UNBLOCKED|MISCONF|NOREPLICAS|NOGOODSLAVE) "
)

#: How a server says that it requires a password, depending on its version and on the first command.
NO_PASSWORD = re.compile("NOAUTH|Authentication required|unauthenticated|operation not permitted", re.IGNORECASE)

#: How a server refuses a password. redis-py before 3.2 has no exception of its own for it.
WRONG_PASSWORD = re.compile("WRONGPASS|invalid password")

#: On systems that have these, it takes 15 to 20 seconds to detect that the other end of an idle connection is gone.
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}

#: What redis-py's error says once the system's timeout is over.
TIMED_OUT = os.strerror(errno.EAGAIN)

REDIS_PY = tuple(int(part) for part in re.findall(r"\d+", redis.__version__)[:2])


# Addresses.


def url_of(host, port, db=0):
    """Return ``redis://host:port/db``, with the brackets that an IPv6 address needs."""
    return "redis://%s:%d/%d" % ("[%s]" % host if ":" in host else host, port, db)


def without_password(url):
    """Return ``url`` with ``***`` wherever redis-py would find a password. It need not be a valid URL."""
    url, mark, query = url.partition("?")
    start, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    login, at, rest = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    login = user + ":***" if colon else "***" if at else ""
    if start != "unix":
        rest = re.sub(r":(?![\d:]*(\]|/|$))[^/\]]*", ":***", rest)  # a port that is no number
    query = re.sub(r"(password=)[^&]*", r"\1***", query)
    return start + slashes + login + at + rest + mark + query


def address_of(client):
    """Return the server's address: ``host:port``, a socket's path, or a service and the Sentinels that know it."""
    pool = client.connection_pool
    if hasattr(pool, "sentinel_manager"):
        sentinels = ", ".join(address_of(sentinel) for sentinel in pool.sentinel_manager.sentinels)
        return "%s, a service of the Sentinels %s" % (pool.service_name, sentinels)
    options = pool.connection_kwargs
    return options.get("path") or "%s:%s" % (options.get("host", "localhost"), options.get("port", 6379))


# Clients.


def connect_options(options, scheme="redis"):
    """
    Return the keyword arguments for a redis-py client: ``options``, and the defaults of this layer.

    redis-py's retries are off: the layer repeats commands itself, because only it can tell which may be repeated. The
    protocol is RESP 2, because every server speaks it. ``scheme``: the URL's; a unix socket takes no option but a
    timeout.
    """
    defaults = {"socket_timeout": times.SOCKET_TIMEOUT}
    if scheme != "unix":
        defaults.update(socket_connect_timeout=times.CONNECT_TIMEOUT, socket_keepalive=True)
        defaults["socket_keepalive_options"] = dict(KEEPALIVE)
    if Retry is not None:
        defaults["retry"] = Retry(NoBackoff(), 0)
    if REDIS_PY >= (5, 0):
        defaults["protocol"] = 2
        # redis-py must not tell the server its name and version: that is two round trips for each connection. Over TLS
        # it must: the clients of 8.1 with hiredis take session tickets for an unread reply, until they have read one.
        if scheme != "rediss" and not options.get("ssl"):
            defaults.update({"driver_info": None} if HAS_DRIVER_INFO else {"lib_name": None, "lib_version": None})
    return dict(defaults, **options)


def client_for_url(url, options):
    """Return a redis-py client for ``url``, which connects at its first use. ValueError if redis-py can't parse it."""
    options = connect_options(options, url.partition(":")[0])
    if REDIS_PY < (4, 0):
        options["decode_components"] = True  # later versions always decode %-escapes
    try:
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError(url)  # redis-py 2.10 treats any other scheme as redis://
        return redis.StrictRedis.from_url(url, **options)
    except ValueError:
        # redis-py's message may quote a part of the password.
        six.raise_from(ValueError(
            "%s is not a URL that redis-py can read: redis://, rediss:// or unix:// is needed." % without_password(url)
        ), None)


def client_for_address(host, port, options):
    """Return a redis-py client for the server at ``host``, ``port``, which connects at its first use."""
    return redis.StrictRedis(host=host, port=port, **connect_options(options))


def url_options(url):
    """Return keyword arguments for redis-py's RedisCluster, from ``url``. ValueError if that has no address."""
    from redis.connection import parse_url  # since redis-py 4, like RedisCluster

    try:
        options = parse_url(url)
    except ValueError:
        options = {}
    if "host" not in options:
        six.raise_from(ValueError("%s is not a redis:// or rediss:// URL." % without_password(url)), None)
    options.pop("db", None)  # a cluster has only one
    if options.pop("connection_class", None) is redis.SSLConnection:
        options["ssl"] = True
    return options


# Connections.


def connect(client, patience=None, timeout=None):
    """
    Open and return a new connection like those of ``client``'s pool. redis-py's errors, with the server's address.

    ``patience``: how long each step of connecting may take, in seconds (default: the client's timeouts). ``timeout``:
    how long replies may take afterwards (default likewise).
    """
    pool = client.connection_pool
    options = dict(pool.connection_kwargs)
    if patience is not None and "path" not in options:
        options["socket_connect_timeout"] = patience
    if patience is not None or timeout is not None:
        options["socket_timeout"] = timeout if patience is None else patience  # of the replies to AUTH and SELECT
    connection = pool.connection_class(**options)
    try:
        connection.connect()
        set_timeout(connection, options.get("socket_timeout") if timeout is None else timeout)
    except ssl.CertificateError as error:  # before Python 3.7 a ValueError, which redis-py does not catch
        connection.disconnect()
        raise with_address(ConnectionError(str(error)), client)
    except BaseException as error:
        # An interrupted handshake leaves a connection that looks intact, but is not logged in.
        connection.disconnect()
        with_address(error, client)
        raise
    return connection


def set_timeout(connection, seconds):
    """Let reading and writing take ``seconds`` at most; None: for ever."""
    connection.socket_timeout = seconds
    if type(connection._sock).__module__ == "socket" and os.name == "posix":
        # With a timeout of its own, Python asks the system before each read and write whether it would wait. The
        # system's does not cost a call. (Sockets with TLS, and those of gevent and eventlet, know only Python's.)
        timeout = struct.pack(str("ll"), *divmod(int((seconds or 0) * 1000000), 1000000))
        connection._sock.settimeout(None)
        connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
    else:
        connection._sock.settimeout(seconds)


def timed_out(error):
    """``error``; if it says that the system's timeout is over, redis-py's error for that."""
    if isinstance(error, ConnectionError) and TIMED_OUT in str(error):
        return TimeoutError("Timeout reading from socket")
    return error


def abandon(connection):
    """In a forked child, close a connection of its parent. redis-py 2 would shut it down for the parent too."""
    if connection._sock is not None:
        connection._sock.close()
        connection._sock = None


def can_read(connection, timeout):
    """Return True if a reply, or the end of the connection, can be read within ``timeout`` seconds."""
    if REDIS_PY >= (3, 0):
        return connection.can_read(timeout)
    # Its own can_read uses select(), which fails on file numbers above 1023, and on signals.
    return connection._parser.can_read() or bool(readable([connection._sock], timeout))


def call(client, *command):
    """Send one command on a connection of ``client``'s pool, once, and return its reply."""
    pool = client.connection_pool
    connection = pool.get_connection() if REDIS_PY >= (5, 3) else pool.get_connection("_")
    try:
        connection.send_packed_command([resp.command(*command)])
        return connection.read_response()
    except ResponseError:
        raise
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


# Errors.


def is_outage(error):
    """Return True if ``error`` of redis-py says that a server is unavailable, and that this may pass."""
    if isinstance(error, AuthenticationError):
        return False
    if isinstance(error, ResponseError):
        return isinstance(error, UNAVAILABLE_ERRORS) or bool(UNAVAILABLE_WORDS.search(str(error)))
    return isinstance(error, (ConnectionError, TimeoutError))


def with_address(error, client):
    """Return ``error``, with the server's address added to its text unless redis-py's text already has it."""
    address = address_of(client)
    if isinstance(error, MasterNotFoundError):  # some versions of redis-py quote the Sentinels' password
        error.args = ("No master is known of %s" % address,)
    elif isinstance(error, ResponseError) and NO_PASSWORD.search(str(error)):
        return AuthenticationError("Authentication required: give a password (%s)" % address)
    elif isinstance(error, ResponseError) and WRONG_PASSWORD.search(str(error)):
        return AuthenticationError("%s (%s)" % (error, address))
    elif isinstance(error, (ConnectionError, TimeoutError)) or is_outage(error):
        if address not in str(error):
            error.args = ("%s (%s)" % (error, address),)
    return error
