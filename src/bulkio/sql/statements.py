r"""SQL text. Statements that bulkio sends, but for DDL (`ddl`) and questions to the catalog (`bulkio.catalog`).

Pure: strings in, strings out. Nothing is run, and nothing gets into SQL that did not pass `quote_ident` or
`quote_literal`. The lexical rules are those of the PostgreSQL docs, section 4.1 "Lexical Structure".
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

from bulkio.errors import ConfigError
from bulkio.quote import name_list, qualified, quote_ident, quote_literal
from bulkio.sql.user_query import bind_literals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkio.protocols import CopyFormat, CopyTarget, CsvForm
    from bulkio.sql.ddl import SequenceOptions

__all__ = [
    "BACKEND",
    "COMMIT",
    "CURRENT_USER",
    "DISCARD_ALL",
    "IS_IN_RECOVERY",
    "LIFT_TIMEOUTS",
    "NOTHING",
    "NOW_US",
    "OWN_PATH",
    "PID",
    "PLACE",
    "PLAIN_MONEY",
    "ROLLBACK",
    "TYPES_CHANGED",
    "USERS_PATH",
    "USERS_PATH_SETTING",
    "VALUE_PINS",
    "WHERE_AM_I",
    "XACT_ID",
    "XACT_ID_AND_PLACE",
    "TableLock",
    "advance_sequence",
    "analyze",
    "as_user",
    "begin",
    "bracketed",
    "close_cursor",
    "copy_from_stdin",
    "copy_to_stdout",
    "count_rows",
    "count_where",
    "declare_cursor",
    "delete_where",
    "fetch_forward",
    "first_texts",
    "holders_of",
    "last_value",
    "lift_timeouts",
    "lock_creation",
    "lock_for_export",
    "lock_for_load",
    "may_alter",
    "null_columns",
    "restore_path",
    "save_path",
    "select_columns",
    "session_pins",
    "truncate_table",
    "with_array_shapes",
    "with_texts",
    "with_types_checked",
    "xact_status",
]

#: locks that let readers go on, and the one that lets nobody
TableLock = Literal["SHARE ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "ACCESS EXCLUSIVE"]


COMMIT = "COMMIT"


ROLLBACK = "ROLLBACK"


def copy_from_stdin(target: CopyTarget, fmt: CopyFormat) -> str:
    """Build COPY … FROM STDIN for `target`.

    csv is what pyarrow.csv writes with `quoting_style="needed"` and no header: a NULL is an unquoted empty
    field, every string is quoted, an empty string is ``""``. The encoding is named: no setting changes it.

    Raises:
        ConfigError: `target` has no columns (an empty list in COPY would mean all of them).
    """
    if not target.columns:
        raise ConfigError(f"no columns to load into {qualified(target.schema, target.table)}; name at least one")
    options = {
        "binary": "FORMAT binary",
        "csv": "FORMAT csv, HEADER false, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULL '', ENCODING 'UTF8'",
    }[fmt]
    freeze = ", FREEZE" if target.freeze else ""
    into = f"{qualified(target.schema, target.table)} ({name_list(target.columns)})"
    return f"COPY {into} FROM STDIN ({options}{freeze})" + (f" WHERE {target.where}" if target.where else "")


def copy_to_stdout(query: str, csv: CsvForm | None = None) -> str:
    """Build COPY (query) TO STDOUT, in binary or as CSV. `query` is one statement, as `bind_literals` gives it."""
    options = "FORMAT binary"
    if csv is not None:
        words = {"DELIMITER": csv.delimiter, "QUOTE": csv.quote, "ESCAPE": csv.escape, "NULL": csv.null}
        texts = ", ".join(f"{word} {quote_literal(text)}" for word, text in words.items())
        options = f"FORMAT csv, HEADER {str(csv.header).lower()}, {texts}, ENCODING 'UTF8'"
    # The line ends keep a trailing comment in the query from swallowing the bracket.
    return f"COPY (\n{query}\n) TO STDOUT ({options})"


def select_columns(schema: str | None, table: str, columns: Sequence[str]) -> str:
    """Build SELECT columns FROM table: unlike COPY t TO it reads views, partitions and inheritance children.

    >>> select_columns("public", "trips", ["id", "fare"])
    'SELECT "id", "fare" FROM "public"."trips"'
    """
    return f"SELECT {name_list(columns)} FROM {qualified(schema, table)}"  # noqa: S608 - names are quoted


def with_texts(query: str, width: int, texts: Mapping[int, str]) -> str:
    """Wrap a query of `width` columns; those with these indices, and types of these names, come as the server's text.

    It is the text of the type's output function: a cast to text may be a user's function, which loses some of it.
    Only xml's own cast keeps what its output function drops: the declaration, and a line end behind it.
    """
    names = [quote_ident(f"c{i}") for i in range(width)]
    columns = [_text_of(name, texts[i]) if i in texts else name for i, name in enumerate(names)]
    return f"SELECT {', '.join(columns)} FROM (\n{query}\n) AS q({', '.join(names)})"  # noqa: S608


def _text_of(column: str, type_name: str) -> str:
    if type_name == "xml":
        return f"pg_catalog.text({column})"
    # IS NULL would not do: it is true of a composite whose columns are all null
    is_there = f"pg_catalog.num_nulls({column}) OPERATOR(pg_catalog.=) 0"
    return f"CASE WHEN {is_there} THEN pg_catalog.format('%s', {column}) END"


#: text that the server's error begins with if `with_types_checked` finds other types
TYPES_CHANGED = "bulkio: the types of the query's columns have changed, to "


def with_types_checked(query: str, type_oids: Sequence[int]) -> str:
    """Wrap a query so that it fails, without any rows, if its columns' types are no longer these.

    Nothing locks the functions that a query calls: one that is dropped and created again may return another type than
    when the columns were described. A cast would not do: it may round, or be a user's function.

    The CASE that is never true is a null of the column's type (for a domain, of its base type), as in a row
    description. Once planned it contains no column, so the server checks once a query and not once a row.
    """
    names = [quote_ident(f"c{i}") for i in range(len(type_oids))]
    types = ", ".join(f"pg_catalog.pg_typeof(CASE WHEN false THEN {name} END)::pg_catalog.oid" for name in names)
    expected = ", ".join(f"{oid:d}" for oid in type_oids)
    return (
        f"SELECT * FROM (\n{query}\n) AS q({', '.join(names)}) WHERE"  # noqa: S608 - quoted, and numbers
        f" CASE WHEN ARRAY[{types}] OPERATOR(pg_catalog.=) ARRAY[{expected}]::pg_catalog.oid[] THEN true"
        f" ELSE pg_catalog.format({quote_literal(TYPES_CHANGED + '%s')},"
        f" ARRAY[{types}]::pg_catalog.regtype[])::boolean END"
    )


def first_texts(query: str, width: int, *, rows: int) -> str:
    r"""Wrap a query of `width` columns: the first rows of its result, each value as the server's text.

    >>> first_texts("select true", 1, rows=2).splitlines()[1:]
    ['select true', ') AS q("c0") LIMIT 2']
    """
    return f"{with_texts(query, width, dict.fromkeys(range(width), ''))} LIMIT {rows:d}"


def null_columns(types: Sequence[str]) -> str:
    r"""Build a SELECT whose columns have the types that a user has spelled; it is described, not run.

    >>> null_columns(["int4", "numeric(10,2)"])
    'SELECT NULL::int4\n, NULL::numeric(10,2)\n'

    Raises:
        ConfigError: a type's text is not a part of one statement.
    """
    return bind_literals("SELECT " + ", ".join(f"NULL::{bind_literals(one)}\n" for one in types))


def declare_cursor(name: str, query: str) -> str:
    """Build DECLARE for a binary, forward-only cursor: its rows come in the types' binary formats."""
    return f"DECLARE {quote_ident(name)} BINARY NO SCROLL CURSOR WITHOUT HOLD FOR\n{query}"


