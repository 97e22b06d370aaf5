"""Values that stand in a file's path alone, as in ``year=2024/x.parquet`` (Hive's partitions): data, never dropped."""

from __future__ import annotations

import itertools
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from bulkio.choices import ColumnChoice
from bulkio.errors import SchemaError
from bulkio.show import printable, show_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.files.formats.part import Part

__all__ = ["refuse_dropped_partitions"]


def refuse_dropped_partitions(
    parts: Sequence[Part], columns: tuple[str, ...] | None, roots: Sequence[str] = ()
) -> None:
    """Raise `SchemaError` where a path has a value whose column its file does not have.

    `columns` are those that the user has chosen, or None: what is not among them is left out on purpose.
    Whatever stands below one of `roots`, where patterns begin, is a part of the data.
    """
    tops = [_absolute(root) for root in roots]
    keys_of = cache(lambda folder: _keys(folder, tops))
    for part in parts:
        keys = tuple(
            key
            for key in keys_of(os.path.dirname(part.path))  # noqa: PTH120 - of thousands of files, most of one folder
            if key not in part.schema.names and (columns is None or ColumnChoice.of(columns).has(key))
        )
        if keys:
            stand = "stands" if len(keys) == 1 else "stand"
            raise SchemaError(
                f"{printable(part.path)}: {printable(' and '.join(keys))} {stand} in its path and in no column of the"
                " file, and would be dropped: write the files with that column, or leave it out by naming the columns"
                f" to load ({show_option('columns')})",
                columns=keys,
            )


def _keys(folder: str, tops: Sequence[Path]) -> list[str]:
    """Return the keys of the chain of ``key=value`` folders that ends with a folder, and of those below one of `tops`.

    What lies above other folders is where the data is kept, and no part of it: ``/home/user=me/data/x.parquet``.
    """
    folders = [_absolute(folder), *_absolute(folder).parents]
    chain = itertools.takewhile(str.isidentifier, map(_key, folders))
    searched = (_key(here) for here in folders if any(top in here.parents for top in tops))
    return [key for key in dict.fromkeys([*chain, *searched]) if key][::-1]


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - as it is named, but with the working directory


def _key(folder: Path) -> str:
    key, equals, _ = folder.name.partition("=")
    return unquote(key) if equals else ""
