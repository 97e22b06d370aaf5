"""The requests to read and to export a table or a query."""

# Without `from __future__ import annotations`: the annotations are read at run time.

import os
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated

from bulkio.choices import BoundsPolicy, ExportMethod, InfinityPolicy, NanPolicy
from bulkio.options.option import Option
from bulkio.options.shared import Dsn, Moving, Params, TableOrQuery
from bulkio.protocols import File, Progress

__all__ = ["ExportRequest", "ReadRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading(Moving):
    """The options of whatever reads a table or a query."""

    params: Params = ()
    method: Annotated[
        ExportMethod,
        Option(
            "How rows travel: binary (COPY TO), or cursor (a server-side one). Both give the same rows.",
            group="Connection",
        ),
    ] = "binary"
    infinity: Annotated[
        InfinityPolicy,
        Option(
            "Infinite dates and timestamps, and 24:00:00; the sentinel is the Arrow type's extreme value.",
            group="Values",
        ),
    ] = "error"
    nan: Annotated[
        NanPolicy, Option("NaN and infinity of numeric(p,s), which a decimal cannot hold.", group="Values")
    ] = "error"
    bounds: Annotated[BoundsPolicy, Option("Arrays whose lower bound is not 1: drop the bound.", group="Values")] = (
        "error"
    )
    numeric: Annotated[
        str,
        Option(
            "What numeric without precision becomes: string, decimal(p,s), in which every value must fit, or float64,"
            " which rounds.",
            metavar="FORM",
            group="Values",
        ),
    ] = "string"


@dataclass(frozen=True, slots=True)
class ReadRequest(_Reading):
    """A read of batches, as the user asks for it."""

    table_or_query: TableOrQuery
    dsn: Dsn = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ExportRequest(_Reading):
    """An export, as the user asks for it."""

    table_or_query: TableOrQuery
    dest: Annotated[
        str | os.PathLike[str] | File,
        Option(
            "A path; its ending tells the format (.parquet; .arrow, .feather; .arrows; .csv; of the last two also"
            " .gz and .zst); or `bulkio.csv(path)`.",
            is_flag=False,
        ),
    ]
    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    progress: Annotated[
        Callable[[Progress], None] | None, Option("Called after each batch that was written.", is_flag=False)
    ] = field(default=None, repr=False, compare=False)
