"""
The published release at work: a program for the Python of ``environment.py``, and the language it speaks.

A line in: ``{"new": class name, "kwargs": dict}`` makes a layer, answered by its number; ``{"layer": number, "call":
method name, "args": list, "kwargs": dict}`` calls a method. A line out: ``{"answer": value}`` or ``{"raised": type
name, "text": text}``. The first line out says what was imported. It ends where its input ends.
"""
from __future__ import unicode_literals

import base64
import json
import sys


def tag(value):
    """``value`` as JSON can hold it, with nothing lost: bytes, tuples and dicts are tagged."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, tuple):
        return {"tuple": [tag(part) for part in value]}
    if isinstance(value, list):
        return [tag(part) for part in value]
    if isinstance(value, dict):
        return {"dict": sorted(([tag(key), tag(part)] for key, part in value.items()), key=json.dumps)}
    return value


def untag(value):
    if isinstance(value, list):
        return [untag(part) for part in value]
    if not isinstance(value, dict):
        return value
    (kind, inner), = value.items()
    if kind == "bytes":
        return base64.b64decode(inner)
    return {"tuple": tuple, "dict": dict}[kind](untag(inner))


def to_line(value):
    """A value as one line. Equal lines: equal values of equal types."""
    return json.dumps(tag(value)).encode("ascii") + b"\n"


def from_line(line):
    return untag(json.loads(line.decode("ascii")))


def imported():
    import msgpack
    import redis

    import asgi_redis

    return {
        "release": asgi_redis.__version__,
        "file": asgi_redis.__file__,
        "redis": redis.__version__,
        "msgpack": ".".join(map(str, msgpack.version)),
    }


def obey(command, layers):
    if "new" in command:
        import asgi_redis

        layers.append(getattr(asgi_redis, command["new"])(**command["kwargs"]))
        return len(layers) - 1
    return getattr(layers[command["layer"]], command["call"])(*command["args"], **command["kwargs"])


def main():
    commands, answers = getattr(sys.stdin, "buffer", sys.stdin), getattr(sys.stdout, "buffer", sys.stdout)
    sys.stdout = sys.stderr  # what a library prints is no answer
    layers = []
    answer = imported()
    while True:
        answers.write(to_line(answer))
        answers.flush()
        line = commands.readline()
        if not line:
            return
        try:
            answer = {"answer": obey(from_line(line), layers)}
        except Exception as error:
            answer = {"raised": type(error).__name__, "text": str(error)}


if __name__ == "__main__":
    main()
