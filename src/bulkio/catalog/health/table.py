"""What of a table bears on loading it, besides what each row costs (`catalog.burdens`)."""

from __future__ import annotations

from dataclasses import dataclass

from bulkio.catalog.question import Question, frozen

__all__ = ["TableFacts", "table_facts_query"]


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table: what the role may do with it, and what state it is in."""

    #: the name, qualified and quoted
    name: str
    #: pg_class.relkind
    kind: str
    owner: str
    acts_as_owner: bool
    #: privileges among SELECT, INSERT, UPDATE, DELETE and TRUNCATE that the role lacks
    lacking: tuple[str, ...]
    unlogged: bool
    is_partition: bool
    #: number of partitions, and whether one takes the rows that fit no other
    partitions: int
    has_default_partition: bool
    has_row_security: bool
    #: True if the policies hold for this role
    obeys_policies: bool
    #: publications that send its UPDATEs or DELETEs
    publications: tuple[str, ...]
    #: False if no column identifies a row to subscribers
    has_replica_identity: bool
    #: columns that COPY cannot fill, and those that it fills although they are GENERATED ALWAYS AS IDENTITY
    generated: tuple[str, ...]
    identities: tuple[str, ...]
    #: indexes that are not valid, qualified and quoted
    invalid_indexes: tuple[str, ...]
    #: tables with foreign keys that refer to this one
    referenced_by: tuple[str, ...]
    no_autovacuum: bool
    #: bytes of the heap, and whether the planner knows nothing of its rows
    size_bytes: int
    never_analyzed: bool
    #: rows by the server's statistics
    live_rows: int
    dead_rows: int


_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
#: pattern of a reloption that turns autovacuum off, in PostgreSQL's spellings of false
_NO_AUTOVACUUM = "^autovacuum_enabled=(false|fals|fal|fa|f|off|of|no|n|0)$"


def _names(query: str) -> str:
    return f"ARRAY({query} ORDER BY 1)::pg_catalog.text[]"


def table_facts_query(oid: int) -> Question[TableFacts]:
    """Ask for a table's one row."""
    lacking = ", ".join(
        f"CASE WHEN NOT pg_catalog.has_table_privilege(c.oid, '{each}') THEN '{each}' END" for each in _PRIVILEGES
    )
    publications = """SELECT p.pubname::pg_catalog.text FROM pg_catalog.pg_publication AS p
        WHERE (p.pubupdate OR p.pubdelete) AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND EXISTS (
            SELECT FROM pg_catalog.pg_publication_tables AS t
             WHERE t.pubname = p.pubname AND t.schemaname = n.nspname AND t.tablename = c.relname)"""
    column = "SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid"
    columns = {
        "name": "pg_catalog.format('%I.%I', n.nspname, c.relname)",
        "kind": "c.relkind::pg_catalog.text",
        "owner": "pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text",
        "acts_as_owner": "pg_catalog.pg_has_role(c.relowner, 'USAGE')",
        "lacking": f"pg_catalog.array_remove(ARRAY[{lacking}], NULL)::pg_catalog.text[]",
        "unlogged": "c.relpersistence = 'u'",
        "is_partition": "c.relispartition",
        "partitions": """(SELECT count(*)::pg_catalog.int8 FROM pg_catalog.pg_partition_tree(c.oid) AS t
            WHERE t.isleaf AND t.level > 0)""",
        "has_default_partition": """EXISTS (SELECT FROM pg_catalog.pg_partitioned_table AS p
            WHERE p.partrelid = c.oid AND p.partdefid <> 0)""",
        "has_row_security": "c.relrowsecurity",
        "obeys_policies": "pg_catalog.row_security_active(c.oid)",
        "publications": _names(publications),
        "has_replica_identity": """c.relreplident = 'f' OR c.relreplident IN ('d', 'i') AND EXISTS (
            SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisvalid
               AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END)""",
        "generated": _names(f"{column} AND a.attgenerated <> '' AND NOT a.attisdropped"),
        "identities": _names(f"{column} AND a.attidentity = 'a' AND NOT a.attisdropped"),
        "invalid_indexes": _names("""SELECT pg_catalog.format('%I.%I', m.nspname, k.relname)
            FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS k ON k.oid = i.indexrelid
            JOIN pg_catalog.pg_namespace AS m ON m.oid = k.relnamespace
            WHERE i.indrelid = c.oid AND NOT i.indisvalid"""),
        "referenced_by": _names("""SELECT DISTINCT f.conrelid::pg_catalog.regclass::pg_catalog.text
            FROM pg_catalog.pg_constraint AS f
            WHERE f.contype = 'f' AND f.confrelid = c.oid AND f.conrelid <> c.oid AND f.conparentid = 0"""),
        "no_autovacuum": f"""EXISTS (SELECT FROM pg_catalog.unnest(c.reloptions) AS o
            WHERE o ~* '{_NO_AUTOVACUUM}')""",
        "size_bytes": "coalesce(pg_catalog.pg_relation_size(c.oid), 0)",
        "never_analyzed": """c.relkind IN ('r', 'm') AND (c.reltuples < 0 OR c.relpages = 0)
            AND pg_catalog.pg_relation_size(c.oid) > 0""",
        "live_rows": "coalesce(pg_catalog.pg_stat_get_live_tuples(c.oid), 0)",
        "dead_rows": "coalesce(pg_catalog.pg_stat_get_dead_tuples(c.oid), 0)",
    }
    rest = f"""
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = {oid:d}
        """
    return Question(frozen(TableFacts), columns, rest)
