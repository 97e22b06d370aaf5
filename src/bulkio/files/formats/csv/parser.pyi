from collections.abc import Mapping, Sequence

import pyarrow as pa
from typing_extensions import Buffer

from bulkio.errors import CsvError

class Parser:
    name: str
    header: tuple[str, ...] | None
    header_is_plain: bool
    width: int
    rows: int
    offset: int
    line: int
    data_start: int
    data_line: int
    broken_lines: bool
    batch_rows: int
    bad_bytes: Mapping[int, str]
    faults: list[tuple[int, str | None, str]] | None
    def __init__(
        self,
        name: str,
        *,
        delimiter: bytes = ...,
        quote: bytes = ...,
        escape: bytes = ...,
        null: bytes = ...,
        header: bool = ...,
        width: int = ...,
        skip_lines: int = ...,
        names: Sequence[str] | None = ...,
        keep: Sequence[int] | None = ...,
        batch_rows: int = ...,
        batch_bytes: int = ...,
        first_row: int = ...,
        first_line: int = ...,
        line_ends: str = ...,
        tolerant: bool = ...,
    ) -> None: ...
    @property
    def full(self) -> bool: ...
    @property
    def line_ends(self) -> str: ...
    def feed(self, piece: Buffer) -> int: ...
    def finish(self) -> None: ...
    def take(self) -> pa.RecordBatch | None: ...
    def fault(self, message: str) -> CsvError: ...
