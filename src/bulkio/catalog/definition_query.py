"""The questions that ask for a table's whole `Definition`. Pure: `lookup.find_definition` asks them.

They run under `pg_catalog, pg_temp`, which makes the server's deparse functions name the schema of all that is the
user's.
"""

from __future__ import annotations

from typing import Any

from bulkio.catalog.definition import (
    ColumnDefinition,
    ConstraintDefinition,
    Grant,
    Hook,
    IndexDefinition,
    SequenceDefinition,
    StatisticsDefinition,
    TableDefinition,
)
from bulkio.catalog.question import Question, frozen, texts_where
from bulkio.sql import SequenceOptions

__all__ = [
    "column_definitions_query",
    "constraint_definitions_query",
    "grants_query",
    "hooks_query",
    "index_definitions_query",
    "sequence_definitions_query",
    "statistics_definitions_query",
    "table_definition_query",
]

_CLASS = "'pg_catalog.pg_class'::pg_catalog.regclass"


def _texts(expression: str) -> str:
    return f"coalesce({expression}, '{{}}')::pg_catalog.text[]"


def _needs(table: int, catalog: str, *objects: str, but: str = "0") -> str:
    """Return an expression: the names of the table's columns that objects of a catalog depend on."""
    return f"""ARRAY(
        SELECT DISTINCT n.attname::pg_catalog.text FROM pg_catalog.pg_depend AS d
          JOIN pg_catalog.pg_attribute AS n ON n.attrelid = d.refobjid AND n.attnum = d.refobjsubid
         WHERE d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND d.objid IN ({", ".join(objects)})
           AND d.refclassid = {_CLASS} AND d.refobjid = {table:d} AND d.refobjsubid <> 0
           AND d.refobjsubid <> {but} ORDER BY 1)"""  # noqa: S608 - numbers and fixed words


def _comment(catalog: str, oid: str) -> str:
    return f"pg_catalog.obj_description({oid}, '{catalog}')"


# --- The table ----------------------------------------------------------------------------------------------

#: properties that no other table can take over, each with the condition under which a table has it
_ODDITIES = {
    "it is a temporary table": "c.relpersistence = 't'",
    "it is a partition": "c.relispartition",
    "it inherits from another table":
        "NOT c.relispartition AND EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = c.oid)",
    "it is a table OF a type": "c.reloftype <> 0",
    "it, or a part of it, belongs to an extension": f"""EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d WHERE d.deptype IN ('e', 'x') AND (
            d.classid = {_CLASS} AND (d.objid = c.oid OR d.objid IN (
                SELECT i.indexrelid FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid))
            OR d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND d.objid IN (
                SELECT t.oid FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid)))""",  # noqa: S608 - numbers and fixed words
    "it has a security label":
        f"EXISTS (SELECT FROM pg_catalog.pg_seclabel AS s WHERE s.classoid = {_CLASS} AND s.objoid = c.oid)",
    "a subscription writes to it": "EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS s WHERE s.srrelid = c.oid)",
}  # fmt: skip


#: publications that send the table's changes, also those of all tables, or of all in its schema
_PUBLICATIONS = """ARRAY(
    SELECT 'publication ' || pg_catalog.quote_ident(p.pubname) || ' sends it' FROM pg_catalog.pg_publication AS p
     WHERE EXISTS (SELECT FROM pg_catalog.pg_get_publication_tables(p.pubname::pg_catalog.text) AS g
                    WHERE g.relid = c.oid) ORDER BY 1)"""


def table_definition_query(oid: int) -> Question[TableDefinition]:
    """Ask for what is the table's own."""
    columns = {
        "oid": "c.oid::bigint",
        "schema": "n.nspname::pg_catalog.text",
        "name": "c.relname::pg_catalog.text",
        "kind": "c.relkind::pg_catalog.text",
        "persistence": "c.relpersistence::pg_catalog.text",
        "access_method": """
            coalesce((SELECT a.amname::pg_catalog.text FROM pg_catalog.pg_am AS a WHERE a.oid = c.relam), '')""",
        "tablespace": _tablespace("c"),
        "options": _texts("c.reloptions"),
        "toast_options": _texts("(SELECT t.reloptions FROM pg_catalog.pg_class AS t WHERE t.oid = c.reltoastrelid)"),
        "owner": "pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text",
        "role": "current_user::pg_catalog.text",
        "is_owner": "pg_catalog.pg_has_role(c.relowner, 'USAGE')",
        "has_grants": "c.relacl IS NOT NULL",
        "comment": _comment("pg_class", "c.oid"),
        "row_security": "c.relrowsecurity",
        "forces_row_security": "c.relforcerowsecurity",
        "replica_identity": "c.relreplident::pg_catalog.text",
        "oddities": f"{texts_where(_ODDITIES)} || {_PUBLICATIONS}",
        "default_grantees": """ARRAY(
            SELECT DISTINCT CASE WHEN g.oid = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(g.oid)::pg_catalog.text END
              FROM pg_catalog.pg_default_acl AS d,
                   LATERAL (SELECT d.defaclrole UNION
                            SELECT x.grantee FROM pg_catalog.aclexplode(d.defaclacl) AS x) AS g(oid)
             WHERE d.defaclnamespace IN (0, c.relnamespace) AND d.defaclobjtype IN ('r', 'S')
               AND d.defaclrole = (
                   SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) ORDER BY 1)""",
        "users_tablespace": "pg_catalog.current_setting('default_tablespace')",
    }
    rest = f"""
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = {oid:d}
    """
    return Question(frozen(TableDefinition), columns, rest)


