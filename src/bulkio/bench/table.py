"""A result as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from bulkio.bench.stats import PUBLISHED_PAIRS
from bulkio.show import printable

if TYPE_CHECKING:
    from bulkio.bench.result import LineResult, Result

__all__ = ["caption", "make_table"]

_HEADINGS = ("rows/s", "wall s", "CPU s / 1M rows", "peak MB", "x limit", "95% interval")
_WORKERS_HEADINGS = ("speedup", "idle")


def make_table(result: Result) -> Table:
    """Lay out one line of the bench a row; the limits come first."""
    source = printable(str(result.source["name"]))
    table = Table(title=Text(f"bench {result.kind}: {source}, {result.source['rows']:,} rows"))
    table.add_column("line")
    has_workers = any(line.workers > 1 for line in result.lines)
    for heading in _HEADINGS + (_WORKERS_HEADINGS if has_workers else ()):
        table.add_column(heading, justify="right")
    for line in result.lines:
        cells = _cells(line) + (_workers_cells(line) if has_workers else ())
        table.add_row(Text(line.name), *cells, style="dim" if line.role == "limit" else "")
    return table


def _cells(line: LineResult) -> tuple[str, ...]:
    ratio = line.ratio
    return (
        f"{line.rows_per_s:,.0f}",
        f"{line.wall_s:.3f}",
        f"{line.cpu_s_per_million_rows:.3f}",
        f"{line.peak_mb:.0f}",
        f"{ratio.median:.3f}" if ratio else "",
        f"{ratio.low:.3f} to {ratio.high:.3f}" if ratio else "",
    )


def _workers_cells(line: LineResult) -> tuple[str, ...]:
    return (
        f"{line.speedup.median:.2f}" if line.speedup else "",
        "" if line.idle_share is None else f"{line.idle_share:.0%}",
    )


def caption(result: Result) -> str:
    """Say how many pairs there were, and whether the ratios may be published."""
    if result.publishable:
        return f"{result.pairs} pairs"
    return f"{result.pairs} pairs: not for publication, which takes {PUBLISHED_PAIRS} (--pairs {PUBLISHED_PAIRS})"
