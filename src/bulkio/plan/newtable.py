"""A table that a load creates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bulkio import sql
from bulkio.quote import name_list, qualified
from bulkio.sql import replacing

__all__ = ["NewTable", "hidden_key"]


def hidden_key(name: str) -> str:
    """Return the name of the index that a hidden table of this name has, as long as it has no primary key."""
    return f"{name}_key"


@dataclass(frozen=True, slots=True)
class NewTable:
    """A table that a load creates: at once, or bare and under another name, to be finished once the rows are there."""

    schema: str
    name: str
    columns: tuple[sql.NewColumn, ...]
    primary_key: tuple[str, ...]
    #: True if its key is made once the rows are there
    defers: bool = False

    @property
    def serial_column(self) -> str:
        """The first column that is serial; "" if none is."""
        return next((column.name for column in self.columns if column.type_sql in sql.SERIALS), "")

    @property
    def ddl(self) -> str:
        """The CREATE TABLE that makes it at once; without its key, where that comes later."""
        if not self.defers:
            return sql.create_table(self.schema, self.name, self.columns, self.primary_key)
        key = self.primary_key
        columns = [replace(each, nullable=each.nullable and each.name not in key) for each in self.columns]
        return sql.create_table(self.schema, self.name, columns)

    @property
    def late_ddl(self) -> tuple[str, ...]:
        """What makes its key, where that comes later."""
        late = self.defers and self.primary_key
        return (sql.add_primary_key(self.schema, self.name, self.primary_key),) if late else ()

    def forbids_null(self, column: str) -> bool:
        """Tell whether a column may not be NULL once the table is finished."""
        [found] = [each for each in self.columns if each.name == column]
        return not found.nullable or bool(found.identity) or column in self.primary_key

    def bare(self, name: str, *, unlogged: bool) -> str:
        """Return the CREATE TABLE that makes it under another name."""
        return sql.create_bare_table(self.schema, name, self.name, self.columns, unlogged=unlogged)

    def early_key(self, name: str) -> tuple[str, ...]:
        """Return what keeps the primary key of the one of this name unique before it is finished."""
        if not self.primary_key:
            return ()
        table, key = qualified(self.schema, name), name_list(self.primary_key)
        return (replacing.create_index(hidden_key(name), table, f"({key})", unique=True),)

    def finished(self, name: str, *, unlogged: bool) -> tuple[str, ...]:
        """Return the statements that finish the one of this name; its keys are named after its final name."""
        other = qualified(self.schema, name)
        logged = (f"ALTER TABLE {other} SET LOGGED",) if unlogged else ()
        rename = replacing.rename("TABLE", self.schema, name, self.name)
        return (*logged, rename, *sql.finish_table(self.schema, self.name, self.columns, self.primary_key))
