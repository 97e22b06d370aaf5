"""What decides how several connections may share a load into a table. Pure: `lookup` asks."""

from __future__ import annotations

from dataclasses import dataclass

from bulkio.catalog.question import Question
from bulkio.quote import qualified, quote_ident, quote_literal

__all__ = ["SharingFacts", "sharing_query"]


@dataclass(frozen=True, slots=True)
class SharingFacts:
    """What the server, the role and the table allow."""

    #: pg_class.oid of the table; 0 if it is to be made
    oid: int
    #: transactions that the server lets be prepared, and those that are
    max_prepared: int
    prepared: int
    #: True if the role may create a table in the table's schema
    may_create: bool
    #: name of a trigger that rows fire, or "": a partition's counts
    trigger: str
    #: True if the table, or a partition of it, is a foreign one
    is_foreign: bool
    #: True if the table, or a partition of it, is emptied by a crash
    is_unlogged: bool
    #: True if it, or a partition of it, has an index by which rows exclude each other: unique, or of EXCLUDE
    has_unique: bool
    #: name of a foreign key by which its rows refer to others of it, or ""
    self_reference: str
    #: name of a publication that has all new tables of the schema, or ""
    publication: str


#: the first version in which a publication may be of a schema
_PUBLISHES_SCHEMAS = 15_00_00


def sharing_query(schema: str, table: str, server_version: int) -> Question[SharingFacts]:
    """Ask of a table, which may be one that is to be made."""
    oid = f"pg_catalog.to_regclass({quote_literal(qualified(schema, table))})::pg_catalog.oid"
    tree = (
        f"WITH RECURSIVE tree(oid) AS (SELECT {oid} UNION"  # noqa: S608 - quoted
        " SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN tree ON i.inhparent = tree.oid)"
    )
    classes = "FROM pg_catalog.pg_class AS c JOIN tree ON c.oid = tree.oid WHERE"
    columns = {
        "oid": f"COALESCE({oid}::bigint, 0)",
        "max_prepared": "pg_catalog.current_setting('max_prepared_transactions')::integer",
        "prepared": "(SELECT pg_catalog.count(*)::integer FROM pg_catalog.pg_prepared_xacts)",
        "may_create": f"pg_catalog.has_schema_privilege({quote_literal(schema)}, 'CREATE')",
        "trigger": """COALESCE((SELECT pg_catalog.min(t.tgname::pg_catalog.text) FROM pg_catalog.pg_trigger AS t
            JOIN tree ON t.tgrelid = tree.oid WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'), '')""",
        "is_foreign": f"EXISTS (SELECT {classes} c.relkind = 'f')",
        "is_unlogged": f"EXISTS (SELECT {classes} c.relpersistence = 'u')",
        "has_unique": """EXISTS (SELECT FROM pg_catalog.pg_index AS i
            WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid IN (TABLE tree))""",
        "self_reference": """COALESCE((SELECT pg_catalog.min(k.conname::pg_catalog.text)
            FROM pg_catalog.pg_constraint AS k
            WHERE k.contype = 'f' AND k.conrelid IN (TABLE tree) AND k.confrelid IN (TABLE tree)), '')""",
        "publication": f"COALESCE(({_publications(schema, server_version)}), '')",
    }
    return Question(SharingFacts, columns, "", tree)


def _publications(schema: str, server_version: int) -> str:
    """Build the query of the publication that new tables of a schema are in: the first name."""
    of_schema = (
        "EXISTS (SELECT FROM pg_catalog.pg_publication_namespace AS s WHERE s.pnpubid = p.oid"
        f" AND s.pnnspid = pg_catalog.to_regnamespace({quote_literal(quote_ident(schema))}))"
        if server_version >= _PUBLISHES_SCHEMAS
        else "false"
    )
    return (
        "SELECT pg_catalog.min(p.pubname::pg_catalog.text) FROM pg_catalog.pg_publication AS p"  # noqa: S608 - quoted
        f" WHERE p.puballtables OR {of_schema}"
    )
