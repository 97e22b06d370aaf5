"""The sequences that a load has to take past its values: which they are, and what forbids it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bulkio.plan.refusals import refuse
from bulkio.show import printable, show_name, show_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkio.catalog import SequenceUse
    from bulkio.plan.loads import LoadPlan

__all__ = ["loaded_sequences", "with_sequences"]


def loaded_sequences(plan: LoadPlan, uses: Iterable[SequenceUse]) -> tuple[SequenceUse, ...]:
    """Return those whose next values could meet loaded ones: a default of another type makes something else of them.

    A sequence that is not the column's own is advanced where the role may do that, and else left to those who may.
    """
    loaded = {field.name for field in plan.columns if field.cast.pg.codec in ("int2", "int4", "int8")}
    return tuple(use for use in uses if use.column in loaded and (use.owned or (use.may_set and use.may_read_column)))


def with_sequences(plan: LoadPlan, uses: Iterable[SequenceUse]) -> LoadPlan:
    """Return the plan of a load into an existing table with the sequences that it advances.

    Raises:
        SchemaError: it could not; with every column at fault and the privilege that is missing.
    """
    plan = replace(plan, sequences=loaded_sequences(plan, uses))
    faults = []
    for use in plan.sequences:
        wanted = []
        if not use.may_set:
            wanted.append(f"GRANT SELECT, UPDATE ON SEQUENCE {printable(use.name)}")
        if not use.may_read_column:
            wanted.append(f"GRANT SELECT ({show_name(use.column)}) ON {show_name(plan.schema)}.{show_name(plan.table)}")
        if wanted:
            faults.append(
                (
                    use.column,
                    f"{' and '.join(wanted)} to this role, or leave the column out with {show_option('columns')}",
                )
            )
    refuse(faults, "the sequences of these columns have to be advanced past the values that are loaded")
    return plan
