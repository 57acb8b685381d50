"""redis-py: its clients, connections and errors. What differs between its versions is here."""
from __future__ import unicode_literals

import re
import socket
import ssl

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

#: Replies of a server that can't serve now, but will again, or another in its place will. redis-py has exceptions of
#: its own for some of them, by its version; inside a script's error the word stands behind a hyphen.
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

#: A server that wants a password: which words it uses depends on its version, and on what is sent first.
NO_PASSWORD = re.compile("NOAUTH|Authentication required|unauthenticated|operation not permitted", re.IGNORECASE)

#: A server that wants another one. redis-py before 3.2 has no exception of its own for it.
WRONG_PASSWORD = re.compile("WRONGPASS|invalid password")

#: An idle connection whose other end is silently gone is found out in 15 to 20 seconds, if the system has these.
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}

REDIS_PY = tuple(int(part) for part in re.findall(r"\d+", redis.__version__)[:2])


# Addresses.


def url_of(host, port, db=0):
    """``redis://host:port/db``, with the brackets that an IPv6 address needs."""
    return "redis://%s:%d/%d" % ("[%s]" % host if ":" in host else host, port, db)


def without_password(url):
    """``url`` with ``***`` for its password, wherever redis-py takes one from; also if it is no proper URL."""
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
    """Where the server is: ``host:port``, a socket's path, or a service and the Sentinels that know it."""
    pool = client.connection_pool
    if hasattr(pool, "sentinel_manager"):
        sentinels = ", ".join(address_of(sentinel) for sentinel in pool.sentinel_manager.sentinels)
        return "%s, a service of the Sentinels %s" % (pool.service_name, sentinels)
    options = pool.connection_kwargs
    return options.get("path") or "%s:%s" % (options.get("host", "localhost"), options.get("port", 6379))


# Clients.


def connect_options(options, unix=False):
    """
    The keyword arguments for a redis-py client: ``options`` over what this layer needs.

    The layer repeats commands itself, because only it knows which may be repeated: redis-py's retries are off. RESP 2
    is what every server speaks. ``unix``: for a unix socket, which knows no more than a timeout.
    """
    defaults = {"socket_timeout": times.SOCKET_TIMEOUT}
    if not unix:
        defaults.update(socket_connect_timeout=times.CONNECT_TIMEOUT, socket_keepalive=True)
        defaults["socket_keepalive_options"] = dict(KEEPALIVE)
    if Retry is not None:
        defaults["retry"] = Retry(NoBackoff(), 0)
    if REDIS_PY >= (5, 0):
        defaults["protocol"] = 2
        # Neither name nor version is told to the server: that is two round trips for each connection.
        defaults.update({"driver_info": None} if HAS_DRIVER_INFO else {"lib_name": None, "lib_version": None})
    return dict(defaults, **options)


def client_for_url(url, options):
    """A redis-py client for ``url``, connected at its first use. ValueError if redis-py can't read the URL."""
    options = connect_options(options, unix=url.startswith("unix:"))
    if REDIS_PY < (4, 0):
        options["decode_components"] = True  # the later ones always undo %-escapes
    try:
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError(url)  # redis-py 2.10 takes any other for redis://
        return redis.StrictRedis.from_url(url, **options)
    except ValueError:
        # redis-py's words may quote a part of the password.
        six.raise_from(ValueError(
            "%s is not a URL that redis-py can read: redis://, rediss:// or unix:// is needed." % without_password(url)
        ), None)


def client_for_address(host, port, options):
    """A redis-py client for a server at ``host``, ``port``, connected at its first use."""
    return redis.StrictRedis(host=host, port=port, **connect_options(options))


def url_options(url):
    """What ``url`` says, as keyword arguments for redis-py's RedisCluster. ValueError if it is no address."""
    from redis.connection import parse_url  # redis-py 4, as RedisCluster

    try:
        options = parse_url(url)
    except ValueError:
        options = {}
    if "host" not in options:
        six.raise_from(ValueError("%s is not a redis:// or rediss:// URL." % without_password(url)), None)
    options.pop("db", None)  # a cluster has but one
    if options.pop("connection_class", None) is redis.SSLConnection:
        options["ssl"] = True
    return options


# Connections.


def connect(client, patience=None, timeout=None):
    """
    A new connection like those of ``client``'s pool, connected. redis-py's errors, with the server's address.

    ``patience``: how long each step of connecting may take, in seconds (default: as the client says). ``timeout``: how
    long replies may take afterwards (default likewise).
    """
    pool = client.connection_pool
    options = dict(pool.connection_kwargs)
    if patience is not None:
        options["socket_timeout"] = patience
        if "path" not in options:
            options["socket_connect_timeout"] = patience
    connection = pool.connection_class(**options)
    try:
        connection.connect()
        set_timeout(connection, options.get("socket_timeout") if timeout is None else timeout)
    except ssl.CertificateError as error:  # a ValueError before Python 3.7, which redis-py lets pass
        connection.disconnect()
        raise with_address(ConnectionError(str(error)), client)
    except BaseException as error:
        # An interrupted handshake leaves a connection that looks whole, and is logged in nowhere.
        connection.disconnect()
        with_address(error, client)
        raise
    return connection


def set_timeout(connection, seconds):
    connection.socket_timeout = seconds
    connection._sock.settimeout(seconds)


def abandon(connection):
    """Close a connection of a forked process's parent. redis-py 2 would shut it down, for the parent too."""
    if connection._sock is not None:
        connection._sock.close()
        connection._sock = None


def can_read(connection, timeout):
    """Return True if a reply, or the end of the connection, is there to be read within ``timeout`` seconds."""
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
    """``error``, its text completed with the server's address if redis-py's is silent about it."""
    address = address_of(client)
    if isinstance(error, MasterNotFoundError):  # some redis-py's quote the Sentinels' password
        error.args = ("No master is known of %s" % address,)
    elif isinstance(error, ResponseError) and NO_PASSWORD.search(str(error)):
        return AuthenticationError("Authentication required: give a password (%s)" % address)
    elif isinstance(error, ResponseError) and WRONG_PASSWORD.search(str(error)):
        return AuthenticationError("%s (%s)" % (error, address))
    elif isinstance(error, (ConnectionError, TimeoutError)) or is_outage(error):
        if address not in str(error):
            error.args = ("%s (%s)" % (error, address),)
    return error
