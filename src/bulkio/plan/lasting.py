"""What the chunks of a load fill, where each commits for itself: the load's own table, or one that lasts until the end.

An append fills its table. Every other load fills a table of its own, which nobody looks at: a staging table, from which
the last transaction takes the rows; or a new table, which the last transaction puts in its place. Pure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.plan.newtable import hidden_key
from bulkio.plan.numbers import number_column, number_field, numbered
from bulkio.plan.replacing import plan_replacement
from bulkio.quote import qualified
from bulkio.sql import replacing as sql_replacing
from bulkio.sql.merge import create_lasting_staging

if TYPE_CHECKING:
    from bulkio.plan.loads import LoadPlan
    from bulkio.plan.newtable import NewTable

__all__ = ["Lasting", "plan_lasting"]


@dataclass(frozen=True, slots=True)
class Lasting:
    """How a load is done chunk by chunk."""

    #: the plan whose rows the chunks carry, and whose last step the last transaction does
    plan: LoadPlan
    #: schema and name of the table that the chunks fill, if it is not the load's own
    place: tuple[str, str] | None = None
    #: statements that make it
    setup: tuple[str, ...] = ()
    #: statements that put it in the place of the load's own, or drop it, once its rows are where they belong
    finish: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """The column of it that numbers the rows; "" where their order does not count."""
        return self.plan.work.number

    @property
    def digest(self) -> str:
        """What is the same as long as the chunks that are stored fit the plan, in hexadecimal digits."""
        columns = [(field.name, field.cast.pg.oid, field.cast.pg.typmod, field.nullable) for field in self.plan.fields]
        facts = [columns, self.setup]
        if self.place is not None and self.plan.request.rejects is not None:  # rows that lack some are of no other load
            facts.append("rejects")
        return hashlib.blake2b(repr(tuple(facts)).encode(), digest_size=16).hexdigest()


def plan_lasting(plan: LoadPlan, tag: str, *, unlogged: bool) -> Lasting:
    """Turn a plan for one transaction into one for many; `tag`, hexadecimal digits, tells its tables from others."""
    work = plan.work
    if plan.new_table is not None:
        return _new(plan, plan.new_table, f"bulkio_new_{tag}", unlogged=unlogged)
    if work.replacement is not None:
        return _replaced(plan, tag, unlogged=unlogged)
    if work.merge is not None or work.where:
        return _staged(plan, f"bulkio_staging_{tag}", unlogged=unlogged)
    return Lasting(plan)


def _new(plan: LoadPlan, table: NewTable, name: str, *, unlogged: bool) -> Lasting:
    """Fill a new table that has neither keys nor sequences yet; but with rejects no row may break a key.

    The key's NULLs are then refused as the rows are encoded: until the end, nothing else has a name for that.
    """
    place = (plan.schema, name)
    work = replace(plan.work, staging=place, freezes=False)
    fields = plan.fields
    key = () if plan.request.rejects is None else table.early_key(name)
    dropped = (sql_replacing.drop_indexes(plan.schema, [hidden_key(name)]),) if key else ()
    if plan.request.rejects is not None:
        fields = tuple(replace(each, nullable=each.nullable and not table.forbids_null(each.name)) for each in fields)
    return Lasting(
        replace(plan, work=work, fields=fields, ddl=()),
        place,
        setup=(sql.as_user(table.bare(name, unlogged=unlogged)), sql_replacing.hide_rows(qualified(*place)), *key),
        finish=(
            sql_replacing.show_rows(qualified(*place)),
            *dropped,
            *(sql.as_user(statement) for statement in table.finished(name, unlogged=unlogged)),
            sql.analyze(plan.schema, plan.table),
        ),
    )


def _replaced(plan: LoadPlan, tag: str, *, unlogged: bool) -> Lasting:
    old = plan.work.replacement
    assert old is not None  # noqa: S101 - the caller has looked
    checks_first = plan.request.rejects is not None
    replacement = plan_replacement(old.definition, old.columns, tag, unlogged=unlogged, checks_first=checks_first)
    work = replace(plan.work, replacement=replacement, freezes=False)
    return Lasting(replace(plan, work=work), replacement.hidden, setup=replacement.before)


def _staged(plan: LoadPlan, name: str, *, unlogged: bool) -> Lasting:
    """Fill a staging table."""
    place = (plan.schema, name)
    columns = [field.name for field in plan.columns]
    number = plan.work.number or number_column(columns)
    setup = create_lasting_staging(place, plan.schema, plan.table, columns, number, unlogged=unlogged)
    work = plan.work
    recount = sql.count_where(plan.schema, plan.table, work.where) if work.where else ""
    lasting = replace(
        work,
        before=(),
        staging=place,
        where="",
        recount=recount,
        merge=work.merge and replace(work.merge, insert=numbered(work.merge.insert, place, number)),
        insert=work.insert and numbered(work.insert, place, number),
        number=number,
    )
    finish = (sql_replacing.drop_table(qualified(*place)),)
    planned = replace(plan, work=lasting, fields=(*plan.columns, number_field(number)))
    return Lasting(planned, place, setup, finish)
