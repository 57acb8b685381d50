"""The keyword arguments of redis-py's connections: what each must be, and how a URL writes it."""
from __future__ import unicode_literals

import math
import re
import ssl

import redis
import six
from redis import connection

#: What a text in a URL means for an option that is either on or off.
SWITCHES = {
    "1": True, "t": True, "true": True, "y": True, "yes": True, "on": True,
    "0": False, "f": False, "false": False, "n": False, "no": False, "off": False,
}

CERT_REQS = ("none", "optional", "required")

#: ``isdigit`` also accepts digits that ``int`` can't read.
DIGITS = re.compile(r"[0-9]+\Z")


# Checks and parsers: TypeError or ValueError, whose text continues the name of the option. They show only numbers: text
# may be a password in a wrong place.


def check_whole(value):
    if isinstance(value, bool) or not isinstance(value, six.integer_types):
        raise TypeError("must be a whole number, not %s." % type(value).__name__)
    if value < 0:
        raise ValueError("must not be negative, not %d." % value)


def check_seconds(value):
    if isinstance(value, bool) or not isinstance(value, six.integer_types + (float,)):
        raise TypeError("must be a number of seconds, not %s." % type(value).__name__)
    if not value > 0 or math.isinf(value):
        raise ValueError("must be a positive number of seconds, not %r." % value)


def check_switch(value):
    if not isinstance(value, six.integer_types):  # bool is one of them
        raise TypeError("must be True or False, not %s." % type(value).__name__)


def check_text(value):
    if not isinstance(value, (six.text_type, six.binary_type)):
        raise TypeError("must be text, not %s." % type(value).__name__)


def check_path(value):
    if not hasattr(value, "__fspath__"):
        check_text(value)


def check_dict(value):
    if not isinstance(value, dict):
        raise TypeError("must be a dict, not %s." % type(value).__name__)


def check_cert_reqs(value):
    is_text = isinstance(value, six.string_types)
    if value not in (CERT_REQS if is_text else (ssl.CERT_NONE, ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED)):
        raise ValueError("must be one of %s." % ", ".join(CERT_REQS))


def parse_whole(text):
    if not DIGITS.match(text):
        raise ValueError("must be a whole number.")
    return int(text)


def parse_seconds(text):
    try:
        return float(text)
    except ValueError:
        six.raise_from(ValueError("must be a number of seconds."), None)


def parse_switch(text):
    try:
        return SWITCHES[text.lower()]
    except KeyError:
        six.raise_from(ValueError("must be true or false."), None)


#: {option: (how its value is checked, how a URL's text is parsed)}
KINDS = {
    name: kind
    for names, kind in (
        ("db max_connections health_check_interval socket_read_size protocol", (check_whole, parse_whole)),
        ("socket_timeout socket_connect_timeout", (check_seconds, parse_seconds)),
        ("socket_keepalive retry_on_timeout decode_responses legacy_responses ssl ssl_check_hostname "
         "ssl_validate_ocsp ssl_validate_ocsp_stapled", (check_switch, parse_switch)),
        ("username password client_name encoding encoding_errors ssl_ciphers", (check_text, six.text_type)),
        ("ssl_keyfile ssl_certfile ssl_ca_certs ssl_ca_path", (check_path, six.text_type)),
        ("socket_keepalive_options", (check_dict, six.text_type)),
        ("ssl_cert_reqs", (check_cert_reqs, six.text_type)),
    )
    for name in names.split()
}

#: Options that redis-py takes, but that a layer sets itself.
SET_BY_HOSTS = ("host", "port", "unix_socket_path", "connection_pool")


def check_option(where, name, value):
    """Raise TypeError or ValueError, without the value, if the option ``name`` can't be ``value``."""
    if name in SET_BY_HOSTS:
        raise ValueError("%s must have no %s: hosts says where the servers are." % (where, name))
    if value is None or name not in KINDS:
        return
    try:
        KINDS[name][0](value)
    except (TypeError, ValueError) as error:
        six.raise_from(type(error)("%s: %s %s" % (where, name, error)), None)
    if name == "decode_responses" and value:
        raise ValueError("%s: decode_responses must be off: messages are bytes." % where)


def check_options(where, options):
    """
    Return ``options`` as a dict for redis-py. TypeError or ValueError, without a value, if one is wrong.

    ``where``: what the user calls them.
    """
    if not isinstance(options, dict):
        raise TypeError("%s must be a dict of redis-py's options, not %s." % (where, type(options).__name__))
    options = dict(options)
    if isinstance(options.get("db"), six.string_types) and DIGITS.match(options["db"]):
        options["db"] = int(options["db"])  # from the environment, for example; redis-py takes it too
    for name, value in options.items():
        if not isinstance(name, six.string_types):
            raise TypeError("%s must have names of options as keys, not %s." % (where, type(name).__name__))
        check_option(where, name, value)
    return options


def parse_option(where, name, text):
    """Return the value of the option ``name`` that a URL writes as ``text``. ValueError, without it, if it is wrong."""
    parse = KINDS[name][1] if name in KINDS else connection.URL_QUERY_ARGUMENT_PARSERS.get(name, six.text_type)
    try:
        value = parse(text)
    except ValueError as error:
        words = error if name in KINDS else "has a value that redis-py can't read."
        six.raise_from(ValueError("%s: %s %s" % (where, name, words)), None)
    try:
        check_option(where, name, value)
    except TypeError as error:
        six.raise_from(ValueError(str(error)), None)
    return value


def check_tls(where, options, is_secure, remedy):
    """Raise ValueError if ``options`` are for TLS, and the connection is not."""
    for name in sorted(options):
        if not is_secure and (name.startswith("ssl_") or name == "ssl" and options[name]):
            raise ValueError("%s: %s is for connections with TLS only: %s." % (where, name, remedy))


def own_retries(options):
    """
    Return True if the user of a client with these ``options`` told it to retry.

    From redis-py 6 on, clients retry by default; the layer's connections do not.
    """
    # In redis-py 4.1, the first client with retry_on_timeout changes the default of all that follow.
    defaults = redis.StrictRedis().connection_pool.connection_kwargs
    retry = options.get("retry")
    return any(
        options.get(name) and options[name] != defaults.get(name) for name in ("retry_on_timeout", "retry_on_error")
    ) or (retry is not None and retry._retries != 0 and _policy(retry) != _policy(defaults.get("retry")))


def _policy(retry):
    """Return what tells two ``Retry`` apart. Before redis-py 6.4, equal backoffs are not ``==``."""
    return retry and (retry._retries, type(retry._backoff), vars(retry._backoff))
