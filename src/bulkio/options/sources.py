"""The requests to read a source, and to write it into a file, without any database."""

# Without `from __future__ import annotations`: the annotations are read at run time.

import os
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated

from bulkio.options.option import Option
from bulkio.options.shared import BatchRows, Columns, check_fields
from bulkio.protocols import File, Progress

__all__ = ["ScanRequest", "WriteRequest"]

_Source = Annotated[
    object,
    Option("What `load` takes: files, an Arrow object, dicts, batches, an async iterable of batches.", is_flag=False),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scanning:
    """The options of whatever reads a source without a database."""

    columns: Columns = None
    batch_rows: BatchRows = 16384
    allow_lossy: Annotated[bool, Option("Allow timestamps of files to lose their nanoseconds (Parquet's INT96).")] = (
        False
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True)
class ScanRequest(_Scanning):
    """A read of a source that is not a database."""

    source: _Source = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class WriteRequest(_Scanning):
    """A file to be written from a source."""

    source: _Source = field(repr=False, compare=False)
    dest: Annotated[
        str | os.PathLike[str] | File,
        Option("A path; its ending tells the format (.parquet; .arrow, .feather; .arrows).", is_flag=False),
    ]
    _: KW_ONLY
    progress: Annotated[
        Callable[[Progress], None] | None, Option("Called after each batch that was written.", is_flag=False)
    ] = field(default=None, repr=False, compare=False)