def _tablespace(relation: str) -> str:
    spaces = "pg_catalog.pg_tablespace AS s"
    return f"coalesce((SELECT s.spcname::pg_catalog.text FROM {spaces} WHERE s.oid = {relation}.reltablespace), '')"  # noqa: S608 - numbers and fixed words


# --- Its columns --------------------------------------------------------------------------------------------


def column_definitions_query(oid: int) -> Question[ColumnDefinition]:
    """Ask for the columns, in their order."""
    columns = {
        "name": "a.attname::pg_catalog.text",
        "type_sql": "pg_catalog.format_type(a.atttypid, a.atttypmod)",
        "collation": """
            coalesce((SELECT pg_catalog.format('%I.%I', n.nspname, l.collname) FROM pg_catalog.pg_collation AS l
                        JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace
                       WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation), '')""",
        "not_null": "a.attnotnull",
        "default": "pg_catalog.pg_get_expr(e.adbin, e.adrelid)",
        "identity": "a.attidentity::pg_catalog.text",
        "generated": "a.attgenerated::pg_catalog.text",
        "storage": """CASE WHEN a.attstorage = t.typstorage THEN '' ELSE
            CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END
            END""",
        # the column is not there before PostgreSQL 14
        "compression": """
            CASE pg_catalog.to_jsonb(a) ->> 'attcompression' WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' ELSE '' END""",
        "statistics": "coalesce(a.attstattarget, -1)::int",
        "options": _texts("a.attoptions"),
        "comment": "pg_catalog.col_description(a.attrelid, a.attnum)",
        "needs": _needs(oid, "pg_attrdef", "e.oid", but="a.attnum"),
        "sequences": f"""ARRAY(
            SELECT pg_catalog.format('%s', d.refobjid) FROM pg_catalog.pg_depend AS d
              JOIN pg_catalog.pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S'
             WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = e.oid
               AND d.refclassid = {_CLASS} ORDER BY d.refobjid)""",  # noqa: S608 - numbers and fixed words
    }
    rest = f"""
        FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
        LEFT JOIN pg_catalog.pg_attrdef AS e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
        WHERE a.attrelid = {oid:d} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
    """
    return Question(frozen(ColumnDefinition, numbers={"sequences"}), columns, rest)


# --- What is made of its columns ----------------------------------------------------------------------------


def index_definitions_query(oid: int) -> Question[IndexDefinition]:
    """Ask for the indexes, those of constraints too."""
    head = """pg_catalog.format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END,
                                x.relname, n.nspname, c.relname)"""
    columns = {
        "oid": "x.oid::bigint",
        "name": "x.relname::pg_catalog.text",
        "is_unique": "i.indisunique",
        "tail": _after(head, "pg_catalog.pg_get_indexdef(x.oid)"),
        "options": _texts("x.reloptions"),
        "tablespace": _tablespace("x"),
        "is_exclusion": "i.indisexclusion",
        "is_valid": "i.indisvalid AND i.indisready",
        "is_clustered": "i.indisclustered",
        "is_replica_identity": "i.indisreplident",
        "comment": _comment("pg_class", "x.oid"),
        "statistics": """ARRAY(
            SELECT ARRAY[pg_catalog.format('%s', a.attnum), pg_catalog.format('%s', a.attstattarget)]
              FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid = x.oid AND a.attstattarget >= 0 ORDER BY a.attnum)""",
        "needs": _needs(oid, "pg_class", "x.oid"),
    }
    rest = f"""
        FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE i.indrelid = {oid:d} ORDER BY x.relname
    """
    return Question(frozen(IndexDefinition, numbers={"statistics"}), columns, rest)