def fetch_forward(name: str, rows: int) -> str:
    """Build FETCH for the next `rows` rows of a cursor."""
    return f"FETCH FORWARD {rows:d} FROM {quote_ident(name)}"


def close_cursor(name: str) -> str:
    """Build CLOSE for a cursor."""
    return f"CLOSE {quote_ident(name)}"


def with_array_shapes(query: str, width: int, arrays: Sequence[int]) -> str:
    r"""Wrap a query of `width` columns: behind them, one more for each of its arrays, with the array's bounds as text.

    >>> with_array_shapes("select a, b from t", 2, [1])
    'SELECT q.*, pg_catalog.array_dims("c1") FROM (\nselect a, b from t\n) AS q("c0", "c1")'
    """
    names = [quote_ident(f"c{i}") for i in range(width)]
    shapes = [f"pg_catalog.array_dims({names[i]})" for i in arrays]
    return f"SELECT {', '.join(['q.*', *shapes])} FROM (\n{query}\n) AS q({', '.join(names)})"  # noqa: S608


def begin(*, read_only: bool) -> str:
    """Build a BEGIN that spells everything out, so that no default_transaction_* setting decides.

    Under READ COMMITTED every statement takes its own snapshot, including the catalog queries and the COPY that follow
    a lock. A stricter level takes its snapshot before the first lock: rows that appeared by a TRUNCATE, a rewrite or a
    swap of tables while we waited for the lock would be missing, without an error.

    >>> begin(read_only=True)
    'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY'
    """
    return f"BEGIN ISOLATION LEVEL READ COMMITTED {'READ ONLY' if read_only else 'READ WRITE'}"


