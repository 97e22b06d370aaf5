"""The server, what the role may do there, and its settings."""

from __future__ import annotations

from dataclasses import dataclass

from bulkio.catalog.question import Question
from bulkio.quote import quote_literal

__all__ = [
    "SETTINGS",
    "PathFacts",
    "ServerFacts",
    "Setting",
    "connections_query",
    "path_query",
    "server_query",
    "settings_query",
]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server and the role that has logged in."""

    version: str
    database: str
    role: str
    #: process that serves this session, as the server itself says
    pid: int
    #: seconds since 1970 by the server's clock
    clock_s: float
    standby: bool
    superuser: bool
    #: privileges on the database: to make schemas, and temporary tables
    may_create_schema: bool
    may_use_temporary: bool
    #: True if the role sees what the sessions of other roles do
    sees_activity: bool


def server_query() -> Question[ServerFacts]:
    """Ask for the server's one row."""
    here = "pg_catalog.current_database()"
    columns = {
        "version": "pg_catalog.current_setting('server_version')",
        "database": f"{here}::pg_catalog.text",
        "role": "current_user::pg_catalog.text",
        "pid": "pg_catalog.pg_backend_pid()",
        "clock_s": "extract(epoch FROM pg_catalog.clock_timestamp())::pg_catalog.float8",
        "standby": "pg_catalog.pg_is_in_recovery()",
        "superuser": "(SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)",
        "may_create_schema": f"pg_catalog.has_database_privilege({here}, 'CREATE')",
        "may_use_temporary": f"pg_catalog.has_database_privilege({here}, 'TEMPORARY')",
        "sees_activity": "pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')",
    }
    return Question(ServerFacts, columns, "")


def connections_query() -> Question[int]:
    """Ask for the number of sessions on the server."""
    columns = {"count": "coalesce(sum(s.numbackends), 0)::bigint"}
    return Question(_count, columns, "FROM pg_catalog.pg_stat_database AS s")


def _count(*, count: int) -> int:
    return count


@dataclass(frozen=True, slots=True)
class PathFacts:
    """The schema in which a new table would be made."""

    #: first schema of the search_path that there is; None if there is none
    schema: str | None
    #: search_path as it is set
    path: str
    may_create: bool


def path_query() -> Question[PathFacts]:
    """Ask for the schema of new tables; for the user's own search_path."""
    columns = {
        "schema": "pg_catalog.current_schema()::pg_catalog.text",
        "path": "pg_catalog.current_setting('search_path')",
        "may_create": "coalesce(pg_catalog.has_schema_privilege(pg_catalog.current_schema(), 'CREATE'), false)",
    }
    return Question(PathFacts, columns, "")


#: names of the settings that are judged
SETTINGS = (
    "autovacuum",
    "checkpoint_timeout",
    "client_connection_check_interval",
    "fsync",
    "full_page_writes",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "maintenance_work_mem",
    "max_connections",
    "max_prepared_transactions",
    "max_wal_size",
    "reserved_connections",
    "session_replication_role",
    "shared_buffers",
    "statement_timeout",
    "superuser_reserved_connections",
    "synchronous_commit",
    "temp_file_limit",
    "transaction_timeout",
    "wal_compression",
    "wal_level",
)

_UNITS = {"B": 1, "kB": 1 << 10, "8kB": 8 << 10, "MB": 1 << 20, "ms": 1, "s": 1000, "min": 60_000}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the server, as a new session of the role has it."""

    name: str
    value: str
    #: pg_settings.unit
    unit: str | None
    #: value within this transaction, where bulkio has lifted some limits
    now: str
    #: SQL that is in the way: the role's, the database's or both; "" if the server's configuration has it
    reset: str

    @property
    def number(self) -> int:
        """The value in bytes or milliseconds, or the plain number; 0 for words."""
        try:
            return int(self.value) * _UNITS.get(self.unit or "", 1)
        except ValueError:
            return 0


def settings_query() -> Question[Setting]:
    """Ask for the settings of `SETTINGS` that this server has."""
    own = """coalesce((
        SELECT pg_catalog.string_agg(DISTINCT CASE
            WHEN d.setrole = 0 THEN pg_catalog.format('ALTER DATABASE %I RESET %I',
                                                      pg_catalog.current_database(), s.name)
            WHEN d.setdatabase = 0 THEN pg_catalog.format('ALTER ROLE %I RESET %I', session_user, s.name)
            ELSE pg_catalog.format('ALTER ROLE %I IN DATABASE %I RESET %I', session_user,
                                   pg_catalog.current_database(), s.name) END, '; ')
        FROM pg_catalog.pg_db_role_setting AS d
        WHERE d.setrole IN (0, (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user))
          AND d.setdatabase IN (0, (SELECT b.oid FROM pg_catalog.pg_database AS b
                                     WHERE b.datname = pg_catalog.current_database()))
          AND EXISTS (SELECT FROM pg_catalog.unnest(d.setconfig) AS c
                       WHERE pg_catalog.starts_with(c, s.name || '='))), '')"""
    columns = {
        "name": "s.name",
        "value": "coalesce(s.reset_val, s.setting)",
        "unit": "s.unit",
        "now": "s.setting",
        "reset": own,
    }
    names = ", ".join(map(quote_literal, SETTINGS))
    return Question(Setting, columns, f"FROM pg_catalog.pg_settings AS s WHERE s.name IN ({names}) ORDER BY s.name")
