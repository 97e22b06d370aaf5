from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from bulkio.errors import EncodeError
from bulkio.pgcopy.field import Field

class ArrowArrayExportable(Protocol):
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]: ...

HEADER: bytes
TRAILER: bytes

class Block:
    rows: int
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Encoder:
    fields: tuple[Field, ...]
    rows: int
    def __init__(
        self,
        fields: Iterable[Field],
        *,
        block_bytes: int = ...,
        first_row: int = ...,
        refuse: Callable[[EncodeError], None] | None = ...,
    ) -> None: ...
    def skip(self, rows: int) -> None: ...
    @property
    def next_row(self) -> int: ...
    def encode(self, batch: ArrowArrayExportable) -> Iterator[Block]: ...
    def finish(self) -> Block: ...
