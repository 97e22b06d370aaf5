"""The rows of the two tables of types that bulkio promises, read from `promise.md`, a copy of the promise's words."""

from __future__ import annotations

from pathlib import Path

__all__ = ["NEW_TABLE_ROWS", "ROWS", "row_of"]


def _rows(heading: str) -> tuple[str, ...]:
    """Return the first cells of the table below a heading."""
    text = Path(__file__).with_name("promise.md").read_text()
    section = text.split(f"## {heading}\n", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return tuple(line.split("|")[1].strip() for line in lines[2:])


#: PostgreSQL -> Arrow
ROWS = _rows("PostgreSQL -> Arrow")
#: Arrow -> PostgreSQL: what a new table gets
NEW_TABLE_ROWS = _rows("Arrow -> PostgreSQL: what a new table gets")


def row_of(rows: tuple[str, ...], start: str) -> int:
    """Return the index of the row that is `start`, or else of the only one that starts so."""
    if start in rows:
        return rows.index(start)
    (found,) = (i for i, row in enumerate(rows) if row.startswith(start))
    return found
