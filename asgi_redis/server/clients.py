"""redis-py: its clients and errors. Most differences between its versions are dealt with here."""
from __future__ import unicode_literals

import re
import socket

import redis
import six
from redis import exceptions
from redis.exceptions import AuthenticationError, ConnectionError, RedisError, ResponseError, TimeoutError
from redis.sentinel import MasterNotFoundError

from . import resp, times
from .options import check_tls, own_retries
from .urls import parse_url, url_of, without_password

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
    "(^|-)(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOGOODSLAVE|NOREPLICAS|READONLY|TRYAGAIN|UNBLOCKED) "
    # In a cluster, a reply that redis-py does not know goes on: "+ cluster connections reached".
    "|max number of clients"
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

#: How Python says that a class does not know an argument.
UNKNOWN_OPTION = re.compile("unexpected keyword argument (\\S+)")

REDIS_PY = tuple(int(part) for part in re.findall(r"\d+", redis.__version__)[:2])

#: True if redis-py's connections by unix sockets have a timeout of their own for connecting. Without one, they would
#: wait for ever if the backlog of a server that hangs is full. Older versions of redis-py use ``socket_timeout``.
UNIX_CONNECT_TIMEOUT = REDIS_PY >= (4, 6)


# Clients.


def address_of(client):
    """Return the server's address: ``host:port``, a socket's path, or a service and the Sentinels that know it."""
    pool = client.connection_pool
    if hasattr(pool, "sentinel_manager"):
        sentinels = ", ".join(address_of(sentinel) for sentinel in pool.sentinel_manager.sentinels)
        return "%s, a service of the Sentinels %s" % (pool.service_name, sentinels)
    options = pool.connection_kwargs
    return options.get("path") or "%s:%s" % (options.get("host", "localhost"), options.get("port", 6379))


def url_of_client(client):
    """Return the URL of a client's server, without user and password; of a service of Sentinels, its description."""
    pool = client.connection_pool
    options = pool.connection_kwargs
    if hasattr(pool, "sentinel_manager"):
        return address_of(client)
    if "path" in options:
        return "unix://%s?db=%s" % (options["path"], options.get("db") or 0)
    url = url_of(options.get("host", "localhost"), options.get("port", 6379), options.get("db") or 0)
    return url.replace("redis", "rediss", 1) if issubclass(pool.connection_class, redis.SSLConnection) else url


def connect_options(options, scheme="redis"):
    """
    Return the keyword arguments for a redis-py client: ``options``, and the defaults of this layer.

    redis-py's retries are off: the layer repeats commands itself, because only it can tell which may be repeated. The
    protocol is RESP 2, whatever ``options`` say, because every server speaks it, and ``resp.parse`` no other.
    ``scheme``: the URL's; a unix socket takes no option but timeouts.
    """
    defaults = {"socket_timeout": times.SOCKET_TIMEOUT}
    if scheme != "unix" or UNIX_CONNECT_TIMEOUT:
        defaults["socket_connect_timeout"] = times.CONNECT_TIMEOUT
    if scheme != "unix":
        defaults.update(socket_keepalive=True, socket_keepalive_options=dict(KEEPALIVE))
    if Retry is not None:
        defaults["retry"] = Retry(NoBackoff(), 0)
    if REDIS_PY >= (5, 0):
        options = dict(options, protocol=2)
        # redis-py must not tell the server its name and version: that is two round trips for each connection. Over TLS
        # it must: the clients of 8.1 with hiredis take session tickets for an unread reply, until they have read one.
        if scheme != "rediss" and not options.get("ssl"):
            defaults.update({"driver_info": None} if HAS_DRIVER_INFO else {"lib_name": None, "lib_version": None})
    return dict(defaults, **options)


def client_for_url(url, kwargs):
    """
    Return a redis-py client for ``url``, which connects at its first use. ValueError if an option is wrong.

    ``kwargs``: options for all connections of the layer; those of the URL have precedence.
    """
    scheme, found = parse_url(url)
    shown = without_password(url)
    options = dict(kwargs, **found)
    check_tls(shown, options, scheme == "rediss", "write rediss://")
    options.pop("ssl", None)
    if REDIS_PY < (3, 4):
        options.pop("username", None)  # it has no such option
    return make_client("%s, or connection_kwargs" % shown, scheme, options)


def client_for_address(host, port, options, where="connection_kwargs"):
    """
    Return a redis-py client for the server at ``host``, ``port``, which connects at its first use. ValueError if an
    option is wrong.

    ``where``: what the user calls ``options``.
    """
    options = dict(options, host=host, port=port)
    is_secure = options.pop("ssl", False)
    check_tls(where, options, is_secure, "give ssl=True too")
    return make_client(where, "rediss" if is_secure else "redis", options)


def make_client(where, scheme, options):
    kind = {"redis": redis.Connection, "rediss": redis.SSLConnection, "unix": redis.UnixDomainSocketConnection}[scheme]
    options = dict({"connection_class": kind}, **connect_options(options, scheme))
    try:
        pool = redis.ConnectionPool(**options)
        pool.connection_class(**pool.connection_kwargs)  # it does not connect
        return redis.StrictRedis(connection_pool=pool)
    except TypeError as error:
        name = UNKNOWN_OPTION.search(str(error))
        words = "has no option %s" % name.group(1) if name else "refuses an option"
    except RedisError as error:
        words = "refuses an option: %s" % error
    six.raise_from(ValueError("%s: redis-py %s %s." % (where, redis.__version__, words)), None)


def is_client(value):
    """Return True if ``value`` is a client of redis-py for one server. In redis-py 2, ``Redis`` is a subclass."""
    return isinstance(value, redis.StrictRedis)


def check_client_options(options):
    """Raise ValueError if the connections of a site's own client, which have ``options``, do not suit a layer."""
    if options.get("decode_responses"):
        raise ValueError("A client in hosts must have decode_responses off: messages are bytes.")
    if own_retries(options):
        raise ValueError(
            "A client in hosts must have no retry, retry_on_error or retry_on_timeout: the layer repeats commands "
            "itself, because only it can tell which may be repeated."
        )


def site_options(options):
    """
    Return the keyword arguments of this layer's connections like those of a site's own client, which have ``options``.

    Timeouts that the client leaves open are the layer's, redis-py's default retries are off, and it speaks RESP 2.
    """
    options = dict(options)
    defaults = connect_options({}, "unix" if "path" in options else "redis")
    for name in ("socket_timeout", "socket_connect_timeout"):
        if options.get(name) is None and name in defaults:
            options[name] = defaults[name]
    options.update((name, defaults[name]) for name in ("retry", "protocol") if name in defaults)
    options.pop("maint_notifications_config", None)  # redis-py 8 refuses it with RESP 2
    return options


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
    elif isinstance(error, (AuthenticationError, ResponseError)) and NO_PASSWORD.search(str(error)):
        return AuthenticationError("Authentication required: give a password (%s)" % address)
    elif isinstance(error, ResponseError) and WRONG_PASSWORD.search(str(error)):
        return AuthenticationError("%s (%s)" % (error, address))
    elif isinstance(error, (ConnectionError, TimeoutError)) or is_outage(error):
        if address not in str(error):
            error.args = ("%s (%s)" % (error, address),)
    return error
