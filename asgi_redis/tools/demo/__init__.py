"""
``asgi-redis demo``: send messages between processes, count what arrives, and measure how fast.

The process that the user starts is the front, in the role of Daphne. A worker is a process
``python -m asgi_redis.tools.demo.worker``.

- ``run``: one run, from its start to the removal of everything it created
- ``front``: sends requests and group messages, and receives the replies
- ``worker``: replies to them
- ``traffic``: what front and workers share: the layer, channel names, group members
- ``resources``: the server, processes and keys that a run creates
- ``progress``: progress bars
- ``tally``, ``report``: what was sent and what arrived; the text about it
"""
