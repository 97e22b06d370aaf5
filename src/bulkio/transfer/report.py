"""What a load, an export or statements have done."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkio.choices import Commit, DriverName, ExportMethod, LoadMethod, Mode

__all__ = ["ExecuteReport", "ExportReport", "LoadReport", "WriteReport"]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load did."""

    rows: int
    #: bytes of COPY data sent to the server
    bytes: int
    seconds: float
    driver: DriverName
    method: LoadMethod
    mode: Mode
    #: name of the table, with its schema
    table: str
    #: True if the table was missing and has been created
    created: bool
    #: notes on where the table differs from what the source recorded, and on what of the source is left out
    notes: tuple[str, ...] = ()
    #: the time limits that were lifted, such as "statement_timeout of 30000 ms"
    lifted: tuple[str, ...] = ()
    #: rows that the table had before an append; None if that is not known, or was not asked
    rows_before: int | None = None
    #: True if `rows_before` is the planner's estimate, as it is for a large table
    rows_before_estimated: bool = False
    #: rows of the table that are new, and rows that were changed
    inserted: int = 0
    updated: int = 0
    #: rows of the source that changed nothing: they are there already, or others with the same key were kept
    skipped: int = 0
    #: rows of the table that were deleted; None if nobody counted them (truncate)
    deleted: int | None = 0
    #: the load's id, if it has one
    load_id: str | None = None
    #: connections that have carried the rows, and what was committed at once
    workers: int = 1
    commit: Commit = "all"
    #: reason why one connection did it, although more were asked for; "" if not
    why_one: str = ""
    #: what readers may have seen before the load was done; "" for nothing
    visibility: str = ""
    #: records of the source that were rejected, and are none of the rows; path of the file that they are in, if any
    rejected: int = 0
    rejects: str | None = None
    #: True if the load was done before, by the run that reports here: nothing was done now
    already: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the fields as JSON has them."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, found: Mapping[str, object]) -> LoadReport:
        """Return the report that `as_dict` has told, of another version of bulkio too: what is unknown is left out."""
        known = {each.name: found[each.name] for each in fields(cls) if each.name in found}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
        return cls(**values)  # type: ignore[arg-type]  # the ledger's own words

    @property
    def rows_per_s(self) -> float:
        """Rows per second, connecting and committing included."""
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did."""

    rows: int
    #: bytes of the file
    bytes: int
    seconds: float
    driver: DriverName
    method: ExportMethod | Literal["csv"]
    #: the table, or "query"
    table: str
    #: the time limits that were lifted, such as "statement_timeout of 30000 ms"
    lifted: tuple[str, ...] = ()

    @property
    def rows_per_s(self) -> float:
        """Rows per second, connecting and finishing the file included."""
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class ExecuteReport:
    """What statements did."""

    #: rows that they have inserted, updated, deleted, merged or copied
    rows: int
    #: command tag of each, such as "INSERT 0 5"; none if they were done before
    tags: tuple[str, ...]
    seconds: float
    driver: DriverName
    #: the time limits that were lifted, such as "statement_timeout of 30000 ms"
    lifted: tuple[str, ...] = ()
    #: id under which they are done once, if they have one
    once: str | None = None
    #: True if they were done before, by another run: nothing was done now
    already: bool = False


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What was written into a file."""

    rows: int
    #: bytes of the file
    bytes: int
    seconds: float
    #: path of the file
    path: str

    @property
    def rows_per_s(self) -> float:
        """Rows per second, finishing the file included."""
        return self.rows / self.seconds if self.seconds else 0.0
