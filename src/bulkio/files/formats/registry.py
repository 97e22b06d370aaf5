"""The file formats, one row each. A new format is one module and one row here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.files.faults import reading
from bulkio.files.formats import ipc, parquet
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.files.formats.ipc_stream import open_ipc
from bulkio.files.stores.compression import is_plain, open_path, with_head
from bulkio.files.stores.paths import ending
from bulkio.show import printable
from bulkio.types.from_pg import interval_struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from bulkio.files.formats.part import Part
    from bulkio.files.formats.sink import FileSink
    from bulkio.types import Cast

__all__ = [
    "FOLDER_SUFFIXES",
    "FORMATS",
    "SUFFIXES",
    "Format",
    "FormattedFile",
    "format_of_dest",
    "format_of_file",
    "format_of_head",
    "format_of_name",
]


def _refuse_nothing(path: str, schema: pa.Schema) -> None:
    """Let any schema pass."""


def _as_it_is(leaf: Cast) -> Cast:
    return leaf


@dataclass(frozen=True, slots=True)
class Format:
    """One file format."""

    name: str
    #: file name endings, with the dot, in lower case
    suffixes: tuple[str, ...]
    #: first bytes of every such file; None if there are none to go by
    magic: bytes | None
    #: what opens a file; other parts of its source are known already
    open_part: Callable[[str, Sequence[Part]], Part]
    #: function that opens a file to write; None if the server itself writes the bytes
    open_sink: Callable[[str, pa.Schema], FileSink] | None
    #: presence of all that a reader needs ahead of the rows, so that it can be read from a pipe, or compressed
    streams: bool = False
    #: check of a path's schema: raises `SchemaError` for what the format cannot hold
    refuse: Callable[[str, pa.Schema], None] = _refuse_nothing
    #: change of a column's leaf to what the format can hold
    adapt: Callable[[Cast], Cast] = _as_it_is


FORMATS = (
    Format(
        "parquet",
        (".parquet", ".pq"),
        parquet.MAGIC,
        parquet.ParquetPart,
        parquet.open_sink,
        refuse=parquet.refuse_unfit,
        adapt=interval_struct,
    ),
    Format("arrow", (".arrow", ".feather", ".ipc"), ipc.FILE_MAGIC, open_ipc, ipc.open_file_sink),
    Format("arrows", (".arrows",), ipc.STREAM_MAGIC, open_ipc, ipc.open_stream_sink, streams=True),
    # Never told by its content: any text is CSV.
    Format("csv", (".csv",), None, CsvPart, None, streams=True),
)

_BY_SUFFIX = {suffix: fmt for fmt in FORMATS for suffix in fmt.suffixes}
#: endings that bulkio knows
SUFFIXES = frozenset(_BY_SUFFIX)
#: endings of the files that a folder stands for: a CSV has no types of its own, so it is loaded only if it is named
FOLDER_SUFFIXES = frozenset(suffix for fmt in FORMATS if fmt.open_sink for suffix in fmt.suffixes)


def format_of_file(path: str) -> Format:
    """Return an existing file's format, from its name's ending, else from its first bytes.

    Raises `ConfigError` that lists the known endings, `FileError` if the file cannot be read.
    """
    by_suffix = format_of_name(path)
    with reading(path):
        _refuse_special(path)
        if by_suffix:
            return by_suffix
        with open_path(path) as file:
            by_content = format_of_head(with_head(file)[0])
        packed = not is_plain(path)
    if by_content is None:
        raise ConfigError(
            f"{printable(path)}: its format is not one that bulkio knows; {_known()}. CSV is not guessed: if it is"
            " one, say so (--format csv, bulkio.csv(path))"
        )
    if packed and not by_content.streams:
        what = f"it is {by_content.name}, which cannot be read compressed"
        raise ConfigError(f"{printable(path)}: {what}: decompress it first")
    return by_content


def format_of_name(path: str) -> Format | None:
    """Return the format that a name's ending tells."""
    return _BY_SUFFIX.get(ending(path))


def format_of_head(head: bytes) -> Format | None:
    """Return the format that begins with these bytes."""
    return next((fmt for fmt in FORMATS if fmt.magic and head.startswith(fmt.magic)), None)


@dataclass(frozen=True, slots=True)
class FormattedFile:
    """Files whose format is said, whatever their names are."""

    #: path, list of paths, or "-" for stdin and stdout
    path: object
    format: str


def format_of_dest(path: str, fmt: str | None) -> Format:
    """Return the format to write: `fmt` by name, else by the path's ending. Raises `ConfigError`."""
    if fmt is not None:
        for known in FORMATS:
            if known.name == fmt:
                return known
        raise ConfigError(f"unknown format {fmt!r}; known are {', '.join(known.name for known in FORMATS)}")
    by_suffix = format_of_name(path)
    if by_suffix is None:
        raise ConfigError(f"{printable(path)}: its ending tells no format that bulkio knows; {_known()}")
    return by_suffix


def _refuse_special(path: str) -> None:
    # A pipe would block for ever.
    if not Path(path).is_file() and Path(path).exists():
        raise ValueError("it is not a regular file")


def _known() -> str:
    return f"known endings are {', '.join(sorted(SUFFIXES))}"