def session_pins(*, export: bool, lock_timeout_ms: int | None = None) -> tuple[str, ...]:
    """Build the statements that every transaction begins with, so that no default of server or role changes a value.

    They may be sent one by one or joined with ``"; "`` in one `execute`. SET LOCAL ends with the transaction,
    so nothing leaks to the next client behind PgBouncer. The server, the role or the connection string decides how
    long to wait for a lock, unless a number is given here (0: for ever). See `LIFT_TIMEOUTS` for other limits.

    The search_path is `OWN_PATH` from here on; whatever is the user's runs after `USERS_PATH`.
    """
    pins = [*_VALUE_PINS]
    if lock_timeout_ms is not None:
        pins.append(f"SET LOCAL lock_timeout = {lock_timeout_ms:d}")
    if export:
        # Fail where a policy would hide rows, instead of exporting fewer in silence.
        pins.append("SET LOCAL row_security = off")
    return (*pins, save_path(USERS_PATH_SETTING), OWN_PATH)


def lift_timeouts(others: str) -> str:
    """Build the query that lifts time limits in this transaction; `others` is the condition of more such settings.

    A session that waits for the source, or for who reads an export, is idle: that is lifted wherever it comes from.
    Gives the process that serves the transaction (behind PgBouncer only the server knows it), and name and milliseconds
    of each limit that is lifted: one row at least.
    """
    return (
        "SELECT pg_catalog.pg_backend_pid(), l.name, l.setting, l.lifted FROM (SELECT) AS this LEFT JOIN ("  # noqa: S608
        "SELECT name, setting, pg_catalog.set_config(name, '0', true) AS lifted FROM pg_catalog.pg_settings"
        " WHERE setting OPERATOR(pg_catalog.<>) '0' AND"
        f" (name OPERATOR(pg_catalog.=) 'idle_in_transaction_session_timeout' OR {others})) AS l ON true ORDER BY 2"
    )


#: Lift the limits that were not made for a bulk load: those of the server, the database or the role. What the
#: connection string says is meant for it.
LIFT_TIMEOUTS = lift_timeouts(
    "source OPERATOR(pg_catalog.<>) 'client' AND (name OPERATOR(pg_catalog.=) 'statement_timeout'"
    " OR name OPERATOR(pg_catalog.=) 'transaction_timeout')"
)


#: Ask for the process that serves this transaction.
PID = "SELECT pg_catalog.pg_backend_pid()"


#: Ask how long this transaction waits for a lock; 0 is for ever.
LOCK_TIMEOUT_MS = "SELECT setting FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'lock_timeout'"


#: Ask for the role whose privileges count.
CURRENT_USER = "SELECT current_user::pg_catalog.text"


#: Ask for nothing but an answer.
NOTHING = "SELECT"


#: Undo whatever a session has kept beyond its transactions; refused inside of one.
DISCARD_ALL = "DISCARD ALL"


#: Ask what a connection leads to: the server's version, the database, the role, and whether it is a standby.
WHERE_AM_I = (
    "SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_database()::pg_catalog.text,"
    " current_user::pg_catalog.text, pg_catalog.pg_is_in_recovery()"
)


#: Ask which process of which server this is: numbers of processes come again.
BACKEND = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_postmaster_start_time()::pg_catalog.text"


def count_rows(schema: str, table: str, *, only: bool) -> str:
    """Build the count of a table's rows; `only` leaves out those of the tables that inherit, partitions too.

    >>> count_rows("public", "trips", only=True)
    'SELECT pg_catalog.count(*) FROM ONLY "public"."trips"'
    """
    return f"SELECT pg_catalog.count(*) FROM {'ONLY ' if only else ''}{qualified(schema, table)}"  # noqa: S608


