"""The statements of `replace`: a hidden table, what is made of its columns, and the swap; and of indexes after rows.

Names are quoted here. Types, expressions and whatever follows a name are the texts of the server's own deparse
functions, which hold under the path `pg_catalog, pg_temp`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bulkio.quote import qualified, quote_ident, quote_literal
from bulkio.sql.statements import USERS_PATH_SETTING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkio.sql.ddl import SequenceOptions

__all__ = [
    "SWAP_POINT",
    "add_constraint",
    "add_key",
    "alter_table",
    "analyze",
    "comment_on",
    "copy_position",
    "create_hidden",
    "create_index",
    "create_statistics",
    "drop_constraints",
    "drop_indexes",
    "drop_table",
    "final_names",
    "grant",
    "hidden_name",
    "hide_rows",
    "identity",
    "lock_table",
    "option_list",
    "own_sequence",
    "reads_of",
    "rename",
    "revoke_all",
    "set_local",
    "show_rows",
    "stand_in",
]

#: names of the savepoints before the swap and before a check
SWAP_POINT = "bulkio_swap"
CHECK_POINT = "bulkio_check"


#: Set the user's search_path, with what stands in for tables before all else.
STAND_IN_PATH = (
    "SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_temp',"
    f" NULLIF(pg_catalog.current_setting('{USERS_PATH_SETTING}'), '')), true)"
)

_HIDDEN = "bulkio_replaces_"


def hidden_name(oid: int, tag: str = "") -> str:
    """Return the name of what takes the place of the object with this oid, until it has.

    Without a tag nobody sees it before COMMIT, and two replaces of one table exclude each other: so it is taken only
    where somebody has made a table of this very name. A load whose hidden table lasts has a tag of its own.

    >>> hidden_name(16384), hidden_name(16384, "1f0b")
    ('bulkio_replaces_16384', 'bulkio_replaces_16384_1f0b')
    """
    return f"{_HIDDEN}{oid:d}" + (f"_{tag}" if tag else "")


def final_names(text: str, names: Mapping[int, str]) -> str:
    """Return a text in which hidden names are those that the objects with these oids have.

    >>> final_names('index "bulkio_replaces_7"', {7: "t_pkey"})
    'index "t_pkey"'
    """
    return re.sub(rf"{_HIDDEN}(\d+)(_[0-9a-f]+)?", lambda match: names.get(int(match[1]), match[0]), text)


def create_hidden(
    table: str, parts: Sequence[str], *, unlogged: bool, access_method: str, options: str, tablespace: str
) -> str:
    """Build CREATE TABLE for columns and constraints as their clauses."""
    using = f" USING {quote_ident(access_method)}" if access_method else ""
    storage = f" WITH ({options})" if options else ""
    place = f" TABLESPACE {quote_ident(tablespace)}" if tablespace else ""
    return f"CREATE {'UNLOGGED ' if unlogged else ''}TABLE {table} ({', '.join(parts)}){using}{storage}{place}"


def hide_rows(table: str) -> str:
    """Build the statement that hides all rows from all but the owner, whatever the default privileges give to others.

    Nor can others add any: row security without a policy allows nothing.
    """
    return f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"


def show_rows(table: str) -> str:
    """Build the statement that undoes `hide_rows`."""
    return f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"


def option_list(options: Sequence[str], prefix: str = "") -> str:
    r"""Return storage parameters, which the catalog has as texts such as ``fillfactor=70``, as a list for WITH.

    >>> option_list(["fillfactor=70"]), option_list(["autovacuum_enabled=off"], "toast")
    ('"fillfactor"=\'70\'', '"toast"."autovacuum_enabled"=\'off\'')
    """
    head = f"{quote_ident(prefix)}." if prefix else ""
    pairs = (option.partition("=") for option in options)
    return ", ".join(f"{head}{quote_ident(name)}={quote_literal(value).strip()}" for name, _, value in pairs)


def identity(kind: str, sequence: str, options: SequenceOptions) -> str:
    """Return the clause of an identity column whose sequence has this qualified name."""
    return (
        f"GENERATED {kind} AS IDENTITY (SEQUENCE NAME {sequence} START {options.start:d}"
        f" INCREMENT {options.increment:d} MINVALUE {options.minimum:d} MAXVALUE {options.maximum:d}"
        f" CACHE {options.cache:d} {'CYCLE' if options.cycle else 'NO CYCLE'})"
    )


def alter_table(table: str, actions: Sequence[str]) -> str:
    """Build ALTER TABLE."""
    return f"ALTER TABLE {table} {', '.join(actions)}"


def create_index(name: str, table: str, tail: str, *, unique: bool) -> str:
    """Build CREATE INDEX; the tail is what follows the table's name."""
    return f"CREATE {'UNIQUE ' if unique else ''}INDEX {quote_ident(name)} ON {table} {tail}"


