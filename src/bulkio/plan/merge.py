"""How staged rows come into the table: which key tells new rows from old ones, and what becomes of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.choices import MAX_DELETE
from bulkio.errors import SchemaError
from bulkio.quote import name_list
from bulkio.show import did_you_mean, show_name, show_option
from bulkio.sql import KeyColumn, StagedInsert, count_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bulkio.catalog import UniqueKey
    from bulkio.choices import Duplicates
    from bulkio.options import LoadRequest
    from bulkio.plan.target import Target

__all__ = ["Merge", "plan_insert_new", "plan_upsert"]

#: the first version in which RETURNING tells new rows from old ones in partitioned tables, too
_RETURNS_OLD = 18_00_00


@dataclass(frozen=True, slots=True)
class Merge:
    """What is done with the staged rows."""

    insert: StagedInsert
    duplicates: Duplicates
    server_version: int
    #: columns that are updated if a row's key exists; with none, such rows stay as they are
    updates: tuple[str, ...] = ()
    #: True if new rows go in first, by a statement of their own, because no single statement could count them apart
    in_two_steps: bool = False
    #: True if the rows are deleted whose key is not staged; `only` those of the table itself, not of its children
    deletes: bool = False
    only: bool = False
    #: query of how many rows are left then
    count: str = ""
    #: share of the table's rows that it may delete
    max_delete: str = ""

    @property
    def delete(self) -> str:
        """DELETE of the rows whose key is not staged; "" for none."""
        return self.insert.delete_missing(only=self.only) if self.deletes else ""

    @property
    def statements(self) -> tuple[str, ...]:
        """What will run once the rows are staged, for people; their numbers are counted along."""
        return (*([self.delete] if self.delete else []), self.statement(self.insert))

    def statement(self, insert: StagedInsert) -> str:
        """Return what brings the rows of an insert into the table."""
        return insert.do_update(self.updates) if self.updates else insert.do_nothing()


def plan_insert_new(request: LoadRequest, target: Target) -> Merge:
    """Plan that rows whose key is not in the table are inserted.

    Raises:
        SchemaError: no unique key of the table fits, or the source lacks a column of it.
    """
    key = _key(request, target)
    if request.order_by is not None and request.duplicates != "error":
        _refuse_absent((request.order_by,), target.columns, f"{show_option('order_by')} names it")
    keep = "" if request.duplicates == "error" else request.duplicates
    insert = StagedInsert(
        target.schema, target.name, target.columns, key, keep, order_by=request.order_by, overriding=target.overrides
    )
    return Merge(insert, request.duplicates, target.server_version)


def plan_upsert(request: LoadRequest, target: Target) -> Merge:
    """Plan that rows whose key is in the table are updated, too, and those whose key is missing are perhaps deleted.

    Raises:
        SchemaError: as `plan_insert_new`, or a column cannot be updated.
    """
    plan = plan_insert_new(request, target)
    only = target.kind == "r"
    return Merge(
        plan.insert,
        plan.duplicates,
        plan.server_version,
        updates=_updates(request, target, plan.insert.key),
        in_two_steps=target.kind == "p" and target.server_version < _RETURNS_OLD,
        deletes=request.delete_missing and not target.is_new,
        only=only,
        count=count_rows(target.schema, target.name, only=only),
        max_delete=MAX_DELETE if request.max_delete is None else str(request.max_delete),
    )


def _key(request: LoadRequest, target: Target) -> tuple[KeyColumn, ...]:
    """Choose the unique key that tells which rows are there."""
    wanted = request.key
    if target.is_new:
        return tuple(map(KeyColumn, _new_key(request, target)))
    _refuse_absent(wanted or (), target.columns, f"{show_option('key')} names it")
    fits = [key for key in target.keys if (key.is_primary if wanted is None else set(key.names) == set(wanted))]
    usable = next((key for key in fits if not key.fault), None)
    if usable is None:
        raise SchemaError(_no_key(request, target), columns=tuple(wanted or ()))
    if rival := next((key for key in target.keys if key.competes_with(usable)), None):
        raise SchemaError(_two_keys(usable, rival), columns=usable.names)
    _refuse_absent(usable.names, target.columns, "the key has it")
    return usable.columns


def _new_key(request: LoadRequest, target: Target) -> tuple[str, ...]:
    """Return the key of a table that is to be created: what was asked for, or else the source's own primary key."""
    _refuse_absent(request.key or (), target.columns, f"{show_option('key')} names it")
    names = tuple(request.key or next((key.names for key in target.keys), ()))
    if not names:
        table = f"{show_name(target.schema)}.{show_name(target.name)}"
        raise SchemaError(
            f"table {table} does not exist, and the source records no primary key to create it with: name the columns"
            f" of its key with {show_option('key')}"
        )
    _refuse_absent(names, target.columns, "the key has it")
    return names


def _no_key(request: LoadRequest, target: Target) -> str:
    table, option = f"{show_name(target.schema)}.{show_name(target.name)}", show_option("key")
    if request.key is None:
        what = f"table {table} has no primary key that mode {request.mode} can use: name a unique key with {option}"
    else:
        what = f"table {table} has no unique key on {_names(request.key)} that mode {request.mode} can use"
    if not target.keys:
        columns = name_list(request.key) if request.key else "…"
        return f"{what}; it has none: CREATE UNIQUE INDEX ON {table} ({columns}) makes one"
    return f"{what}; it has:" + "".join(f"\n  {line}" for line in _key_lines(target.keys))


def _two_keys(usable: UniqueKey, rival: UniqueKey) -> str:
    pair = f"{show_name(usable.index)}, and {show_name(rival.index)}"
    return (
        f"two indexes are unique on {_names(usable.names)}: {pair}, which {rival.fault or 'compares in another way'};"
        " ON CONFLICT goes by both, so that a row may be taken for another: drop one of them"
    )


def _key_lines(keys: Iterable[UniqueKey]) -> Iterator[str]:
    for key in keys:
        yield f"{_names(key.names)} (index {show_name(key.index)}" + (f", which {key.fault})" if key.fault else ")")


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(show_name, names)) or "no columns"


def _updates(request: LoadRequest, target: Target, key: Iterable[KeyColumn]) -> tuple[str, ...]:
    """Return the columns to be updated. The key's are, too: what is equal to the index may have another spelling."""
    if request.update is not None:
        _refuse_absent(request.update, target.columns, f"{show_option('update')} names it")
    wanted = target.columns if request.update is None else request.update
    names = {column.name for column in key}
    for name in wanted:
        if name in target.always_identity and name not in names:
            raise SchemaError(
                f"column {show_name(name)} is GENERATED ALWAYS AS IDENTITY, which no update can change: leave it out"
                f" with {show_option('columns')} or {show_option('update')}",
                columns=(name,),
            )
    return tuple(name for name in wanted if name not in target.always_identity)


def _refuse_absent(names: Iterable[str], columns: tuple[str, ...], why: str) -> None:
    for name in names:
        if name not in columns:
            advice = did_you_mean(name, columns)
            raise SchemaError(
                f"the source has no column {show_name(name)}, and {why}" + (f"; {advice}" if advice else ""),
                columns=(name,),
            )
