from .cluster import RedisClusterChannelLayer as RedisClusterChannelLayer
from .core import BaseRedisChannelLayer as BaseRedisChannelLayer
from .core import RedisChannelLayer as RedisChannelLayer
from .core import UnsupportedRedis as UnsupportedRedis
from .local import RedisLocalChannelLayer as RedisLocalChannelLayer
from .sentinel import RedisSentinelChannelLayer as RedisSentinelChannelLayer

__version__: str
