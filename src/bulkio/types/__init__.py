"""Types: one table of what PostgreSQL has (`pgtypes`), one of how each pairs with Arrow (`casts`)."""

from bulkio.types.casts import Cast, arrow_kind, cast_from_pg, cast_to_pg, pg_type_for
from bulkio.types.pgtypes import ARRAY, BASE_TYPES, PgType, array_of, base_type, known_type, named_type

__all__ = [
    "ARRAY",
    "BASE_TYPES",
    "Cast",
    "PgType",
    "array_of",
    "arrow_kind",
    "base_type",
    "cast_from_pg",
    "cast_to_pg",
    "known_type",
    "named_type",
    "pg_type_for",
]
