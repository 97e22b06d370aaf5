"""The request to run a pipeline: the options of `bulkio.run_pipeline` and `bulkio run`."""

# Without `from __future__ import annotations`: the annotations are read at run time.

import os
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, datetime
from typing import Annotated

from bulkio.choices import LEDGER_SCHEMA, check_load_id, check_values
from bulkio.options.option import Option
from bulkio.options.shared import Connecting, Dsn, LedgerSchema

__all__ = ["RunRequest", "ScheduleRequest"]


@dataclass(frozen=True, slots=True)
class RunRequest(Connecting):
    """A run of a pipeline, as the user asks for it."""

    path: Annotated[str | os.PathLike[str], Option("The pipeline's file.", is_flag=False)]
    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    run_id: Annotated[
        str | None,
        Option(
            "A permanent name for this run: what is done under it is not done again; a run that has failed goes on.",
            metavar="ID",
            default="a new one",
            check=check_load_id,
        ),
    ] = None
    params: Annotated[
        Mapping[str, str] | None,
        Option("Another value for a parameter.", metavar="NAME=VALUE", check=check_values, is_text=True),
    ] = None
    logical_date: Annotated[
        str | date | datetime | None,
        Option(
            "The date that the run is for, such as 2026-11-26; or a time, such as 2026-11-26T02:15.",
            metavar="DATE",
            default="now",
        ),
    ] = None
    step: Annotated[
        str | None, Option("Run this step alone; what it needs is taken as done.", metavar="ID", default="all steps")
    ] = None
    from_step: Annotated[str | None, Option("Run this step, and what needs it.", metavar="ID", default="all steps")] = (
        None
    )
    allow_python: Annotated[bool, Option("Let python steps call their functions.")] = False
    ledger_schema: LedgerSchema = LEDGER_SCHEMA
    on_step: Annotated[
        Callable[[object], None] | None,
        Option("Called with a `StepReport` as each step begins and ends.", is_flag=False),
    ] = field(default=None, repr=False, compare=False)
    progress: Annotated[
        Callable[[str, object], None] | None,
        Option("Called with a step's name and its `Progress`, as load and export call theirs.", is_flag=False),
    ] = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ScheduleRequest(Connecting):
    """The options of all runs of a schedule."""

    dsn: Dsn = field(default=None, repr=False)
    _: KW_ONLY
    allow_python: Annotated[bool, Option("Let python steps call their functions.")] = False
    ledger_schema: LedgerSchema = LEDGER_SCHEMA
