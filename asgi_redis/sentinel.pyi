from typing import Any, Dict, List, Optional

from .core import BaseRedisChannelLayer, _Address, _Capacities, _Collection, _Secrets

class RedisSentinelChannelLayer(BaseRedisChannelLayer):
    hosts: List[_Address]
    sentinel_refresh_interval: float

    def __init__(
        self,
        expiry: float = 60,
        hosts: Optional[_Collection[_Address]] = None,
        prefix: str = "asgi:",
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Optional[_Capacities] = None,
        symmetric_encryption_keys: _Secrets = None,
        stats_prefix: str = "asgi-meta:",
        connection_kwargs: Optional[Dict[str, Any]] = None,
        services: Optional[_Collection[str]] = None,
        sentinel_refresh_interval: float = 0,
        sentinel_kwargs: Optional[Dict[str, Any]] = None,
        *,
        reconnect_timeout: Optional[float] = None,
        max_message_size: Optional[int] = None,
    ) -> None: ...

    @property
    def services(self) -> List[str]: ...
