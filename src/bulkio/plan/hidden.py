"""Hidden tables in the server's messages: what a load fills is shown under the names that it has in the end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.plan.newtable import hidden_key
from bulkio.sql import replacing

if TYPE_CHECKING:
    from bulkio.plan.loads import LoadPlan

__all__ = ["final_names"]


def final_names(plan: LoadPlan, text: str) -> str:
    """Return a message about the table that COPY fills as one about the table that users know."""
    if plan.work.replacement is not None:
        return replacing.final_names(text, plan.work.replacement.names)
    if plan.new_table is None or plan.work.staging is None:
        return text
    name = plan.work.staging[1]
    return text.replace(hidden_key(name), f"{plan.table}_pkey").replace(name, plan.table)
