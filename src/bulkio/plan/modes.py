"""Load modes: one row for each, with what it asks of the table and what it has the server do around the rows.

Pure. A new mode is its word in `choices.Mode`, a row here, and the function that builds its statements.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.errors import ConfigError
from bulkio.plan.merge import Merge, plan_insert_new, plan_upsert
from bulkio.plan.numbers import number_column, numbered
from bulkio.plan.replacing import Replacement, plan_replacement
from bulkio.show import show_option
from bulkio.sql.merge import STAGING, StagedInsert, create_staging

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bulkio.choices import Mode
    from bulkio.options import LoadRequest
    from bulkio.plan.target import Target
    from bulkio.sql import TableLock

__all__ = ["MODES", "ModeRule", "Work", "empties", "lock_of", "plan_work", "privileges_of", "refuse_stray_options"]


@dataclass(frozen=True, slots=True)
class Work:
    """What the server does around the rows, beside COPY."""

    #: statements before the rows
    before: tuple[str, ...] = ()
    #: DELETE before the rows, of those that the source's rows replace; "" for none
    delete: str = ""
    #: schema and name of the table that COPY fills, if it is not the load's own
    staging: tuple[str, str] | None = None
    #: condition that every row must meet, in brackets; "" for none
    where: str = ""
    #: query of how many rows meet it in the end, where a trigger or a rule may have changed or kept one; "" for none
    recount: str = ""
    #: statements that bring the rows from the staging table into the table
    merge: Merge | None = None
    #: statement that brings them there where they meet no others, should they be staged
    insert: StagedInsert | None = None
    #: statements that put a new table in the table's place
    replacement: Replacement | None = None
    #: column of the staging table that numbers the rows; "" where the order of their ctids does, or none counts
    number: str = ""
    #: True if the table is new or empty before: it is analyzed once it has the rows
    analyzes: bool = False
    #: True if the rows are stored as frozen, too
    freezes: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that no NULL may be in."""
        return () if self.merge is None else tuple(column.name for column in self.merge.insert.key)


@dataclass(frozen=True, slots=True)
class ModeRule:
    """One mode."""

    #: function that builds what the server does
    work: Callable[[LoadRequest, Target], Work]
    #: options that this mode takes, among those that only some modes take
    options: frozenset[str] = frozenset()
    #: options without which it has nothing to do
    needs: frozenset[str] = frozenset()
    #: flags for a missing table: it is created; it may be missing at all
    creates: bool = True
    loads_existing: bool = True
    #: pg_class.relkind of the tables that it can load
    kinds: str = "rpf"
    #: lock taken before the table is looked at; None is INSERT's own
    lock: TableLock | None = None
    #: privileges on the table that the mode needs
    privileges: str = "INSERT"
    #: True if it deletes rows that the source does not have: a source without rows is then refused
    empties: bool = False
    #: True if it deletes them by TRUNCATE, which waits for every reader and empties the tables that inherit
    truncates: bool = False
    #: True if it deletes them with the table itself, whose place another takes
    replaces: bool = False
    #: True if loading the same rows again stores them twice
    repeats: bool = False
    #: True if the table's unique keys decide
    by_key: bool = False


def _append(_request: LoadRequest, target: Target) -> Work:
    return Work(analyzes=target.is_new, freezes=target.is_new)


def _truncate(_request: LoadRequest, target: Target) -> Work:
    freezes = target.kind == "r"
    return Work(before=(sql.truncate_table(target.schema, target.name),), analyzes=freezes, freezes=freezes)


def _upsert(request: LoadRequest, target: Target) -> Work:
    return _merging(request, target, plan_upsert(request, target))


def _insert_new(request: LoadRequest, target: Target) -> Work:
    return _merging(request, target, plan_insert_new(request, target))


def _merging(request: LoadRequest, target: Target, merge: Merge) -> Work:
    number = "" if request.rejects is None else number_column(target.columns)
    if number:
        merge = replace(merge, insert=numbered(merge.insert, STAGING, number))
    staging = create_staging(target.schema, target.name, target.columns, number)
    return Work(before=(staging,), staging=STAGING, merge=merge, number=number)


