from typing import Any, Dict, List, Optional, Union

from redis.cluster import RedisCluster

from .core import BaseRedisChannelLayer, _Address, _Capacities, _Collection, _Secrets

class RedisClusterChannelLayer(BaseRedisChannelLayer):
    hosts: List[str]

    def __init__(
        self,
        expiry: float = 60,
        hosts: Optional[_Collection[Union[str, _Address, RedisCluster]]] = None,
        prefix: str = "asgi:",
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Optional[_Capacities] = None,
        symmetric_encryption_keys: _Secrets = None,
        stats_prefix: str = "asgi-meta:",
        connection_kwargs: Optional[Dict[str, Any]] = None,
        shards: int = 3,
        *,
        reconnect_timeout: Optional[float] = None,
        max_message_size: Optional[int] = None,
    ) -> None: ...
