"""What is refused as the file for rejected records, before anything is loaded or made."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.files.agreement import differences
from bulkio.files.formats.csv.reader import CsvPart
from bulkio.files.formats.registry import FORMATS, format_of_name
from bulkio.files.rejects.folder import folder_of, names_of
from bulkio.files.rejects.form import typed_format
from bulkio.files.source import FileSource
from bulkio.files.stores.paths import COMPRESSIONS, is_listed, refuse_url
from bulkio.show import printable, show_name, show_option

if TYPE_CHECKING:
    from bulkio.protocols import Source

__all__ = ["checked_source", "is_of", "refuse_existing", "refuse_unfit"]


def checked_source(source: Source) -> FileSource:
    """Return a source whose records can be kept as they are.

    Raises:
        ConfigError: they cannot.
    """
    if not isinstance(source, FileSource):
        mend = "make it a table first, such as pyarrow.Table.from_pylist(rows), or write it to a file"
        raise ConfigError(
            f"{show_option('rejects')} keeps rejected records as they are, and {printable(source.name)} has no form of"
            f" its own for that: {mend}"
        )
    _refuse_lost_columns(source)
    _refuse_headers(source)
    return source


def refuse_unfit(dest: str, source: FileSource, load_id: str | None) -> None:
    """Raise `ConfigError` where a source's rejected records cannot be written to `dest`, or must not be."""
    refuse_url(dest, writing=True)
    if dest in ("", "-"):
        raise _refusal(dest or "''", "is not a file: rejected records are gathered in one that is there at the end")
    _refuse_ending(dest, source)
    _refuse_folder(dest)
    _refuse_own(dest, source)
    refuse_existing(dest, load_id)
    if typed := typed_format(dest):
        typed.refuse(dest, source.record_schema)


def _refusal(dest: str, why: str) -> ConfigError:
    return ConfigError(f"{show_option('rejects')}: {printable(dest)} {why}")


def _refuse_lost_columns(source: FileSource) -> None:
    """Refuse a file some of whose columns cannot be read: its records would not be kept whole."""
    for part in source.parts:
        if part.faults:
            name, fault = next(iter(part.faults.items()))
            raise ConfigError(
                f"{printable(part.path)}: {show_name(name)} {fault}: {show_option('rejects')} keeps whole records, and"
                " cannot even where this column is not loaded"
            )


def _refuse_headers(source: FileSource) -> None:
    """Refuse files that do not share one header: the file of rejected records has one."""
    first = source.parts[0]
    for part in source.parts[1:]:
        same = part.schema is first.schema or part.schema.names == first.schema.names
        if not isinstance(first, CsvPart):
            same = next(differences(first.schema, part.schema, first.schema.names), None) is None
        if not same:
            raise ConfigError(
                f"{printable(part.path)} has not the same columns, in the same order, as {printable(first.path)}:"
                f" {show_option('rejects')} gathers records of all files under one header; load these one by one"
            )
    twice = [name for name, times in Counter(first.schema.names).items() if times > 1]
    if twice and len(source.parts) > 1:
        raise ConfigError(
            f"{printable(first.path)} has column {show_name(twice[0])} twice, so {show_option('rejects')} cannot gather"
            " records of several files: load these one by one"
        )


def _refuse_ending(dest: str, source: FileSource) -> None:
    known = format_of_name(dest)
    if isinstance(source.parts[0], CsvPart):
        if Path(dest).suffix.lower() in COMPRESSIONS:
            raise _refusal(dest, "would be compressed, and rejected records are to be read and mended: leave that out")
        if known is not None and known.name != "csv":
            raise _refusal(dest, f"is {known.name} by its ending, and the records of a CSV stay CSV: end it in .csv")
    elif typed_format(dest) is None:
        endings = ", ".join(suffix for fmt in FORMATS if fmt.open_sink is not None for suffix in fmt.suffixes)
        raise _refusal(dest, f"must end as a file does that keeps the source's types: {endings}")


def _refuse_folder(dest: str) -> None:
    folder = Path(dest).absolute().parent
    if not folder.is_dir():
        raise _refusal(dest, "is in a folder that does not exist: make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refusal(dest, "is in a folder that you may not write to: name another one")


def _refuse_own(dest: str, source: FileSource) -> None:
    """Refuse a name among the source's own files, or one under which the next load would take it for one of these."""
    ours = [str(Path(dest).parent / name) for name in names_of(dest)]
    for path in source.paths:
        if any(os.path.realpath(path) == os.path.realpath(own) for own in ours):
            raise _refusal(dest, f"would stand where the source's own file {printable(path)} is: name another one")
    for searched in source.searched:
        if any(is_listed(searched, own) for own in (*ours, str(folder_of(dest)))):
            raise _refusal(
                dest,
                f"would be found among the source's files ({printable(searched)}), and be loaded with them the next"
                " time: name one in another folder",
            )


def refuse_existing(dest: str, load_id: str | None) -> None:
    """Raise `ConfigError` where there is such a file, or one of reasons, unless it is of the load with this id."""
    there = next((path for name in names_of(dest) if os.path.lexists(path := Path(dest).parent / name)), None)
    if there is None or is_of(dest, load_id):
        return
    raise ConfigError(
        f"{show_option('rejects')}: {printable(str(there))} exists, and may hold records that nobody has loaded yet:"
        " move it away, or name another file"
    )


def is_of(dest: str, load_id: str | None) -> bool:
    """Tell whether the reasons beside a file name the load with this id."""
    with suppress(OSError, ValueError), (Path(dest).parent / names_of(dest)[1]).open("rb") as file:
        first = json.loads(file.readline())
        return load_id is not None and isinstance(first, dict) and first.get("load_id") == load_id
    return False
