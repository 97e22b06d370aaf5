"""A schema that stands first in the search_path and holds a trap for whatever a statement could pick up by name.

Each trap raises an error when it is called: an operator, function or aggregate of pg_catalog's own name and arguments,
operators for pairs of types that pg_catalog has none for, types and relations of the catalog's names, and casts.
"""

from __future__ import annotations

import psycopg

__all__ = ["lay_traps", "with_path"]

#: the schema with the traps stands before pg_catalog; and behind it, where only what pg_catalog has not is found there
PATHS = ("trap, pg_catalog, public", "trap, public")

_TRAPS = r"""
DO $do$
DECLARE
    found record;
    made integer := 0;
    types text[] := '{oid,regclass,regtype,regproc,name,text,smallint,integer,bigint,boolean,"\"char\""}';
    sprung text := $f$ LANGUAGE plpgsql IMMUTABLE AS $b$BEGIN RAISE EXCEPTION 'trapped: %s'; END$b$ $f$;
BEGIN
    CREATE SCHEMA trap;
    GRANT USAGE ON SCHEMA trap TO PUBLIC;
    -- operators: those of pg_catalog, and one for every pair of the catalogs' own types
    FOR found IN
        SELECT o.oprname, pg_catalog.format_type(nullif(o.oprleft, 0), NULL) AS l,
               pg_catalog.format_type(o.oprright, NULL) AS r, pg_catalog.format_type(o.oprresult, NULL) AS result
        FROM pg_operator AS o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprresult <> 0
        UNION
        SELECT o.name, l.name, r.name, CASE o.name WHEN '||' THEN 'text' ELSE 'boolean' END
        FROM unnest('{=,<>,<,>,<=,>=,||,~}'::text[]) AS o(name),
             unnest(types) AS l(name), unnest(types) AS r(name)
        WHERE NOT EXISTS (
            SELECT FROM pg_operator AS known
            WHERE known.oprnamespace = 'pg_catalog'::regnamespace AND known.oprname = o.name
              AND known.oprleft = l.name::regtype AND known.oprright = r.name::regtype)
        UNION
        SELECT o.name, l.name, r.name, 'boolean'
        FROM unnest('{=,<>,<,>,<=,>=}'::text[]) AS o(name),
             (VALUES ('anyelement', 'anyelement'), ('anyenum', 'text'), ('record', 'text')) AS pair(l, r),
             LATERAL (SELECT pair.l) AS l(name), LATERAL (SELECT pair.r) AS r(name)
    LOOP
        made := made + 1;
        BEGIN
            EXECUTE format('CREATE FUNCTION trap.operator_%s(%s%s) RETURNS %s',
                           made, found.l || ', ', found.r, found.result)
                 || format(sprung, format('%s %s %s', found.l, replace(found.oprname, '%', '%%'), found.r));
            EXECUTE format('CREATE OPERATOR trap.%s (%sRIGHTARG = %s, FUNCTION = trap.operator_%s)', found.oprname,
                           'LEFTARG = ' || found.l || ', ', found.r, made);
        EXCEPTION WHEN invalid_function_definition OR feature_not_supported THEN NULL;  -- internal types
        END;
    END LOOP;
    -- functions
    FOR found IN
        SELECT p.proname, p.prorettype, p.proretset, p.provariadic, p.proargtypes, p.pronargs AS arity
        FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f'
        UNION SELECT 'format', 'text'::regtype, false, 'text'::regtype, '25 1009'::oidvector, 2
        UNION SELECT 'format', 'text'::regtype, false, 0, '25 2283'::oidvector, 2
        UNION SELECT 'num_nulls', 'int4'::regtype, false, 0, '2283'::oidvector, 1
        UNION SELECT 'pg_typeof', 'regtype'::regtype, false, 0, '2283'::oidvector, 1
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION trap.%I(%s) RETURNS %s %s', found.proname, (
                        SELECT string_agg(CASE WHEN found.provariadic <> 0 AND a.place = found.arity THEN 'VARIADIC '
                                               ELSE '' END || format_type(a.type, NULL), ', ' ORDER BY a.place)
                        FROM unnest(found.proargtypes::oid[]) WITH ORDINALITY AS a(type, place)),
                        CASE WHEN found.proretset THEN 'SETOF' ELSE '' END, format_type(found.prorettype, NULL))
                 || format(sprung, found.proname);
        EXCEPTION WHEN invalid_function_definition OR feature_not_supported OR duplicate_function
                    OR undefined_object THEN NULL;  -- pseudotypes that no language but C takes
        END;
    END LOOP;
    -- aggregates
    FOR found IN
        SELECT p.proname, oidvectortypes(p.proargtypes) AS arguments FROM pg_proc AS p
        JOIN pg_aggregate AS a ON a.aggfnoid = p.oid AND a.aggkind = 'n'
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.provariadic = 0
        UNION SELECT 'count', 'anyelement'
    LOOP
        made := made + 1;
        BEGIN
            EXECUTE format('CREATE FUNCTION trap.aggregate_%s(%s) RETURNS integer',
                           made, concat_ws(', ', 'integer', nullif(found.arguments, '')))
                 || format(sprung, found.proname);
            EXECUTE format('CREATE AGGREGATE trap.%I(%s) (SFUNC = trap.aggregate_%s, STYPE = integer, INITCOND = 0)',
                           found.proname, coalesce(nullif(found.arguments, ''), '*'), made);
        EXCEPTION WHEN invalid_function_definition OR feature_not_supported OR duplicate_function THEN NULL;
        END;
    END LOOP;
    -- types and relations
    FOR found IN
        SELECT t.typname FROM pg_type AS t
        WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm') AND t.typelem = 0
    LOOP
        EXECUTE format('CREATE TYPE trap.%I AS ENUM (''trapped'')', found.typname);
    END LOOP;
    FOR found IN
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')
    LOOP
        EXECUTE format('CREATE TABLE trap.%I ()', found.relname);
    END LOOP;
END
$do$;
"""

#: casts to text of types that the catalog's queries read: made by a superuser, to whom these types belong
#: (asyncpg itself casts regtype to text)
_CASTED = ("oid", "xid8", "regclass", "int2vector")


def lay_traps(conn: psycopg.Connection, path: str) -> None:
    """Fill the schema `trap`, and make `path` what each new connection to this database has."""
    conn.execute("SET search_path = pg_catalog")
    conn.execute(_TRAPS)
    for name in _CASTED:
        conn.execute(
            f"CREATE FUNCTION trap.cast_{name}({name}) RETURNS text LANGUAGE plpgsql"
            f" AS $$BEGIN RAISE EXCEPTION 'trapped: a cast of {name}'; END$$"
        )
        conn.execute(f"CREATE CAST ({name} AS text) WITH FUNCTION trap.cast_{name}({name})")
    database = psycopg.sql.Identifier(conn.info.dbname)
    conn.execute(psycopg.sql.SQL("ALTER DATABASE {} SET search_path = ").format(database) + psycopg.sql.SQL(path))


def with_path(dsn: str, path: str) -> str:
    """Return a DSN whose connections have another search_path."""
    return psycopg.conninfo.make_conninfo(dsn, options="-c search_path=" + path.replace(" ", ""))
