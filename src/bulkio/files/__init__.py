"""Files and Arrow objects as sources, files as sinks. One module per format, one row each in `registry`.

The only layer that reads and writes data files. It must not know drivers or plans, and of PostgreSQL's types only how
their casts are adapted to a format. No
error of pyarrow or of the operating system leaves it: they become `FileError`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from bulkio.errors import ConfigError
from bulkio.files.async_batches import is_async, open_async_source
from bulkio.files.batches import reader_of
from bulkio.files.formats.csv.file import CsvFile
from bulkio.files.formats.csv.reader import CsvPart, CsvStream
from bulkio.files.formats.part import open_parts
from bulkio.files.formats.registry import (
    FOLDER_SUFFIXES,
    FORMATS,
    Format,
    FormattedFile,
    format_of_dest,
    format_of_file,
)
from bulkio.files.formats.sink import FileSink
from bulkio.files.once import open_csv_once, open_once
from bulkio.files.rejects import RejectFile, finish_rejects
from bulkio.files.rows import RowSource, are_rows
from bulkio.files.source import FileSource
from bulkio.files.spool import Keeping, own_path, spooled, spooled_batches
from bulkio.files.stores.paths import ending, is_pipe, list_files, refuse_url
from bulkio.files.stream import StreamSource, is_stream
from bulkio.show import show_no_header, show_option

if TYPE_CHECKING:
    import pyarrow as pa

    from bulkio.files.stores.compression import BinaryFile
    from bulkio.types import Cast

__all__ = [
    "FORMATS",
    "CsvFile",
    "FileDest",
    "FileSink",
    "FileSource",
    "FormattedFile",
    "Keeping",
    "RejectFile",
    "RowSource",
    "StreamSource",
    "csv",
    "csv_dest",
    "file_dest",
    "finish_rejects",
    "is_async",
    "is_csv_name",
    "named_file",
    "open_async_source",
    "open_sink",
    "open_source",
]

#: the name that users call it by
csv = CsvFile


def open_source(
    source: object,
    *,
    batch_rows: int,
    columns: Sequence[str] | None = None,
    allow_lossy: bool = False,
    keeping: Keeping | None = None,
) -> FileSource | StreamSource | CsvStream | RowSource:
    """Open what the user wants to load, reading only metadata.

    `source` is a path, a folder (its files of known formats, by name), a glob pattern, a sequence of these, an object
    with `__arrow_c_stream__`, a Dataset, a list of dicts or of batches, an iterator of batches, or a file that is open
    in binary mode. Batches have at most `batch_rows` rows and, if `columns` is given, only these, in that order.
    With `allow_lossy`, timestamps of more than 64 bits (Parquet's INT96) lose their nanoseconds: they are handed on in
    microseconds. With `keeping`, it can be read again, whatever it is, and bad records of a CSV are an error only where
    they are read. Raises `FileError` (missing, unreadable or damaged), `SchemaError` (files that do not fit together,
    unknown columns), `EncodeError` (a row that is not a dict), `ConfigError` (not a source).

    >>> open_source("sample_data/orders.parquet", batch_rows=8192).rows
    15000
    """
    if batch_rows < 1:
        raise ConfigError(f"batch_rows must be at least 1, not {batch_rows}")
    chosen = None if columns is None else tuple(columns)
    if is_stream(source):
        return _open_batches(source, batch_rows, chosen, keeping=keeping)
    if are_rows(source):
        return RowSource(cast("Sequence[object]", source), batch_rows=batch_rows, columns=chosen)
    wanted = chosen if keeping is None else None
    if (reader := reader_of(source, batch_rows=batch_rows, columns=wanted)) is not None:
        return _open_batches(reader, batch_rows, chosen, keeping=keeping, name=type(source).__name__)
    if isinstance(source, CsvFile):
        return _open_csv(source, batch_rows, chosen, keeping=keeping)
    if hasattr(source, "read"):
        path = own_path(source)
        if path is None:
            name = str(getattr(source, "name", type(source).__name__))
            return spooled(cast("BinaryFile", source), name, batch_rows=batch_rows, columns=chosen, keeping=keeping)
        source = path
    fmt = None
    if isinstance(source, FormattedFile):
        fmt = source.format
        source = source.path
    if isinstance(source, str | os.PathLike) and (source == "-" or is_pipe(source)):
        return open_once(os.fspath(source), fmt, batch_rows=batch_rows, columns=chosen, keeping=keeping)
    listing = list_files(_named(source), FOLDER_SUFFIXES)
    formats = [format_of_file(path) if fmt is None else format_of_dest(path, fmt) for path in listing.paths]
    open_csv = partial(CsvPart, tolerant=keeping is not None)
    openers = [open_csv if known.name == "csv" else known.open_part for known in formats]
    parts = open_parts(zip(openers, listing.paths, strict=True))
    return FileSource(parts, listing, batch_rows=batch_rows, columns=chosen, allow_lossy=allow_lossy)


def _open_batches(
    source: object,
    batch_rows: int,
    columns: tuple[str, ...] | None,
    *,
    keeping: Keeping | None,
    name: str | None = None,
) -> FileSource | StreamSource:
    if keeping is None:
        return StreamSource(source, batch_rows=batch_rows, columns=columns, name=name)
    stream = StreamSource(source, batch_rows=batch_rows, name=name)
    return spooled_batches(stream, batch_rows=batch_rows, columns=columns, keeping=keeping)


def _open_csv(
    source: CsvFile, batch_rows: int, columns: tuple[str, ...] | None, *, keeping: Keeping | None
) -> FileSource | CsvStream:
    path = source.path
    if path == "-" or hasattr(path, "read") or (isinstance(path, str | os.PathLike) and is_pipe(path)):
        return open_csv_once(source, batch_rows=batch_rows, columns=columns, keeping=keeping)
    listing = list_files(_named(path), frozenset({".csv"}))
    open_part = partial(CsvPart, options=source.options, tolerant=keeping is not None)
    parts = open_parts([(open_part, path) for path in listing.paths])
    return FileSource(parts, listing, batch_rows=batch_rows, columns=columns)


def named_file(paths: Sequence[str], fmt: str | None, csv_options: Mapping[str, object]) -> object:
    """Return what `open_source` and `file_dest` take for these paths: themselves, or with format and options.

    Raises:
        ConfigError: there are options of CSV for what is not one.
    """
    path = paths[0] if len(paths) == 1 else list(paths)
    if fmt is None and not csv_options:
        return path
    if fmt == "csv" or (fmt is None and all(map(is_csv_name, paths))):
        return CsvFile(path, **csv_options)  # type: ignore[arg-type]
    if csv_options:
        names = ", ".join(show_no_header() if name == "header" else show_option(name) for name in csv_options)
        verb = "go" if len(csv_options) > 1 else "goes"
        raise ConfigError(f"{names} {verb} with CSV: if it is one, add {show_option('format', 'csv')}")
    return FormattedFile(path, fmt or "")


@dataclass(frozen=True, slots=True)
class FileDest:
    """One file to write, and its format. A `plan.Destination`."""

    path: str
    format: Format

    @property
    def format_name(self) -> str:
        """What messages call the format."""
        return self.format.name

    @property
    def from_batches(self) -> bool:
        """Tell whether batches are written; if not, the server itself makes the bytes."""
        return self.format.open_sink is not None

    def adapt(self, leaf: Cast) -> Cast:
        """Return a leaf of a column's cast as the format can hold it."""
        return self.format.adapt(leaf)

    def refuse(self, schema: pa.Schema) -> None:
        """Raise `SchemaError` for what the format cannot hold."""
        self.format.refuse(self.path, schema)


def file_dest(dest: object, *, fmt: str | None = None) -> FileDest:
    """Tell where to write and in which format, before anything is read.

    `dest` is a path, whose ending tells the format where `fmt` does not name it, or what `csv` makes.

    Raises:
        ConfigError: a URL, or an unknown format.
    """
    if isinstance(dest, CsvFile):
        return FileDest(os.fspath(csv_dest(dest).path), format_of_dest("", "csv"))  # type: ignore[call-overload]
    if isinstance(dest, FormattedFile):
        fmt = dest.format
        dest = dest.path
    if dest == "-" and fmt is None:
        raise ConfigError("stdout has no name that tells a format: say it (--format csv, bulkio.csv('-'))")
    path = os.fspath(dest)  # type: ignore[call-overload]  # it says what is not a path
    refuse_url(path, writing=True)
    return FileDest(path, format_of_dest(path, fmt))


def open_sink(dest: object, schema: pa.Schema, *, fmt: str | None = None) -> FileSink:
    """Open a file to write batches of `schema` to; it appears under its name at `commit`.

    `dest` is what `file_dest` returns, or takes. Raises `ConfigError` (see there), `SchemaError` (a type that the
    format cannot hold), `FileError` (no such folder, no permission…).
    """
    target = dest if isinstance(dest, FileDest) else file_dest(dest, fmt=fmt)
    target.refuse(schema)
    if target.format.open_sink is None:
        raise ConfigError(f"{target.format.name} is written by the server, not from batches")
    return target.format.open_sink(target.path, schema)


def is_csv_name(path: str) -> bool:
    """Tell whether a file's name ends as a CSV's."""
    return ending(path) == ".csv"


def csv_dest(dest: object) -> CsvFile:
    """Return what says where a CSV is written, and how.

    Raises:
        ConfigError: an option is for reading alone, or it is not one path.
    """
    path = dest.path if isinstance(dest, FormattedFile) else dest
    target = dest if isinstance(dest, CsvFile) else CsvFile(path)
    if not isinstance(target.path, str | os.PathLike):
        raise ConfigError(f"{target!r}: give one path to write to")
    refuse_url(os.fspath(target.path), writing=True)
    _ = target.form
    return target


def _named(source: object) -> list[str | os.PathLike[str]]:
    if isinstance(source, str | os.PathLike):
        return [source]
    if isinstance(source, Sequence) and not isinstance(source, bytes | bytearray):
        named = list(source)
        if named and all(isinstance(item, str | os.PathLike) for item in named):
            return named
        if not named:
            raise ConfigError("no file was named")
    raise ConfigError(
        f"cannot read from a {type(source).__name__}: give paths, an open file, a list of dicts, batches, or an"
        " object with __arrow_c_stream__"
    )
