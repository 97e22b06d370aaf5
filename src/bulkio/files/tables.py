"""Folders whose log, not their listing, tells which files and rows count: Delta, Iceberg, Hudi and their like.

Such a folder keeps the files of older versions and lists rows that are deleted apart. bulkio reads no such log: it only
knows the folders.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio.errors import FileError
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["refuse_tables", "table_note"]

#: names of Iceberg's files in metadata/: v3.metadata.json, 00003-<uuid>.metadata.json, perhaps compressed
_ICEBERG = re.compile(
    r"(?:v\d+|\d{5,}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.gz)?\.metadata\.json(?:\.gz)?|version-hint\.text"
)
# folder inside the table's own, what some name in it is, and what the table is
_MARKS = (
    ("_delta_log", None, "a Delta"),
    (".hoodie", None, "a Hudi"),
    ("_spark_metadata", None, "a Spark streaming"),
    ("metadata", _ICEBERG, "an Iceberg"),
)


def refuse_tables(folders: Iterable[Path]) -> None:
    """Raise `FileError` where a folder, or one above it, is a table's."""
    look = cache(_table_here)
    for folder in folders:
        if found := _table_above(folder, look):
            where, name = found
            raise FileError(
                f"{where}: is {name} table, of whose files only its log tells which count: read it with a library for"
                f" {name.partition(' ')[2]}, such as DuckDB or polars, and load what that gives",
                path=str(where),
            )


def table_note(path: str) -> tuple[str, ...]:
    """Return the note that one file, named by itself, is a table's."""
    found = _table_above(Path(path).parent, _table_here)
    if found is None:
        return ()
    return (f"{printable(path)} is a file of {found[1]} table, whose log was not read: its rows may not be current",)


def _table_above(folder: Path, look: Callable[[Path], str | None]) -> tuple[Path, str] | None:
    real = Path(os.path.realpath(folder))
    for here in (real, *real.parents):
        if name := look(here):
            return here, name
    return None


def _table_here(folder: Path) -> str | None:
    for inner, inside, name in _MARKS:
        try:
            with os.scandir(folder / inner) as entries:
                if inside is None or any(inside.fullmatch(entry.name) for entry in entries):
                    return name
        except OSError:  # mostly there is none; what cannot be listed is told where its files are opened
            continue
    return None
