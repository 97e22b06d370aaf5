"""What is known of the columns that a load will fill, for sources whose values have no types of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.plan.new_columns import declared
from bulkio.types import cast_from_pg, resolve_type

if TYPE_CHECKING:
    from bulkio.options import LoadRequest
    from bulkio.plan.request import Database
    from bulkio.types import Cast

__all__ = ["target_casts"]


def target_casts(request: LoadRequest, database: Database) -> dict[str, Cast]:
    """Return how each column would be exported: the table's, or those of a new one whose types are asked for."""
    table = database.table
    types = database.facts.asked
    if table is not None:
        types = {column.name: (column.type_oid, column.typmod) for column in table.columns}
    return {
        name: cast_from_pg(declared(resolve_type(oid, typmod, database.facts.types), name, request.policies))
        for name, (oid, typmod) in types.items()
    }