def _after(head: str, text: str) -> str:
    """Return an expression: what follows the head of a text; null where the text does not begin with it."""
    rest = f"pg_catalog.substr({text}, pg_catalog.length({head}) + 1)"
    return f"CASE WHEN pg_catalog.starts_with({text}, {head}) THEN {rest} END"


def constraint_definitions_query(oid: int) -> Question[ConstraintDefinition]:
    """Ask for the constraints; constraint triggers are triggers."""
    before = """'FOREIGN KEY (' || (
        SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY u.place)
          FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS u(number, place)
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number
        ) || ') REFERENCES '"""
    head = f"{before} || pg_catalog.format('%I.%I', n.nspname, c.relname)"
    text = "pg_catalog.pg_get_constraintdef(k.oid)"
    columns = {
        "name": "k.conname::pg_catalog.text",
        "kind": "k.contype::pg_catalog.text",
        "definition": text,
        "self_parts": f"""CASE WHEN k.contype = 'f' AND k.confrelid = k.conrelid
            AND pg_catalog.starts_with({text}, {head})
            THEN ARRAY[{before}, pg_catalog.substr({text}, pg_catalog.length({head}) + 1)]
            ELSE '{{}}'::pg_catalog.text[] END""",
        "is_self_reference": "k.contype = 'f' AND k.confrelid = k.conrelid",
        "index": "CASE WHEN k.contype IN ('p', 'u', 'x') THEN k.conindid ELSE 0 END::bigint",
        "deferrable": "k.condeferrable",
        "deferred": "k.condeferred",
        "is_validated": "k.convalidated",
        # the column is not there before PostgreSQL 18
        "is_enforced": "coalesce((pg_catalog.to_jsonb(k) ->> 'conenforced')::boolean, true)",
        "has_odd_triggers": """EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
            WHERE t.tgconstraint = k.oid AND t.tgisinternal AND t.tgenabled <> 'O')""",
        "reads_rows": "coalesce(0 = ANY (k.conkey), false)",
        "comment": _comment("pg_constraint", "k.oid"),
        "needs": _needs(oid, "pg_constraint", "k.oid"),
    }
    rest = f"""
        FROM pg_catalog.pg_constraint AS k
        JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE k.conrelid = {oid:d} AND k.contype <> 't' ORDER BY k.conname
    """
    return Question(frozen(ConstraintDefinition), columns, rest)


def hooks_query(oid: int) -> Question[Hook]:
    """Ask for the triggers and the rules."""
    columns = {
        "kind": "h.kind",
        "name": "h.name::pg_catalog.text",
        "definition": "h.definition",
        "enabled": "h.enabled::pg_catalog.text",
        "comment": "h.comment",
        "needs": "h.needs",
    }
    rest = f"""
        FROM (SELECT 'TRIGGER' AS kind, t.tgname AS name, pg_catalog.pg_get_triggerdef(t.oid) AS definition,
                     t.tgenabled AS enabled, {_comment("pg_trigger", "t.oid")} AS comment,
                     {_needs(oid, "pg_trigger", "t.oid")} AS needs
                FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = {oid:d} AND NOT t.tgisinternal
              UNION ALL
              SELECT 'RULE', r.rulename, pg_catalog.rtrim(pg_catalog.pg_get_ruledef(r.oid), ';'), r.ev_enabled,
                     {_comment("pg_rewrite", "r.oid")}, {_needs(oid, "pg_rewrite", "r.oid")}
                FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = {oid:d}) AS h
        ORDER BY h.kind, h.name
    """  # noqa: S608 - numbers and fixed words
    return Question(frozen(Hook), columns, rest)


