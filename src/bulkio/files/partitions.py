"""Values that stand in a file's path alone, as in ``year=2024/x.parquet`` (Hive's partitions): data, never dropped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from bulkio.errors import SchemaError
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.files.formats.part import Part

__all__ = ["refuse_dropped_partitions"]


def refuse_dropped_partitions(parts: Sequence[Part], columns: tuple[str, ...] | None) -> None:
    """Raise `SchemaError` where a path has a value whose column its file does not have.

    `columns` are those that the user has chosen, or None: what is not among them is left out on purpose.
    """
    for part in parts:
        keys = tuple(
            key for key in _keys(part.path) if key not in part.schema.names and (columns is None or key in columns)
        )
        if keys:
            stand = "stands" if len(keys) == 1 else "stand"
            raise SchemaError(
                f"{printable(part.path)}: {printable(' and '.join(keys))} {stand} in its path and in no column of the"
                " file, and would be dropped: write the files with that column, or leave it out by naming the columns"
                " to load (--columns)",
                columns=keys,
            )


def _keys(path: str) -> list[str]:
    folders = Path(path).parent.parts
    return [unquote(folder.split("=", 1)[0]) for folder in folders if folder.find("=") > 0]