def holders_of(schema: str, table: str) -> str:
    """Ask which processes have a lock on a table, or on one of its partitions or children: TRUNCATE locks them all."""
    root = f"{quote_literal(qualified(schema, table))}::pg_catalog.regclass::pg_catalog.oid"
    return (
        f"WITH RECURSIVE tree(oid) AS (SELECT {root} UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i"  # noqa: S608
        " JOIN tree ON i.inhparent OPERATOR(pg_catalog.=) tree.oid)"
        " SELECT DISTINCT pid, pg_catalog.pg_postmaster_start_time()::pg_catalog.text FROM pg_catalog.pg_locks"
        " JOIN tree ON relation OPERATOR(pg_catalog.=) tree.oid WHERE granted"
        " AND database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database"
        " WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"
    )


_VALUE_PINS = (
    # psycopg keeps the server's own encoding otherwise, and stored é as Ã© in a LATIN1 database.
    "SET LOCAL client_encoding = 'UTF8'",
    "SET LOCAL standard_conforming_strings = on",
    "SET LOCAL DateStyle = 'ISO, YMD'",
    # Unambiguous whoever reads it: text in 'postgres' style means another interval under sql_standard.
    "SET LOCAL IntervalStyle = 'iso_8601'",
    "SET LOCAL TimeZone = 'UTC'",
    # The shortest text that reads back as the same float; 3 says so to servers of every version.
    "SET LOCAL extra_float_digits = 3",
    "SET LOCAL bytea_output = 'hex'",
    # Under DOCUMENT a text with more than one root is refused.
    "SET LOCAL xmloption = 'content'",
    # On, the catalog's own texts of defaults and types have quotes where none are expected.
    "SET LOCAL quote_all_identifiers = off",
    # Off makes the text {NULL} an array that holds the word NULL.
    "SET LOCAL array_nulls = on",
)


#: Set again what decides a value's meaning, whatever the user's own statements have set meanwhile.
VALUE_PINS = "; ".join(_VALUE_PINS)


#: Set before a COPY of text, out or in: money is then written as the C locale reads it. Only then, and after the
#: catalog's answers, because it also decides how many decimal places money has.
PLAIN_MONEY = "SET LOCAL lc_monetary = 'C'"


#: The path for bulkio's own statements. Operators, too, are looked up by it: under the user's path, `oid =
#: '…'::regclass`, which has no operator for exactly these types in pg_catalog, calls the one that anybody may have made
#: in a schema of the path, with the rights of whoever loads. Without pg_temp at the end, temporary objects would come
#: first.
OWN_PATH = "SET LOCAL search_path = pg_catalog, pg_temp"


def save_path(setting: str) -> str:
    """Build the SELECT that keeps the search_path in a setting of the transaction, for `restore_path`."""
    # The server keeps it: no client's copy can get out of step, and nothing is left behind PgBouncer.
    return f"SELECT pg_catalog.set_config('{setting}', pg_catalog.current_setting('search_path'), true)"


def restore_path(setting: str) -> str:
    """Build the SELECT that takes the search_path from the setting in which `save_path` has kept it."""
    return f"SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('{setting}'), true)"


#: setting that keeps the user's search_path
USERS_PATH_SETTING = "bulkio.users_path"


#: The path for what is the user's: names of tables and types as the user spelled them, queries, and the functions that
#: triggers, defaults and checks call. Statements that run under it spell every operator and name in full.
USERS_PATH = restore_path(USERS_PATH_SETTING)


def as_user(statement: str) -> str:
    """Build the three statements that run one under the user's search_path."""
    # The line end keeps a trailing comment from swallowing what follows.
    return f"{USERS_PATH}; {statement}\n; {OWN_PATH}"


def last_value(schema: str, table: str, column: str, options: SequenceOptions) -> str:
    """Ask for the last of a column's values that its sequence could give; null where there is none.

    Those beyond the sequence's bounds it never gives.
    """
    name, last = quote_ident(column), "max" if options.ascends else "min"
    return (
        f"SELECT pg_catalog.{last}({name})::bigint FROM {qualified(schema, table)}"  # noqa: S608 - names are quoted
        f" WHERE {name} OPERATOR(pg_catalog.>=) '{options.minimum:d}'::bigint"
        f" AND {name} OPERATOR(pg_catalog.<=) '{options.maximum:d}'::bigint"
    )


def advance_sequence(sequence: str, value: int, *, ascends: bool) -> str:
    """Build the statement that takes a sequence, whose name comes quoted, past `value`; past it already, it stays."""
    last = f"'{value:d}'::bigint"
    return (
        f"SELECT pg_catalog.setval({quote_literal(sequence)}::pg_catalog.regclass, {last}) FROM {sequence} AS now"  # noqa: S608
        f" WHERE {last} {'>' if ascends else '<'} now.last_value OR {last} = now.last_value AND NOT now.is_called"
    )


