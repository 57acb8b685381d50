"""Clients, and single commands on one connection of theirs: what differs between redis-py's versions is here."""
from __future__ import unicode_literals

import os
import re
import socket
import ssl

import redis
import six
from redis import exceptions
from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError
from redis.sentinel import MasterNotFoundError

from .sockets import readable

try:
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError:  # redis-py before 4.1
    Retry = None

#: Answers of a server that can't serve now, but will again, or another in its place will: a replica, one that loads
#: its data, a cluster that elects a master. redis-py has exceptions of its own for some of them, by its version.
AWAY_ERRORS = tuple(
    getattr(exceptions, name)
    for name in ("BusyLoadingError", "ClusterDownError", "MasterDownError", "ReadOnlyError", "TryAgainError")
    if hasattr(exceptions, name)
)
AWAY_WORDS = re.compile("^(LOADING|CLUSTERDOWN|MASTERDOWN|READONLY|TRYAGAIN|UNBLOCKED) |-READONLY ")

#: Seconds that a server may take to answer a command, and to accept a connection.
SOCKET_TIMEOUT = 5
CONNECT_TIMEOUT = 2

#: An idle connection whose other end is silently gone is found out in 15 to 20 seconds, where the system has these.
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}

REDIS_PY = tuple(int(part) for part in re.findall(r"\d+", redis.__version__)[:2])


def url_of(host, port, db=0):
    """``redis://host:port/db``, with the brackets that an IPv6 address needs."""
    return "redis://%s:%d/%d" % ("[%s]" % host if ":" in host else host, port, db)


def without_password(url):
    """``url`` with ``***`` for its password, wherever redis-py takes one from; also where it is no proper URL."""
    url, mark, query = url.partition("?")
    start, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    login, at, rest = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    login = user + ":***" if colon else "***" if at else ""
    if start != "unix":
        rest = re.sub(r":(?![\d:]*(\]|/|$))[^/\]]*", ":***", rest)  # a port that is no number
    query = re.sub(r"(password=)[^&]*", r"\1***", query)
    return start + slashes + login + at + rest + mark + query


def connect_options(options, unix=False):
    """
    The keyword arguments for a redis-py client: ``options`` over what this layer needs.

    Repeats are the layer's own affair, for only it knows which commands may be repeated: redis-py's are off. RESP 2
    is what every server speaks. ``unix``: for a unix socket, which knows no more than a timeout.
    """
    defaults = {"socket_timeout": SOCKET_TIMEOUT}
    if not unix:
        defaults.update(socket_connect_timeout=CONNECT_TIMEOUT, socket_keepalive=True)
        defaults["socket_keepalive_options"] = dict(KEEPALIVE)
    if Retry is not None:
        defaults["retry"] = Retry(NoBackoff(), 0)
    if REDIS_PY >= (5, 0):
        defaults["protocol"] = 2
    return dict(defaults, **options)


def client_for_url(url, options):
    """A redis-py client for ``url``, connected at its first use. ValueError where redis-py can't read the URL."""
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


def url_options(url):
    """What ``url`` says, as keyword arguments for redis-py's RedisCluster. ValueError where that is no address."""
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


def client_for_address(host, port, options):
    """A redis-py client for a server at ``host``, ``port``, connected at its first use."""
    return redis.StrictRedis(host=host, port=port, **connect_options(options))


def send_command(connection, name, *args):
    """Send one command. redis-py 2 on Python 2 needs its name as ``str``, or joins text and bytes."""
    connection.send_command(str(name), *args)


def can_read(connection, timeout):
    """Whether an answer, or the end of the connection, is there to be read within ``timeout`` seconds."""
    if REDIS_PY >= (3, 0):
        return connection.can_read(timeout)
    # Its own can_read uses select(), which fails on file numbers above 1023, and on signals.
    return connection._parser.can_read() or bool(readable([connection._sock], timeout))


def acquire(client):
    """A connection of ``client``'s pool, for the caller alone until it is released."""
    pool = client.connection_pool
    if REDIS_PY < (3, 0) and pool.pid != os.getpid():
        _leave_to_parent(pool)
    try:
        return pool.get_connection() if REDIS_PY >= (5, 3) else pool.get_connection("_")
    except (ConnectionError, TimeoutError) as error:
        with_address(error, client)
        raise
    except ssl.CertificateError as error:  # a ValueError before Python 3.7, which redis-py lets pass
        raise with_address(ConnectionError(str(error)), client)


def _leave_to_parent(pool):
    """Forget the connections of a forked process's parent. redis-py 2 would shut them down, for the parent too."""
    for connection in list(pool._available_connections) + list(pool._in_use_connections):
        if connection._sock is not None:
            connection._sock.close()
            connection._sock = None
    pool.reset()


def release(client, connection):
    client.connection_pool.release(connection)


def address_of(client):
    """Where the server is: ``host:port``, a socket's path, or a service and the Sentinels that know it."""
    pool = client.connection_pool
    if hasattr(pool, "sentinel_manager"):
        sentinels = ", ".join(address_of(sentinel) for sentinel in pool.sentinel_manager.sentinels)
        return "%s, a service of the Sentinels %s" % (pool.service_name, sentinels)
    options = pool.connection_kwargs
    return options.get("path") or "%s:%s" % (options.get("host", "localhost"), options.get("port", 6379))


def with_address(error, client):
    """``error``, its text completed with the server's address where redis-py's is silent about it."""
    address = address_of(client)
    if isinstance(error, MasterNotFoundError):  # some redis-py's quote the Sentinels' password
        error.args = ("No master is known of %s" % address,)
    if isinstance(error, (ConnectionError, TimeoutError)) and address not in str(error):
        error.args = ("%s (%s)" % (error, address),)
    return error


def is_outage(error):
    """Whether ``error`` of redis-py says that a server can't be reached, or can't serve, and that this may pass."""
    if isinstance(error, ResponseError):
        return isinstance(error, AWAY_ERRORS) or bool(AWAY_WORDS.search(str(error)))
    return isinstance(error, (ConnectionError, TimeoutError)) and not isinstance(error, AuthenticationError)


def call(client, *command):
    """Send one command and return its answer, as ``call_all``."""
    return call_all(client, [command])


def call_all(client, commands, seconds=None):
    """
    Send ``commands`` on one connection of ``client``, and return the answer of the last.

    ``seconds``: how long it waits for each answer; None: as long as the connection's own timeout. Unlike redis-py's
    ``execute_command`` it never sends a command twice; and a connection that was left in the middle of an answer, by
    Ctrl-C for one, is closed.
    """
    connection = acquire(client)
    try:
        for command in commands:
            send_command(connection, *command)
        for _ in commands[1:]:
            _read(connection, seconds)
        return _read(connection, seconds)
    except ResponseError as error:
        # Answers may be left unread; and where the server can't serve, a new connection may find one that can.
        if len(commands) > 1 or is_outage(error):
            connection.disconnect()
        raise
    except BaseException as error:
        connection.disconnect()
        with_address(error, client)
        raise
    finally:
        release(client, connection)


def _read(connection, seconds):
    if seconds is not None and not can_read(connection, seconds):
        raise TimeoutError("No answer in %g s" % seconds)
    return connection.read_response()


def probe(client, seconds):
    """Connect to the server anew, and see whether it answers; each step may take ``seconds``. redis-py's errors."""
    pool = client.connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)
    connection.socket_timeout = connection.socket_connect_timeout = seconds
    try:
        connection.connect()
        send_command(connection, "PING")
        connection.read_response()
    except (ConnectionError, TimeoutError) as error:
        raise with_address(error, client)
    finally:
        connection.disconnect()
