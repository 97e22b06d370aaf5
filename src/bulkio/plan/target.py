"""The table that a load goes into, as the modes need to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkio.catalog import Table, UniqueKey
    from bulkio.plan.replaced_columns import ReplacedColumns

__all__ = ["Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """One table, and the columns of it that are loaded."""

    schema: str
    name: str
    #: columns of the source, in stream order
    columns: tuple[str, ...]
    #: the table; None if this load creates it
    existing: Table | None
    #: unique keys of the table, the primary one first
    keys: tuple[UniqueKey, ...]
    #: the server's version as a number, such as 180003
    server_version: int
    #: columns of the new table when an existing one is replaced
    replaced: ReplacedColumns | None = None

    @property
    def is_new(self) -> bool:
        """Tell whether this load creates it."""
        return self.existing is None

    @property
    def kind(self) -> str:
        """pg_class.relkind."""
        return "r" if self.existing is None else self.existing.kind

    @property
    def may_change_rows(self) -> bool:
        """Tell whether COPY may see another row than is stored, or DELETE leave one that it was to delete.

        Before PostgreSQL's releases of 2025-11, COPY took generated columns for NULL in its WHERE; now it refuses them.
        """
        if self.existing is None:
            return False
        return self.existing.may_change_rows or any(column.generated for column in self.existing.columns)

    @property
    def always_identity(self) -> frozenset[str]:
        """The columns that are GENERATED ALWAYS AS IDENTITY: they can be inserted, and not updated."""
        columns = () if self.existing is None else self.existing.columns
        return frozenset(column.name for column in columns if column.identity == "ALWAYS")

    @property
    def overrides(self) -> bool:
        """Tell whether an INSERT of the columns has to say that it means it: COPY need not."""
        return not self.always_identity.isdisjoint(self.columns)
