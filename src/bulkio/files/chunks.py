"""Which chunks a source of files is cut into. Pure, but for what a file is asked of its own ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.protocols import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bulkio.files.formats.part import Part
    from bulkio.protocols import PartRange

__all__ = ["check_count", "cut", "rows_of_files"]


def check_count(count: int) -> None:
    """Raise `ConfigError` for a number of chunks that would leave rows out."""
    if count < 1:
        raise ConfigError(f"the number of chunks must be at least 1, not {count}")


def cut(parts: Sequence[Part], count: int) -> tuple[Chunk, ...]:
    """Cut files into at most `count` chunks of about as many bytes; a file smaller than that stays whole.

    Raises `FileError` where a file's ranges cannot be read.
    """
    check_count(count)
    sizes = [max(1, part.size_bytes) for part in parts]
    total = sum(sizes)
    ranges = [part.ranges(-(-size * count // total)) for part, size in zip(parts, sizes, strict=True)]
    placed: dict[int, list[tuple[int, PartRange]]] = {}
    for place, number, found in _places(ranges, sizes, count):
        placed.setdefault(place, []).append((number, found))
    starts = _first_rows(ranges)
    return tuple(_chunk(number, inside, starts) for number, inside in enumerate(placed.values()))


def rows_of_files(chunks: Sequence[Chunk], files: int) -> dict[int, int]:
    """Return the rows of each of so many files, by its place, where all of its ranges tell them."""
    ranges: dict[int, list[int | None]] = {number: [] for number in range(files)}
    for chunk in chunks:
        for number, found in chunk.ranges:
            ranges[number].append(found.rows)
    return {number: sum(size or 0 for size in rows) for number, rows in ranges.items() if None not in rows}


def _places(
    ranges: Sequence[Sequence[PartRange]], sizes: Sequence[int], count: int
) -> Iterator[tuple[int, int, PartRange]]:
    """Yield each range of each file, and which chunk it belongs to: that in which its middle lies."""
    total, before = sum(sizes), 0
    for number, (inside, size) in enumerate(zip(ranges, sizes, strict=True)):
        for index, found in enumerate(inside):
            middle = 2 * before * len(inside) + size * (2 * index + 1)  # in bytes times twice the ranges
            yield count * middle // (2 * total * len(inside)), number, found
        before += size


def _first_rows(ranges: Sequence[Sequence[PartRange]]) -> list[int | None]:
    """Return the row of the source that each file begins with, as far as the ranges tell."""
    starts: list[int | None] = []
    row: int | None = 1
    for inside in ranges:
        starts.append(row)
        for found in inside:
            row = None if row is None or found.rows is None else row + found.rows
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
