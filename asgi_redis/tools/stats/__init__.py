"""
``asgi-redis stats``: channels, processes, groups and shards of a layer, as they are now.

- ``run``: the command
- ``collect``: reads everything once; ``scan``: finds the names of channels and groups, in bounded steps
- ``text``: as tables, with rates and bars when it watches
- ``prometheus``: in the text format of Prometheus
"""
