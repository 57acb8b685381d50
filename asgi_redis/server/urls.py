"""URLs of servers: how they are written, read and shown."""
from __future__ import unicode_literals

import re

import six
from six.moves.urllib.parse import parse_qsl, unquote

from .options import DIGITS, KINDS, parse_option

#: A query begins with a name. Any other question mark belongs to a password that is not escaped.
QUERY = re.compile(r"\?(?=\w+=)")

#: An option whose value may have an @.
KNOWN_OPTION = re.compile(r"(^|&)(%s)=[^&]*" % "|".join(sorted(KINDS)))

#: An option whose value is, or may be, a password.
SECRET_OPTION = re.compile(r"((?:^|(?<=&))(?!(?:%s)=)[^=&]*=)[^&]*" % "|".join(sorted(set(KINDS) - {"password"})))

#: Host, port and path of what follows the login.
ADDRESS = re.compile(r"(\[[^\]]*\]|[^:/\[\]]*)(?::([^/]*))?(/.*)?$")

LARGEST_PORT = 65535


def url_of(host, port, db=0):
    """Return ``redis://host:port/db``, with the brackets that an IPv6 address needs."""
    return "redis://%s:%s/%s" % ("[%s]" % host if ":" in host else host, port, db)


def split_query(url):
    """Return what is before and after the question mark."""
    parts = QUERY.split(url, 1)
    return parts[0], parts[1] if len(parts) == 2 else ""


def without_password(url):
    """Return ``url`` with ``***`` wherever there may be a password. It need not be a valid URL."""
    start, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    rest, query = split_query(rest)
    login, at, rest = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    login = user + ":***" if colon else "***" if at else ""
    if start != "unix":
        rest = re.sub(r":(?![\d:]*(\]|/|$))[^/\]]*", ":***", rest)  # a port that is no number
    # An @ there may be the end of a password that is not escaped, and an unknown name may be a misspelt "password".
    query = "***" if "@" in query else SECRET_OPTION.sub(r"\1***", query)
    return start + slashes + login + at + rest + ("?" + query if query else "")


def decoded(text):
    """Return ``text`` without %-escapes."""
    # If it is given text, Python 2's unquote takes each byte for a character.
    return six.ensure_text(unquote(six.ensure_str(text)), errors="replace")


def parse_url(url):
    """
    Return the scheme of a URL, and redis-py's options in it. ValueError, without a password, that says what is wrong.

    redis-py's own parser differs between its versions, and ignores a part of what it can't read.
    """
    url = six.ensure_text(url)
    shown = without_password(url)
    scheme, _, rest = url.partition("://")
    if "://" not in url or scheme not in ("redis", "rediss", "unix"):
        raise ValueError("%s is not the URL of a server, which begins with redis://, rediss:// or unix://." % shown)
    rest, query = split_query(rest)
    login, _, place = ("", "", rest) if url.startswith("unix:///") else rest.rpartition("@")
    check_escapes(shown, login, place, query)
    options = parse_path(shown, place) if scheme == "unix" else parse_address(shown, place)
    user, _, password = login.partition(":")
    for name, text in (("username", user), ("password", password)):
        if text:
            options[name] = decoded(text)
    options.update(parse_query(shown, query))
    return scheme, options


def check_escapes(shown, login, place, query):
    """Raise ValueError if a character that ends a part of a URL is in another part."""
    if "@" in KNOWN_OPTION.sub("", query):
        login = "?"  # what looks like a query is the rest of a password
    for character, escaped in (("#", "%23"), ("/", "%2F"), ("?", "%3F")):
        if character in login:
            raise ValueError("%s: write %s as %s in a user name or password." % (shown, character, escaped))
    if "#" in place or "#" in query:
        raise ValueError("%s has a #, which must be written as %%23." % shown)
    if place.rstrip("?") != place.replace("?", ""):
        raise ValueError("%s: what follows the ? must have the form name=value; in a password, write %%3F." % shown)


def parse_path(shown, place):
    if not place.startswith("/"):
        raise ValueError("%s must have an absolute path, as in unix:///run/redis.sock." % shown)
    return {"path": decoded(place.rstrip("?"))}


def parse_address(shown, place):
    match = ADDRESS.match(place.rstrip("?"))
    if match is None or (match.group(2) or "").count(":"):
        raise ValueError("%s: write host:port after the user and password, an IPv6 address in brackets: [::1]." % shown)
    host, port, path = [part or "" for part in match.groups()]
    options = {"host": decoded(host.strip("[]")) or "localhost", "port": 6379}
    if port:
        if not DIGITS.match(port) or not 1 <= int(port) <= LARGEST_PORT:
            raise ValueError("%s: the port must be a number from 1 to %d." % (shown, LARGEST_PORT))
        options["port"] = int(port)
    db = decoded(path).strip("/")
    if db and not DIGITS.match(db):
        raise ValueError("%s: the database must be a number, not '%s'." % (shown, db))
    return dict(options, db=int(db)) if db else options


def parse_query(shown, query):
    options = {}
    for name, text in parse_qsl(six.ensure_str(query), keep_blank_values=True):
        name, text = [six.ensure_text(part, errors="replace") for part in (name, text)]
        options.setdefault(name, parse_option(shown, name, text))
    return options
