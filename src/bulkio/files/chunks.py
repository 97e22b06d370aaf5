"""Which chunks a source of files is cut into. Pure, but for what a file is asked of its own ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.protocols import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bulkio.files.formats.part import Part
    from bulkio.protocols import PartRange

__all__ = ["check_count", "cut"]


def check_count(count: int) -> None:
    """Raise `ConfigError` for a number of chunks that would leave rows out."""
    if count < 1:
        raise ConfigError(f"the number of chunks must be at least 1, not {count}")


def cut(parts: Sequence[Part], count: int) -> tuple[Chunk, ...]:
    """Cut files into at most `count` chunks of about as many bytes; a file smaller than that stays whole.

    Raises `FileError` where a file's ranges cannot be read.
    """
    check_count(count)
    placed: dict[int, list[tuple[int, PartRange]]] = {}
    for place, number, found in _places(parts, count):
        placed.setdefault(place, []).append((number, found))
    starts = _first_rows(parts)
    return tuple(_chunk(number, ranges, starts) for number, ranges in enumerate(placed.values()))


def _places(parts: Sequence[Part], count: int) -> Iterator[tuple[int, int, PartRange]]:
    """Yield each range of each file, and which chunk it belongs to: that in which its middle lies."""
    sizes = [max(1, part.size_bytes) for part in parts]
    total, before = sum(sizes), 0
    for number, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        ranges = part.ranges(-(-size * count // total))
        for index, found in enumerate(ranges):
            middle = 2 * before * len(ranges) + size * (2 * index + 1)  # in bytes times twice the ranges
            yield count * middle // (2 * total * len(ranges)), number, found
        before += size


def _first_rows(parts: Sequence[Part]) -> list[int | None]:
    """Return the row of the source that each file begins with, as far as the files tell."""
    starts: list[int | None] = []
    row: int | None = 1
    for part in parts:
        starts.append(row)
        row = None if row is None or part.rows is None else row + part.rows
    return starts


def _chunk(number: int, ranges: list[tuple[int, PartRange]], starts: list[int | None]) -> Chunk:
    part, first = ranges[0]
    start = starts[part]
    rows = [found.rows for _, found in ranges]
    return Chunk(
        number,
        first_row=None if start is None else start + first.first_row - 1,
        rows=None if None in rows else sum(size or 0 for size in rows),
        ranges=tuple(ranges),
    )