def add_key(table: str, kind: str, index: str, *, deferrable: bool, deferred: bool) -> str:
    """Build what makes an index that of a primary key or a unique constraint with the index's name.

    >>> add_key('"s"."t"', "PRIMARY KEY", "t_pkey", deferrable=False, deferred=False)
    'ALTER TABLE "s"."t" ADD CONSTRAINT "t_pkey" PRIMARY KEY USING INDEX "t_pkey"'
    """
    when = f" DEFERRABLE INITIALLY {'DEFERRED' if deferred else 'IMMEDIATE'}" if deferrable else ""
    return add_constraint(table, index, f"{kind} USING INDEX {quote_ident(index)}{when}")


def add_constraint(table: str, name: str, definition: str) -> str:
    """Build ALTER TABLE … ADD CONSTRAINT."""
    return f"ALTER TABLE {table} ADD CONSTRAINT {quote_ident(name)} {definition}"


def drop_constraints(table: str, names: Sequence[str]) -> str:
    """Build ALTER TABLE that drops constraints. What depends on one and was overlooked stops it."""
    return alter_table(table, [f"DROP CONSTRAINT {quote_ident(name)} RESTRICT" for name in names])


def drop_indexes(schema: str, names: Sequence[str]) -> str:
    """Build DROP INDEX.

    >>> drop_indexes("public", ["a", "b"])
    'DROP INDEX "public"."a", "public"."b" RESTRICT'
    """
    return f"DROP INDEX {', '.join(qualified(schema, name) for name in names)} RESTRICT"


def create_statistics(name: str, middle: str, table: str) -> str:
    """Build CREATE STATISTICS; the middle is what stands between its name and FROM."""
    return f"CREATE STATISTICS {name}{middle} FROM {table}"


def analyze(table: str) -> str:
    """Build ANALYZE."""
    return f"ANALYZE {table}"


def comment_on(what: str, comment: str) -> str:
    """Build COMMENT ON."""
    return f"COMMENT ON {what} IS {quote_literal(comment)}"


def revoke_all(what: str, grantee: str) -> str:
    """Build REVOKE ALL; "" is PUBLIC."""
    return f"REVOKE ALL ON {what} FROM {_grantee(grantee)}"


def grant(what: str, privileges: Sequence[str], column: str, grantee: str, *, with_option: bool) -> str:
    """Build GRANT of privileges on all columns, or on one; "" is PUBLIC.

    >>> grant("TABLE t", ["SELECT"], "a", "", with_option=False)
    'GRANT SELECT ("a") ON TABLE t TO PUBLIC'
    """
    where = f" ({quote_ident(column)})" if column else ""
    words = ", ".join(f"{privilege}{where}" for privilege in privileges)
    return f"GRANT {words} ON {what} TO {_grantee(grantee)}{' WITH GRANT OPTION' if with_option else ''}"


def _grantee(name: str) -> str:
    return quote_ident(name) if name else "PUBLIC"


# --- The swap -----------------------------------------------------------------------------------------------


def lock_table(table: str, mode: str) -> str:
    """Build LOCK TABLE in a mode, such as ACCESS EXCLUSIVE."""
    return f"LOCK TABLE {table} IN {mode} MODE"


def copy_position(source: str, target: str) -> str:
    """Build a statement that sets a sequence to where another one stands; both names come qualified."""
    return (
        f"SELECT pg_catalog.setval({quote_literal(target)}::pg_catalog.regclass, s.last_value, s.is_called)"  # noqa: S608
        f" FROM {source} AS s"
    )


def own_sequence(sequence: str, table: str, column: str) -> str:
    """Build what hands a sequence on to a column of another table."""
    return f"ALTER SEQUENCE {sequence} OWNED BY {table}.{quote_ident(column)}"


def drop_table(table: str) -> str:
    """Build DROP TABLE. What depends on it and was overlooked stops it."""
    return f"DROP TABLE {table} RESTRICT"


def rename(kind: str, schema: str, name: str, new: str) -> str:
    """Build ALTER … RENAME TO for a TABLE, INDEX, SEQUENCE or STATISTICS."""
    return f"ALTER {kind} {qualified(schema, name)} RENAME TO {quote_ident(new)}"


def set_local(setting: str, value: str) -> str:
    """Build SET LOCAL for a text.

    >>> set_local("default_tablespace", "")
    "SET LOCAL default_tablespace = ''"
    """
    return f"SET LOCAL {setting} = {quote_literal(value).strip()}"


def stand_in(name: str, hidden: tuple[str, str]) -> str:
    """Build a temporary view by which a table's name, without a schema, is the hidden table's.

    >>> stand_in("t", ("public", "new"))
    'CREATE TEMPORARY VIEW "t" AS TABLE "public"."new"'
    """
    return f"CREATE TEMPORARY VIEW {quote_ident(name)} AS TABLE {qualified(*hidden)}"


def reads_of(oid: int) -> str:
    """Ask whether this session has locked a table to read it, and how often its transaction has scanned it."""
    return (
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()"  # noqa: S608
        f" AND relation OPERATOR(pg_catalog.=) {oid:d}::pg_catalog.oid AND mode OPERATOR(pg_catalog.=)"
        " 'AccessShareLock' AND database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database"
        " WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())),"
        f" pg_catalog.pg_stat_get_xact_numscans({oid:d}::pg_catalog.oid)"
    )
