"""From the staging table into the table: carry out a `Merge`, and count what it has done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from bulkio.choices import share_of
from bulkio.errors import SchemaError
from bulkio.show import show_name, show_option, show_value
from bulkio.sql import StagedInsert
from bulkio.transfer.isolation import without_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkio.plan import Merge
    from bulkio.protocols import Row, Session
    from bulkio.transfer.isolation import RefusePlace

__all__ = ["Changes", "insert_all", "merge", "tag_rows"]

#: rows that a message names, at most
_NAMED_ROWS = 10


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows of the table that a load has changed."""

    inserted: int = 0
    updated: int = 0
    #: rows deleted; None if nobody counted them
    deleted: int | None = 0


async def merge(
    session: Session,
    work: Merge,
    refuse: RefusePlace | None = None,
    row_of: Callable[[int], int] | None = None,
) -> Changes:
    """Bring the staged rows into the table, under the user's search_path, which triggers and defaults need.

    Rows that the server refuses are told to `refuse`, if there is one, and the others are stored. Then some of the
    source's rows may not be staged: `row_of` returns which one of them a place is for.

    Raises:
        SchemaError: rows of the source have the same key, or more rows would be deleted than may be.
    """
    if await session.fetch(work.insert.doubled_keys()):
        if work.duplicates == "error":
            raise await _doubled(session, work, row_of, all_staged=refuse is None)
    else:
        work = replace(work, insert=replace(work.insert, keep=""))
    deleted = await _delete(session, work) if work.delete else 0
    if refuse is None:
        inserted, updated = await _insert(session, work)
    else:
        inserted, updated = await without_refused(
            session, work.insert, work.statement, partial(_insert, session, work), refuse
        )
    return Changes(inserted, updated, deleted)


async def insert_all(session: Session, insert: StagedInsert, refuse: RefusePlace | None = None) -> int:
    """Insert the staged rows, which meet no others; return how many. Those that the server refuses as in `merge`."""

    async def store() -> int:
        return tag_rows(await session.execute(insert.all_rows()))

    return await (store() if refuse is None else without_refused(session, insert, StagedInsert.all_rows, store, refuse))


async def _delete(session: Session, work: Merge) -> int:
    """Delete what the source lacks, up to the limit. Nobody else writes: the table is locked."""
    deleted = tag_rows(await session.execute(work.delete))
    if not deleted:
        return 0
    rows = deleted
    if work.max_delete.endswith("%"):
        [(left,)] = await session.fetch(work.count)
        rows += int(str(left))
    if deleted > share_of(work.max_delete, rows):
        of_all = f" of {rows:,}" if work.max_delete.endswith("%") else ""
        raise SchemaError(
            f"the source lacks the keys of {deleted:,}{of_all} rows of the table, and"
            f" {show_option('max_delete')} allows {work.max_delete} to be deleted: if that is"
            f" what you want, allow it ({show_option('max_delete', str(deleted))})"
        )
    return deleted


async def _insert(session: Session, work: Merge) -> tuple[int, int]:
    """Insert, and perhaps update; return how many rows were new, and how many were updated."""
    insert = work.insert
    if not work.updates:
        return tag_rows(await session.execute(insert.do_nothing())), 0
    if not work.in_two_steps:
        [(inserted, updated)] = await session.fetch(insert.do_update_counted(work.updates, work.server_version))
        return int(str(inserted)), int(str(updated))
    [(inserted, unstaged)] = await session.fetch(insert.do_nothing_and_unstage())
    if int(str(unstaged)) < int(str(inserted)):
        raise SchemaError(
            "a trigger of the table changes the key of new rows, so that nothing tells which of the source's rows they"
            " were, and nothing was loaded",
            columns=tuple(column.name for column in insert.key),
        )
    return int(str(inserted)), tag_rows(await session.execute(insert.do_update(work.updates)))


async def _doubled(
    session: Session, work: Merge, row_of: Callable[[int], int] | None, *, all_staged: bool
) -> SchemaError:
    """Return the error for rows of one key, which names the first of them.

    Their numbers are those of the staged rows, where these are all of the source's.
    """
    rows = []
    for first, place, number, *key in await session.fetch(work.insert.doubled_rows(_NAMED_ROWS)):
        row = number if row_of is None else row_of(int(str(place)))
        rows.append((first, row if all_staged or row_of is not None else None, *key))
    names = tuple(column.name for column in work.insert.key)
    first, last = show_option("duplicates", "first"), show_option("duplicates", "last")
    return SchemaError(
        f"rows of the source have the same key ({', '.join(map(show_name, names))}):"
        + "".join(f"\n  {line}" for line in _by_key(rows))
        + f"\nkeep one of them with {first} or {last}",
        columns=names,
    )


def _by_key(rows: Sequence[Row]) -> list[str]:
    """Show which rows have which key, in the first row's spelling: of the last one that is shown there may be more.

    Rows that have no numbers are not named.
    """
    numbers: dict[object, list[str]] = {}
    keys: dict[object, str] = {}
    for place, number, *key in rows:
        numbers.setdefault(place, []).append(str(number or ""))
        keys.setdefault(place, ", ".join(map(show_value, key)))
    lines = [
        f"{keys[place]}: rows {', '.join(found)}" if all(found) else keys[place] for place, found in numbers.items()
    ]
    return [*lines, "..."] if len(rows) == _NAMED_ROWS else lines


def tag_rows(tag: str) -> int:
    """Return the number of rows of a command tag.

    >>> tag_rows("INSERT 0 5"), tag_rows("DELETE 2")
    (5, 2)
    """
    return int(tag.rpartition(" ")[2])
