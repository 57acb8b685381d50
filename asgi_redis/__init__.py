"""A Redis channel layer for Django Channels 1 and other users of the ASGI draft specification."""
from __future__ import unicode_literals

from .cluster import RedisClusterChannelLayer
from .core import BaseRedisChannelLayer, RedisChannelLayer, UnsupportedRedis
from .local import RedisLocalChannelLayer
from .sentinel import RedisSentinelChannelLayer

__version__ = "1.5.0"
