from asyncio import Future
from typing import Any, Dict, Iterable, Iterator, List, Optional, Pattern, Protocol, Tuple, TypeVar, Union

from cryptography.fernet import Fernet, MultiFernet
from redis import Redis
from twisted.internet.defer import Deferred
from typing_extensions import deprecated

_T_co = TypeVar("_T_co", covariant=True)

# A list, tuple, set or the like, but not a single text or bytes, which the layer refuses: these look only for their
# own kind.
class _Collection(Protocol[_T_co]):
    def __contains__(self, item: object, /) -> bool: ...
    def __iter__(self) -> Iterator[_T_co]: ...

_Message = Dict[str, Any]
_Received = Tuple[Optional[str], Optional[_Message]]
_Address = Tuple[str, int]
_Secrets = Optional[_Collection[Union[str, bytes]]]

# Not a Mapping, whose keys are invariant: a dict of text only would not do.
class _Capacities(Protocol):
    def items(self) -> Iterable[Tuple[Union[str, Pattern[str]], int]]: ...

class UnsupportedRedis(Exception): ...

class BaseRedisChannelLayer:
    class ChannelFull(Exception): ...
    class MessageTooLarge(Exception): ...

    extensions: List[str]
    STAT_MESSAGES_COUNT: str
    STAT_MESSAGES_PENDING: str
    STAT_MESSAGES_MAX_AGE: str
    STAT_CHANNEL_FULL: str
    channel_statistics_expiry: int
    global_statistics_expiry: int
    blpop_timeout: float

    expiry: float
    group_expiry: float
    capacity: int
    channel_capacity: List[Tuple[Pattern[str], int]]
    hosts: List[Any]
    prefix: str
    stats_prefix: str
    client_prefix: str
    connection_kwargs: Dict[str, Any]
    reconnect_timeout: Optional[float]
    max_message_size: Optional[int]

    def __init__(
        self,
        expiry: float = 60,
        hosts: Optional[_Collection[Any]] = None,
        prefix: str = "asgi:",
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Optional[_Capacities] = None,
        symmetric_encryption_keys: _Secrets = None,
        stats_prefix: str = "asgi-meta:",
        connection_kwargs: Optional[Dict[str, Any]] = None,
        *own: Any,
        reconnect_timeout: Optional[float] = None,
        max_message_size: Optional[int] = None,
        **options: Any,
    ) -> None: ...

    @property
    def ring_size(self) -> int: ...
    @property
    def crypter(self) -> Optional[MultiFernet]: ...
    def connection(self, index: Optional[int]) -> Redis: ...
    def random_index(self) -> int: ...
    def consistent_hash(self, value: Union[str, bytes]) -> int: ...
    def get_capacity(self, channel: str) -> int: ...

    def make_fernet(self, key: Union[str, bytes]) -> Fernet: ...
    def serialize(self, message: _Message) -> bytes: ...
    def deserialize(self, message: bytes) -> _Message: ...

    def valid_channel_name(self, name: str, receive: bool = False) -> bool: ...
    def valid_channel_names(self, names: _Collection[str], receive: bool = False) -> bool: ...
    def valid_group_name(self, name: str) -> bool: ...
    def non_local_name(self, name: str) -> str: ...
    def new_channel(self, pattern: str) -> str: ...

    def send(self, channel: str, message: _Message) -> None: ...
    def on_send(self, channel: str, message: _Message) -> None: ...
    def receive(self, channels: _Collection[str], block: bool = False) -> _Received: ...
    @deprecated("Use receive.")
    def receive_many(self, channels: _Collection[str], block: bool = False) -> _Received: ...
    def receive_twisted(self, channels: _Collection[str]) -> Deferred[_Received]: ...
    def receive_async(self, channels: _Collection[str]) -> Future[_Received]: ...

    def group_add(self, group: str, channel: str) -> None: ...
    def group_discard(self, group: str, channel: str) -> None: ...
    def group_channels(self, group: str) -> List[str]: ...
    def send_group(self, group: str, message: _Message) -> None: ...

    def global_statistics(self) -> Dict[str, int]: ...
    def channel_statistics(self, channel: str) -> Dict[str, int]: ...
    def processes(self) -> Dict[str, Dict[str, Any]]: ...
    def flush(self) -> None: ...

class RedisChannelLayer(BaseRedisChannelLayer):
    hosts: List[str]

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
        *,
        reconnect_timeout: Optional[float] = None,
        max_message_size: Optional[int] = None,
    ) -> None: ...
