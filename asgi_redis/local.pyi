from typing import Any, Dict, List, Optional, Protocol, Union

from redis import Redis

from .core import RedisChannelLayer, _Address, _Capacities, _Collection, _Message, _Received, _Secrets

# What the layer uses of a local one, which also needs the class ChannelFull.
class _ChannelLayer(Protocol):
    def send(self, channel: str, message: _Message) -> None: ...
    def receive(self, channels: List[str], /) -> _Received: ...
    def flush(self) -> None: ...

class RedisLocalChannelLayer(RedisChannelLayer):
    local_layer: _ChannelLayer

    def __init__(
        self,
        expiry: float = 60,
        hosts: Optional[_Collection[Union[str, _Address, Redis]]] = None,
        prefix: str = "asgi:",
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Optional[_Capacities] = None,
        symmetric_encryption_keys: _Secrets = None,
        stats_prefix: str = "asgi-meta:",
        connection_kwargs: Optional[Dict[str, Any]] = None,
        host: Optional[str] = None,
        port: Optional[int] = None,
        db: Optional[int] = None,
        local_layer: Optional[_ChannelLayer] = None,
        *,
        reconnect_timeout: Optional[float] = None,
        max_message_size: Optional[int] = None,
    ) -> None: ...
