"""What `replace` has the server do: a hidden table with all that the old one has, and the swap of the two.

The work is done while others read and write the old table: the rows, the indexes behind them, ANALYZE. Only the swap
needs the table for itself: it drops the old one, renames the new one and makes what is quick to make, the triggers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from bulkio.catalog.definition import ColumnDefinition
from bulkio.plan.indexes import IndexPlan, key_of
from bulkio.plan.obstacles import refuse_obstacles
from bulkio.quote import NAME_BYTES, qualified, quote_ident
from bulkio.show import show_name
from bulkio.sql import replacing as sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bulkio.catalog.definition import ConstraintDefinition, Definition, Hook, IndexDefinition, SequenceDefinition
    from bulkio.sql import NewColumn

__all__ = ["Replacement", "plan_replacement"]

_IDENTITIES = {"a": "ALWAYS", "d": "BY DEFAULT"}
_GENERATED = {"s": "STORED", "v": "VIRTUAL"}
_NOT_VALID = " NOT VALID"
_ENABLED = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


@dataclass(frozen=True, slots=True)
class Replacement:
    """The statements of one replace, all of them for the path `pg_catalog, pg_temp`."""

    #: the table that is replaced, and the new one's columns
    definition: Definition
    columns: Sequence[ColumnDefinition | NewColumn]
    #: schema and name of the table that COPY fills
    hidden: tuple[str, str]
    #: statements before the rows
    before: tuple[str, ...]
    #: statements after the rows, while the old table is still read and written
    after: tuple[str, ...]
    #: statement that waits until nobody uses the old table, then keeps everybody out
    lock: str
    #: statements that drop the old table; they may have to wait for those who use the tables it refers to
    drop: tuple[str, ...]
    #: statements that put the new one in its place
    swap: tuple[str, ...]
    #: final names of what is hidden until the swap, by the old ones' oids
    names: Mapping[int, str]
    #: notes on what is lost of the old table
    notes: tuple[str, ...]


def plan_replacement(
    definition: Definition,
    columns: Sequence[ColumnDefinition | NewColumn],
    tag: str = "",
    *,
    unlogged: bool = False,
    checks_first: bool = False,
) -> Replacement:
    """Decide what puts a table with these columns, those that are kept and new ones, in the place of an old one.

    The `tag` tells hidden tables that last from each other; one may be `unlogged` until its rows are there. Where it
    `checks_first`, all that may refuse a row is made before the rows, which takes longer: so COPY is refused for it.

    Raises:
        SchemaError: with everything that the table in its place could not have.
    """
    refuse_obstacles(definition, columns)
    return _Builder(definition, columns, tag, unlogged=unlogged, checks_first=checks_first).replacement()


class _Builder:
    """The parts that the statements have in common: the names of the table and of the hidden one, the columns."""

    def __init__(
        self,
        definition: Definition,
        columns: Sequence[ColumnDefinition | NewColumn],
        tag: str,
        *,
        unlogged: bool,
        checks_first: bool,
    ) -> None:
        self.tag = tag
        self.unlogged = unlogged
        self.checks_first = checks_first
        self.definition = definition
        self.columns = columns
        self.table = definition.table
        self.kept = {column.name: column for column in columns if isinstance(column, ColumnDefinition)}
        self.names = {column.name for column in columns}
        self.old = qualified(self.table.schema, self.table.name)
        self.hidden_name = self._hidden_name(self.table.oid)
        self.hidden = qualified(self.table.schema, self.hidden_name)
        self.sequences = [one for one in definition.sequences if one.column in self.names]
        self.identities = [one for one in self.sequences if one.is_identity]
        self.not_nulls = {
            one.needs[0]: one
            for one in definition.constraints
            if one.kind == "n" and one.is_validated and one.needs[0] in self.names
        }

    def _hidden_name(self, oid: int) -> str:
        return sql.hidden_name(oid, self.tag)

    def replacement(self) -> Replacement:
        notes = [
            f"foreign key {show_name(one.name)} is NOT VALID: the rows are not looked up in the table that it refers to"
            for one in self.definition.constraints
            if one.kind == "f" and one.is_enforced and not one.is_validated
        ]
        gone = [show_name(column.name) for column in self.definition.columns if column.name not in self.names]
        if gone:
            notes.append(f"the source does not have these columns of the table, which are dropped: {', '.join(gone)}")
        return Replacement(
            definition=self.definition,
            columns=self.columns,
            hidden=(self.table.schema, self.hidden_name),
            before=tuple(self._before()),
            after=tuple(self._after()),
            lock=sql.lock_table(self.old, "ACCESS EXCLUSIVE"),
            drop=tuple(self._drop()),
            swap=tuple(self._swap()),
            names=self._names(),
            notes=tuple(notes),
        )

    def _names(self) -> dict[int, str]:
        definition = self.definition
        return {
            self.table.oid: self.table.name,
            **{index.oid: index.name for index in definition.indexes},
            **{one.oid: one.name for one in definition.statistics},
            **{sequence.oid: sequence.name for sequence in definition.sequences},
        }

    # --- Before the rows ------------------------------------------------------------------------------------

    def _before(self) -> Iterator[str]:
        table = self.table
        yield sql.set_local("default_tablespace", "")
        options = [sql.option_list(table.options), sql.option_list(table.toast_options, "toast")]
        yield sql.create_hidden(
            self.hidden,
            [*map(self._column, self.columns), *self._checks()],
            unlogged=self.unlogged or table.persistence == "u",
            access_method=table.access_method,
            options=", ".join(filter(None, options)),
            tablespace=table.tablespace,
        )
        if self.tag:  # it is committed before it is full
            yield sql.hide_rows(self.hidden)
        if table.default_grantees:
            yield sql.grant(f"TABLE {self.hidden}", ["ALL"], "", table.role, with_option=False)
        if actions := [action for column in self.kept.values() for action in _column_actions(column)]:
            yield sql.alter_table(self.hidden, actions)
        if self.checks_first:
            for index in self.definition.indexes:
                if _refuses_rows(index):
                    yield from self._index(index)
            yield from self._foreign_keys()

    def _column(self, column: ColumnDefinition | NewColumn) -> str:
        words = [quote_ident(column.name), column.type_sql]
        if isinstance(column, ColumnDefinition):
            words += [f"COLLATE {column.collation}"] if column.collation else []
            words += self._values(column)
        return " ".join([*words, *self._not_null(column)])

    def _values(self, column: ColumnDefinition) -> list[str]:
        """Return where the column's values come from when an INSERT has none."""
        if column.generated:
            return [f"GENERATED ALWAYS AS ({column.default}) {_GENERATED[column.generated]}"]
        if column.identity:
            [sequence] = [one for one in self.identities if one.column == column.name]
            return [sql.identity(_IDENTITIES[column.identity], self._hidden_sequence(sequence), sequence.options)]
        return [] if column.default is None else [f"DEFAULT {column.default}"]

    def _not_null(self, column: ColumnDefinition | NewColumn) -> list[str]:
        """Return NOT NULL with its constraint's name; before PostgreSQL 18 it has none, and the name does nothing."""
        if constraint := self.not_nulls.get(column.name):
            inherits = " NO INHERIT" if constraint.definition.endswith(" NO INHERIT") else ""
            return [f"CONSTRAINT {quote_ident(constraint.name)} NOT NULL{inherits}"]
        if isinstance(column, ColumnDefinition):
            unnamed = any(one.kind == "n" and one.needs == (column.name,) for one in self.definition.constraints)
            return ["NOT NULL"] if column.not_null and not unnamed else []
        if column.nullable and not self._was_not_null(column.name):
            return []
        name = f"{self.table.name}_{column.name}_not_null"
        taken = any(one.name == name for one in self.definition.constraints)
        fits = len(name.encode()) <= NAME_BYTES and not taken
        return [f"CONSTRAINT {quote_ident(name)} NOT NULL" if fits else "NOT NULL"]

    def _was_not_null(self, name: str) -> bool:
        return any(column.not_null for column in self.definition.columns if column.name == name)

    def _checks(self) -> Iterator[str]:
        """Yield the checks that COPY shall make: it names the row. One that is NOT VALID holds for rows to come."""
        for constraint in self.definition.constraints:
            if constraint.kind == "c" and constraint.is_enforced:
                definition = constraint.definition.removesuffix(_NOT_VALID)
                yield f"CONSTRAINT {quote_ident(constraint.name)} {definition}"

    # --- Behind the rows ------------------------------------------------------------------------------------

    def _after(self) -> Iterator[str]:
        table = self.table
        if self.tag:
            yield sql.show_rows(self.hidden)
        if self.unlogged and table.persistence == "p":
            yield sql.alter_table(self.hidden, ["SET LOGGED"])
        if table.owner != table.role:
            yield sql.alter_table(self.hidden, [f"OWNER TO {quote_ident(table.owner)}"])
        for index in self.definition.indexes:
            if not (self.checks_first and _refuses_rows(index)):
                yield from self._index(index)
        yield from self._statistics()
        yield sql.analyze(self.hidden)
        # last, for they lock other tables against writers
        if not self.checks_first:
            yield from self._foreign_keys()
        for constraint in self.definition.constraints:
            if constraint.kind in "cfn" and not constraint.is_validated and self.names.issuperset(constraint.needs):
                yield self._late_constraint(constraint)
        if table.replica_identity in "fn":
            yield sql.alter_table(self.hidden, [f"REPLICA IDENTITY {_REPLICA_IDENTITIES[table.replica_identity]}"])
        yield from self._comments()
        yield from self._grants()

    def _foreign_keys(self) -> Iterator[str]:
        """Yield those that the rows have to meet."""
        for constraint in self.definition.constraints:
            if constraint.kind == "f" and constraint.is_validated and self.names.issuperset(constraint.needs):
                yield self._late_constraint(constraint)

    def _index(self, index: IndexDefinition) -> Iterator[str]:
        key = key_of(index, self.definition.constraints)
        name = self._hidden_name(index.oid)
        return IndexPlan(index, key, self.table.schema, self.hidden_name, name).statements()

    def _hidden_sequence(self, sequence: SequenceDefinition) -> str:
        return qualified(sequence.schema, self._hidden_name(sequence.oid))

    def _statistics(self) -> Iterator[str]:
        for one in self.definition.statistics:
            name = qualified(one.schema, self._hidden_name(one.oid))
            yield sql.create_statistics(name, one.middle or "", self.hidden)
            if one.target >= 0:
                yield f"ALTER STATISTICS {name} SET STATISTICS {one.target:d}"
            if one.owner != self.table.role:
                yield f"ALTER STATISTICS {name} OWNER TO {quote_ident(one.owner)}"
            if one.comment is not None:
                yield sql.comment_on(f"STATISTICS {name}", one.comment)

    def _late_constraint(self, constraint: ConstraintDefinition) -> str:
        name, definition = quote_ident(constraint.name), constraint.definition
        if constraint.kind == "c" and constraint.is_enforced:  # the rows have met it: it becomes NOT VALID again
            return sql.alter_table(self.hidden, [f"DROP CONSTRAINT {name}", f"ADD CONSTRAINT {name} {definition}"])
        if constraint.is_self_reference:
            head, tail = constraint.self_parts
            definition = f"{head}{self.hidden}{tail}"
        return sql.add_constraint(self.hidden, constraint.name, definition)

    def _comments(self) -> Iterator[str]:
        definition, hidden = self.definition, self.hidden
        comments = [
            (f"TABLE {hidden}", self.table.comment),
            *(
                (f"COLUMN {hidden}.{quote_ident(one.name)}", one.comment)
                for one in definition.columns
                if one.name in self.names
            ),
            *(
                (f"CONSTRAINT {quote_ident(one.name)} ON {hidden}", one.comment)
                for one in definition.constraints
                if not one.index and (one.kind != "n" or one.needs[0] in self.names)
            ),
            *((f"SEQUENCE {self._hidden_sequence(one)}", one.comment) for one in self.identities),
        ]
        for what, comment in comments:
            if comment is not None:
                yield sql.comment_on(what, comment)

    def _grants(self) -> Iterator[str]:
        """Yield what makes the privileges those of the old table, whatever ALTER DEFAULT PRIVILEGES has given."""
        changed = {0: f"TABLE {self.hidden}"} if self.table.has_grants or self.table.default_grantees else {}
        for one in self.identities:
            if one.has_grants or self.table.default_grantees:
                changed[one.oid] = f"SEQUENCE {self._hidden_sequence(one)}"
        for what in changed.values():
            for grantee in dict.fromkeys([*self.table.default_grantees, self.table.owner]):
                yield sql.revoke_all(what, grantee)
        alike = groupby(self.definition.grants, lambda one: (one.sequence, one.column, one.grantee, one.with_option))
        for (sequence, column, grantee, with_option), grants in alike:
            what = f"TABLE {self.hidden}" if column else changed.get(sequence, "")
            if what and (not column or column in self.names):
                yield sql.grant(what, [one.privilege for one in grants], column, grantee, with_option=with_option)

    # --- The swap -------------------------------------------------------------------------------------------

    def _drop(self) -> Iterator[str]:
        for one in self.identities:
            yield sql.copy_position(_name(one), self._hidden_sequence(one))
        for one in self.sequences:
            if not one.is_identity:
                yield sql.own_sequence(_name(one), self.hidden, one.column)
        yield sql.drop_table(self.old)

    def _swap(self) -> Iterator[str]:
        schema = self.table.schema
        yield sql.rename("TABLE", schema, self.hidden_name, self.table.name)
        for index in self.definition.indexes:
            yield sql.rename("INDEX", schema, self._hidden_name(index.oid), index.name)
        for one in self.definition.statistics:
            yield sql.rename("STATISTICS", one.schema, self._hidden_name(one.oid), one.name)
        for sequence in self.identities:
            yield sql.rename("SEQUENCE", sequence.schema, self._hidden_name(sequence.oid), sequence.name)
        for hook in self.definition.hooks:
            yield from self._hook(hook)
        if self.table.row_security:
            yield sql.alter_table(self.old, ["ENABLE ROW LEVEL SECURITY"])
        if self.table.forces_row_security:
            yield sql.alter_table(self.old, ["FORCE ROW LEVEL SECURITY"])
        yield sql.set_local("default_tablespace", self.table.users_tablespace)

    def _hook(self, hook: Hook) -> Iterator[str]:
        name = quote_ident(hook.name)
        yield hook.definition
        if hook.enabled in _ENABLED:
            yield sql.alter_table(self.old, [f"{_ENABLED[hook.enabled]} {hook.kind} {name}"])
        if hook.comment is not None:
            yield sql.comment_on(f"{hook.kind} {name} ON {self.old}", hook.comment)


def _refuses_rows(index: IndexDefinition) -> bool:
    return index.is_unique or index.is_exclusion


_REPLICA_IDENTITIES = {"f": "FULL", "n": "NOTHING"}


def _name(sequence: SequenceDefinition) -> str:
    return qualified(sequence.schema, sequence.name)


def _column_actions(column: ColumnDefinition) -> Iterator[str]:
    """Yield the ALTER TABLE actions for what CREATE TABLE cannot say of a column on every server."""
    head = f"ALTER COLUMN {quote_ident(column.name)}"
    if column.storage:
        yield f"{head} SET STORAGE {column.storage}"
    if column.compression:
        yield f"{head} SET COMPRESSION {column.compression}"
    if column.statistics >= 0:
        yield f"{head} SET STATISTICS {column.statistics:d}"
    if column.options:
        yield f"{head} SET ({sql.option_list(column.options)})"
