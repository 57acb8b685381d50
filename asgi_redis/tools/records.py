"""The records of processes that wait for messages, shard by shard: one that fails does not hide the others."""
from __future__ import unicode_literals

import json


def records(client, prefix):
    """Return {name: record} of the processes that wait on a server. redis-py's errors. ``prefix``: with the tag."""
    names = [name.decode("ascii") for name in client.zrange(prefix + "#presence", 0, -1)]
    bodies = client.mget(["%s#presence#%s" % (prefix, name) for name in names]) if names else []
    return {name: json.loads(body.decode("utf-8")) for name, body in zip(names, bodies) if body}