def truncate_table(schema: str, table: str) -> str:
    """Build TRUNCATE."""
    return f"TRUNCATE TABLE {qualified(schema, table)}"


def lock_creation(kind: Literal["table", "type"], schema: str, name: str) -> str:
    """Build a statement that waits until nobody else creates the table or type of this name.

    Two CREATE TABLE at once end with a unique violation in the catalog for all but one, with no table to append to.
    Whoever takes several takes the table's first, then the types' in the order of their names.

    >>> lock_creation("table", "public", "trips")
    'SELECT pg_catalog.pg_advisory_xact_lock(-5079689233367172442)'
    """
    digest = hashlib.blake2b(f"bulkio creates\0{kind}\0{schema}\0{name}".encode(), digest_size=8).digest()
    return f"SELECT pg_catalog.pg_advisory_xact_lock({int.from_bytes(digest, 'big', signed=True):d})"


def lock_for_load(schema: str, table: str, lock: TableLock | None = None) -> str:
    """Build a statement that takes a lock; without one, that of an INSERT, with a check of its privilege.

    For that, LOCK TABLE would ask for more privileges than COPY does (UPDATE or DELETE, before PostgreSQL 16).

    >>> lock_for_load("public", "trips", "SHARE ROW EXCLUSIVE")
    'LOCK TABLE "public"."trips" IN SHARE ROW EXCLUSIVE MODE'
    """
    if lock is not None:
        return f"LOCK TABLE {qualified(schema, table)} IN {lock} MODE"
    return f"EXPLAIN INSERT INTO {qualified(schema, table)} DEFAULT VALUES"


def may_alter(oid: int) -> str:
    """Ask whether the role may alter a table, which its owner may."""
    return (
        "SELECT pg_catalog.pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class"  # noqa: S608 - a number
        f" WHERE oid OPERATOR(pg_catalog.=) {oid:d}::pg_catalog.oid"
    )


def delete_where(schema: str, table: str, condition: str) -> str:
    """Build DELETE of the rows that meet a condition, as `bracketed` gives it."""
    return f"DELETE FROM {qualified(schema, table)} WHERE {condition}"  # noqa: S608 - the user's SQL, with his rights


def count_where(schema: str, table: str, condition: str) -> str:
    """Build the count of the rows that meet a condition, as `bracketed` gives it; it may run under the user's path."""
    return f"SELECT pg_catalog.count(*) FROM {qualified(schema, table)} WHERE {condition}"  # noqa: S608


def bracketed(condition: str, params: Sequence[str | None] = ()) -> str:
    """Return a condition of the user's with its parameters bound, in brackets that no comment at its end swallows.

    Raises:
        ConfigError: it is not one expression, or its parameters are not as many as it uses.
    """
    return f"(\n{bind_literals(condition, params)}\n)"


def analyze(schema: str, table: str) -> str:
    """Build ANALYZE."""
    return f"ANALYZE {qualified(schema, table)}"


def lock_for_export(query: str) -> str:
    """Build a statement that locks all that `query` reads, and checks its privileges, without running it."""
    return f"EXPLAIN {query}"


# What tells a server, and its course of history, from every other. Any role may ask, unless an administrator has
# revoked that; Aurora has no position in the log by default.
_PLACE = (
    "system_identifier::pg_catalog.text,"
    " pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8),"
    " pg_catalog.pg_current_wal_lsn()::pg_catalog.text,"
    " (SELECT stats_reset::pg_catalog.text FROM pg_catalog.pg_stat_bgwriter)"
)


#: Ask for the running transaction's id.
XACT_ID = "SELECT pg_catalog.format('%s', pg_catalog.pg_current_xact_id())"


#: Ask for the running transaction's id and for the server's place, in one round trip.
XACT_ID_AND_PLACE = f"{XACT_ID}, {_PLACE} FROM pg_catalog.pg_control_system()"


#: Ask a server for its place; one that is in recovery cannot say where it is.
PLACE = f"SELECT {_PLACE} FROM pg_catalog.pg_control_system()"  # noqa: S608 - fixed words


#: Ask for the time of the transaction, in microseconds since 1970 began.
NOW_US = "SELECT (EXTRACT(EPOCH FROM pg_catalog.transaction_timestamp()) OPERATOR(pg_catalog.*) 1000000)::bigint"


IS_IN_RECOVERY = "SELECT pg_catalog.pg_is_in_recovery()"


def xact_status(xact_id: str) -> str:
    """Ask how a transaction ended: committed, aborted, in progress, or NULL where the server has forgotten."""
    return f"SELECT pg_catalog.pg_xact_status({quote_literal(xact_id)}::pg_catalog.xid8)"
