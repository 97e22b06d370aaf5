"""Dependents of a table that are not a part of it: found by pg_depend, so that kinds unknown here are found, too.

Pure: `lookup.find_definition` asks. The parts of a table are listed by kind, and everything else is a dependent.
"""

from __future__ import annotations

from bulkio.catalog.definition import Dependent
from bulkio.catalog.question import Question
from bulkio.sql.replacing import hidden_name

__all__ = ["dependents_query", "index_dependents_query"]

#: parts of table {oid}, by their catalogs; `d` is a row of pg_depend
_PARTS = {
    "pg_class": """
        SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_class AS own ON own.oid = {oid}
          LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
         WHERE c.oid = d.objid AND (c.relkind = 'S' AND d.deptype IN ('a', 'i')
            OR c.oid = own.reltoastrelid OR i.indrelid IN (own.oid, own.reltoastrelid))""",
    "pg_type": """
        SELECT FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem
         WHERE t.oid = d.objid AND (t.typrelid = {oid} OR e.typrelid = {oid}) AND d.deptype = 'i'""",
    # … of the table that is to take its place, too: its defaults draw on the old one's sequences
    "pg_attrdef": """
        SELECT FROM pg_catalog.pg_attrdef AS e JOIN pg_catalog.pg_class AS c ON c.oid = e.adrelid
         WHERE e.oid = d.objid AND (c.oid = {oid} OR c.relname = '{hidden}' OR c.relname LIKE '{tagged}')""",
    "pg_constraint": "SELECT FROM pg_catalog.pg_constraint AS k WHERE k.oid = d.objid AND k.conrelid = {oid}",
    "pg_trigger": """
        SELECT FROM pg_catalog.pg_trigger AS t WHERE t.oid = d.objid AND (t.tgrelid = {oid} OR t.tgisinternal)""",
    "pg_statistic_ext": "SELECT FROM pg_catalog.pg_statistic_ext AS s WHERE s.oid = d.objid AND s.stxrelid = {oid}",
    "pg_rewrite": "SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.oid = d.objid AND r.ev_class = {oid}",
}


def dependents_query(oid: int) -> Question[Dependent]:
    """Ask for what depends on a table, or on one of its parts, and is neither."""
    hidden = hidden_name(oid)
    tagged = hidden.replace("_", r"\_") + r"\_%"
    names = {"oid": f"{oid:d}", "hidden": hidden, "tagged": tagged}
    parts = " OR ".join(
        f"d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND EXISTS ({part.format(**names)})"
        for catalog, part in _PARTS.items()
    )
    before = f"""
        WITH RECURSIVE parts(classid, objid) AS (
            SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, {oid:d}::pg_catalog.oid
            UNION
            SELECT d.classid, d.objid FROM parts AS p
              JOIN pg_catalog.pg_depend AS d ON d.refclassid = p.classid AND d.refobjid = p.objid
             WHERE {parts}
        )
    """  # noqa: S608 - numbers and fixed words
    return _dependents(before)


def index_dependents_query(oid: int) -> Question[Dependent]:
    """Ask for what depends on a table's indexes, or on its constraints that an index enforces, and is neither."""
    before = f"""
        WITH keys(oid) AS (
            SELECT k.oid FROM pg_catalog.pg_constraint AS k
             WHERE k.conrelid = {oid:d} AND k.contype IN ('p', 'u', 'x')
        ), parts(classid, objid) AS (
            SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, i.indexrelid
              FROM pg_catalog.pg_index AS i WHERE i.indrelid = {oid:d}
            UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, keys.oid FROM keys
            UNION ALL SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid
              FROM pg_catalog.pg_trigger AS t JOIN keys ON keys.oid = t.tgconstraint
        )
    """  # noqa: S608 - numbers
    return _dependents(before)


def _dependents(before: str) -> Question[Dependent]:
    """Ask for what depends on the parts that a WITH query names, and is none of them."""
    columns = {
        "kind": """DISTINCT CASE WHEN k.contype = 'f' THEN 'foreign key' WHEN v.relkind = 'v' THEN 'view'
            WHEN v.relkind = 'm' THEN 'materialized view' WHEN h.inhrelid IS NOT NULL THEN 'child'
            ELSE (SELECT c.relname::pg_catalog.text FROM pg_catalog.pg_class AS c WHERE c.oid = d.classid) END""",
        "name": """CASE WHEN v.relkind IN ('v', 'm') THEN pg_catalog.format('%I.%I', n.nspname, v.relname)
            ELSE pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) END""",
    }
    rest = """
        FROM parts AS p
        JOIN pg_catalog.pg_depend AS d ON d.refclassid = p.classid AND d.refobjid = p.objid
        LEFT JOIN pg_catalog.pg_constraint AS k
          ON k.oid = d.objid AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
        LEFT JOIN pg_catalog.pg_rewrite AS r
          ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
        LEFT JOIN pg_catalog.pg_class AS v ON v.oid = r.ev_class
        LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
        LEFT JOIN pg_catalog.pg_inherits AS h
          ON h.inhrelid = d.objid AND h.inhparent = p.objid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        WHERE NOT EXISTS (SELECT FROM parts AS o WHERE o.classid = d.classid AND o.objid = d.objid)
        ORDER BY 1, 2
    """
    return Question(Dependent, columns, rest, before)