def _replace_where(request: LoadRequest, target: Target) -> Work:
    where = sql.bracketed(request.where or "", request.params)
    delete = "" if target.is_new else sql.delete_where(target.schema, target.name, where)
    recount = sql.count_where(target.schema, target.name, where) if target.may_change_rows else ""
    insert = StagedInsert(target.schema, target.name, target.columns, (), overriding=target.overrides)
    return Work(delete=delete, where=where, recount=recount, insert=insert)


def _replace(request: LoadRequest, target: Target) -> Work:
    if target.replaced is None:
        return Work(analyzes=True, freezes=True)
    checks_first = request.rejects is not None
    replacement = plan_replacement(target.replaced.definition, target.replaced.columns, checks_first=checks_first)
    return Work(replacement=replacement, analyzes=True, freezes=True)


#: option of modes whose rows meet no others: keys are not needed before all are there
_ALONE = frozenset({"defer_indexes"})
#: options of modes that leave the table's columns as they are
_FIXED = frozenset({"new_columns"})
_KEYED = _FIXED | {"key", "duplicates", "order_by"}

MODES: Mapping[Mode, ModeRule] = {
    "append": ModeRule(_append, _FIXED | _ALONE, repeats=True),
    "create": ModeRule(_append, _ALONE, loads_existing=False),
    "truncate": ModeRule(
        _truncate,
        _FIXED | _ALONE | {"if_empty"},
        creates=False,
        lock="SHARE ROW EXCLUSIVE",
        empties=True,
        truncates=True,
        privileges="INSERT, TRUNCATE",
    ),
    "replace": ModeRule(
        _replace,
        _ALONE | {"if_empty"},
        kinds="r",
        lock="SHARE UPDATE EXCLUSIVE",
        empties=True,
        replaces=True,
        privileges="",
    ),
    "upsert": ModeRule(
        _upsert,
        _KEYED | {"update", "delete_missing", "max_delete", "if_empty"},
        kinds="rp",
        by_key=True,
        privileges="SELECT, INSERT, UPDATE",
    ),
    "insert-new": ModeRule(_insert_new, _KEYED, kinds="rp", by_key=True, privileges="SELECT, INSERT"),
    "replace-where": ModeRule(
        _replace_where,
        _FIXED | {"where", "params", "if_empty"},
        needs=frozenset({"where"}),
        kinds="rp",
        lock="SHARE ROW EXCLUSIVE",
        empties=True,
        privileges="SELECT, INSERT, DELETE",
    ),
}


def plan_work(request: LoadRequest, target: Target) -> Work:
    """Decide what the server does around the rows of a load, by its mode.

    With rejects a savepoint lies before each COPY, behind which the server takes no rows as frozen; nor does it in a
    transaction of the caller's where a cursor of his is open.
    """
    work = MODES[request.mode].work(request, target)
    return work if request.rejects is None and request.connection is None else replace(work, freezes=False)


def lock_of(request: LoadRequest) -> TableLock | None:
    """Return the lock that a load takes before it looks at the table; None is INSERT's own."""
    return "SHARE ROW EXCLUSIVE" if request.delete_missing else MODES[request.mode].lock


def privileges_of(request: LoadRequest) -> str:
    """Return the privileges on its table that a load takes, as GRANT has them."""
    return MODES[request.mode].privileges + (", DELETE" if request.delete_missing else "")


def empties(request: LoadRequest) -> bool:
    """Tell whether a source without rows would delete rows."""
    return MODES[request.mode].empties or request.delete_missing


def refuse_stray_options(request: LoadRequest) -> None:
    """Refuse options that the mode does not take, and those that are missing.

    Raises:
        ConfigError: with the modes that take it.
    """
    rule, mode = MODES[request.mode], show_option("mode", request.mode)
    some_modes = frozenset().union(*(each.options for each in MODES.values()))
    for field in dataclasses.fields(request):
        if field.name in some_modes - rule.options and getattr(request, field.name) != field.default:
            takers = [show_option("mode", word) for word, each in MODES.items() if field.name in each.options]
            raise ConfigError(f"{show_option(field.name)} is for {' or '.join(takers)}, not for {mode}")
    if request.max_delete is not None and not request.delete_missing:
        raise ConfigError(f"{show_option('max_delete')} needs {show_option('delete_missing', value=True)}")
    for name in sorted(rule.needs):
        if getattr(request, name) is None:
            raise ConfigError(f"{mode} needs {show_option(name)}")
