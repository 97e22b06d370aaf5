"""Types: what PostgreSQL has (`pgtypes`), and how each pairs with Arrow, in both directions (`to_pg`, `from_pg`).

`resolve` makes trees of the types that a database has made itself.
"""

from bulkio.types.casts import (
    INTERVAL_STRUCT,
    NESTED_JSON,
    PREPARED,
    RUN_ENDS,
    Cast,
    arrow_kind,
    with_charset,
    with_policies,
)
from bulkio.types.charsets import UTF8, Charset, charset_of
from bulkio.types.from_pg import cast_from_pg
from bulkio.types.pgtypes import (
    ARRAY,
    BASE_TYPES,
    CODECS,
    SERVER_TEXT,
    PgType,
    array_of,
    base_type,
    known_type,
    named_type,
    numeric_typmod,
)
from bulkio.types.policies import STRICT, Policies
from bulkio.types.resolve import TypeFacts, resolve_type
from bulkio.types.to_pg import cast_to_pg, pg_type_for
from bulkio.types.typmods import is_typmod

__all__ = [
    "ARRAY",
    "BASE_TYPES",
    "CODECS",
    "INTERVAL_STRUCT",
    "NESTED_JSON",
    "PREPARED",
    "RUN_ENDS",
    "SERVER_TEXT",
    "STRICT",
    "UTF8",
    "Cast",
    "Charset",
    "PgType",
    "Policies",
    "TypeFacts",
    "array_of",
    "arrow_kind",
    "base_type",
    "cast_from_pg",
    "cast_to_pg",
    "charset_of",
    "is_typmod",
    "known_type",
    "named_type",
    "numeric_typmod",
    "pg_type_for",
    "resolve_type",
    "with_charset",
    "with_policies",
]