def statistics_definitions_query(oid: int) -> Question[StatisticsDefinition]:
    """Ask for the extended statistics objects."""
    text = "pg_catalog.pg_get_statisticsobjdef(s.oid)"
    head = "pg_catalog.format('CREATE STATISTICS %I.%I', m.nspname, s.stxname)"
    end = "pg_catalog.format(' FROM %I.%I', n.nspname, c.relname)"
    middle = f"pg_catalog.substr({text}, pg_catalog.length({head}) + 1,"
    columns = {
        "oid": "s.oid::bigint",
        "schema": "m.nspname::pg_catalog.text",
        "name": "s.stxname::pg_catalog.text",
        "middle": f"""
            CASE WHEN pg_catalog.starts_with({text}, {head})
                  AND pg_catalog.right({text}, pg_catalog.length({end})) = {end}
                 THEN {middle} pg_catalog.length({text}) - pg_catalog.length({head}) - pg_catalog.length({end})) END""",
        "owner": "pg_catalog.pg_get_userbyid(s.stxowner)::pg_catalog.text",
        "target": "coalesce(s.stxstattarget, -1)::int",
        "comment": _comment("pg_statistic_ext", "s.oid"),
        "needs": _needs(oid, "pg_statistic_ext", "s.oid"),
    }
    rest = f"""
        FROM pg_catalog.pg_statistic_ext AS s
        JOIN pg_catalog.pg_namespace AS m ON m.oid = s.stxnamespace
        JOIN pg_catalog.pg_class AS c ON c.oid = s.stxrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE s.stxrelid = {oid:d} ORDER BY m.nspname, s.stxname
    """
    return Question(frozen(StatisticsDefinition), columns, rest)


# --- What belongs to it -------------------------------------------------------------------------------------


def sequence_definitions_query(oid: int) -> Question[SequenceDefinition]:
    """Ask for the sequences that belong to the columns."""
    columns = {
        "oid": "s.oid::bigint",
        "schema": "n.nspname::pg_catalog.text",
        "name": "s.relname::pg_catalog.text",
        "column": "a.attname::pg_catalog.text",
        "is_identity": "d.deptype = 'i'",
        "start": "q.seqstart",
        "increment": "q.seqincrement",
        "minimum": "q.seqmin",
        "maximum": "q.seqmax",
        "cache": "q.seqcache",
        "cycle": "q.seqcycle",
        "is_odd": "d.deptype = 'i' AND (q.seqtypid <> a.atttypid OR s.relpersistence <> c.relpersistence"
        f" AND {_HAS_UNLOGGED_SEQUENCES})",
        "has_grants": "s.relacl IS NOT NULL",
        "comment": _comment("pg_class", "s.oid"),
    }
    rest = f"""
        FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_catalog.pg_namespace AS n ON n.oid = s.relnamespace
        JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.oid
        JOIN pg_catalog.pg_class AS c ON c.oid = d.refobjid
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = {_CLASS} AND d.refclassid = {_CLASS} AND d.refobjid = {oid:d}
          AND d.deptype IN ('a', 'i') ORDER BY s.oid
    """
    return Question(_sequence, columns, rest)


#: condition for sequences to have a persistence of their own: before PostgreSQL 15 they are permanent, whatever the
#: table is
_HAS_UNLOGGED_SEQUENCES = "pg_catalog.current_setting('server_version_num')::int >= 150000"


def _sequence(
    *, start: int, increment: int, minimum: int, maximum: int, cache: int, cycle: bool, **facts: Any
) -> SequenceDefinition:
    options = SequenceOptions(start, increment, minimum, maximum, cache, cycle)
    return SequenceDefinition(options=options, **facts)


def grants_query(oid: int) -> Question[Grant]:
    """Ask for the privileges on the table, its columns and its identities' sequences, in the order of their grants."""
    columns = {
        "sequence": "p.sequence::bigint",
        "column": "p.name",
        "is_owners": "x.grantor = p.owner",
        "grantor": "pg_catalog.pg_get_userbyid(x.grantor)::pg_catalog.text",
        "grantee": "CASE WHEN x.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(x.grantee)::pg_catalog.text END",
        "privilege": "x.privilege_type",
        "with_option": "x.is_grantable",
    }
    rest = f"""
        FROM (SELECT 0 AS place, 0::pg_catalog.oid AS sequence, ''::pg_catalog.text AS name, c.relowner AS owner,
                     coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner)) AS acl
                FROM pg_catalog.pg_class AS c WHERE c.oid = {oid:d}
              UNION ALL
              SELECT a.attnum, 0, a.attname::pg_catalog.text, c.relowner, a.attacl
                FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
               WHERE a.attrelid = {oid:d} AND NOT a.attisdropped AND a.attacl IS NOT NULL
              UNION ALL
              SELECT 10000, s.oid, '', s.relowner, coalesce(s.relacl, pg_catalog.acldefault('s', s.relowner))
                FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
               WHERE d.classid = {_CLASS} AND d.refclassid = {_CLASS} AND d.refobjid = {oid:d} AND d.deptype = 'i'
             ) AS p, pg_catalog.aclexplode(p.acl)
                     WITH ORDINALITY AS x(grantor, grantee, privilege_type, is_grantable, number)
        ORDER BY p.place, p.sequence, x.number
    """  # noqa: S608 - numbers and fixed words
    return Question(Grant, columns, rest)
