"""The server's side of a bench: a schema of its own for the tables that loads fill, their comparison, and their end.

Owns one psycopg connection, used between the runs and never during one.
"""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import conninfo

from bulkio import sql
from bulkio.bench.limits import connect
from bulkio.drivers.choose import default_dsn
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.drivers.errors import map_connect_error, mapped_errors
from bulkio.drivers.named import named_dsn
from bulkio.errors import ConfigError, DriverError
from bulkio.quote import qualified, quote_ident, quote_literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any

__all__ = ["Content", "Server", "find_dsn"]

_INSUFFICIENT_PRIVILEGE = "42501"

_SETTINGS = (
    "server_version",
    "server_encoding",
    "shared_buffers",
    "wal_level",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "max_wal_size",
    "checkpoint_timeout",
    "wal_compression",
    "data_checksums",
    "autovacuum",
)


def find_dsn(dsn: str | None) -> str:
    """Find the server as `bulkio.load` does, as text that every worker understands the same."""
    named = default_dsn(dsn=dsn, environ=os.environ, interactive=sys.stdin.isatty() and sys.stderr.isatty())
    found, password = named_dsn(named, "")
    found = found or ""
    if found == "embedded":
        from bulkio.server import embedded

        return embedded.ensure()
    secret = password() if callable(password) else password
    return found if secret is None else str(conninfo.make_conninfo(found, password=secret))


@dataclass(frozen=True, slots=True)
class Content:
    """A table's rows as far as they can be compared: how many, and the sum of a hash of each row's text.

    With the session pinned, two values have the same text only if they are the same: 12.30 and 12.3 differ, -0 and 0.
    """

    rows: int
    hash_sum: str


class Server:
    """The connection of a bench's own, and its schema, which goes when the bench ends, however it ends."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.schema = f"bulkio_bench_{os.getpid()}_{secrets.token_hex(2)}"
        #: True until the server has refused a CHECKPOINT
        self.checkpoints = True
        self._made_schema = False
        info = parse_conninfo(dsn)
        try:
            self._conn = connect(dsn)
        except psycopg.Error as error:
            raise map_connect_error(error, info.display) from error

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._conn.close()
        if self._made_schema:
            # A new connection: the old one may be in the middle of what was interrupted.
            with connect(self.dsn) as conn:
                conn.execute(f"DROP SCHEMA IF EXISTS {quote_ident(self.schema)} CASCADE")

    def make_schema(self) -> None:
        """Make the schema."""
        self._made_schema = True
        try:
            self._execute(f"CREATE SCHEMA {quote_ident(self.schema)}")
        except DriverError as error:
            if error.sqlstate != _INSUFFICIENT_PRIVILEGE:
                raise
            database = quote_ident(self._conn.info.dbname)
            raise ConfigError(
                f"the bench makes its tables in a schema of its own, which this role may not create ({error}):"
                f" GRANT CREATE ON DATABASE {database} to it, or use another role"
            ) from error

    def make_table(self, table: str, columns: Sequence[sql.NewColumn]) -> None:
        """Make an empty table that no autovacuum will visit."""
        self._execute(sql.create_table(self.schema, table, columns) + " WITH (autovacuum_enabled = false)")

    def drop_table(self, table: str) -> None:
        """Drop a table of the bench's own."""
        self._execute(f"DROP TABLE {qualified(self.schema, table)}")

    def checkpoint(self) -> None:
        """Write out what earlier runs left in memory, so that no run pays for another; where that is allowed."""
        if self.checkpoints:
            try:
                self._execute("CHECKPOINT")
            except DriverError as error:
                if error.sqlstate != _INSUFFICIENT_PRIVILEGE:
                    raise
                self.checkpoints = False

    def content(self, table: str) -> tuple[Content, int]:
        """Compute a table's content, on the server, and the number of transactions that stored it."""
        # under pg_catalog's path alone, which the pins set
        hash_sum = 'coalesce(sum(hashtextextended((r.*)::text COLLATE "C", 0)), 0)::text'
        name = qualified(self.schema, table)
        transactions = f"SELECT count(*) FROM (SELECT DISTINCT xmin FROM {name}) AS x"  # noqa: S608 - quoted
        query = f"SELECT count(*), {hash_sum}, ({transactions}) FROM {name} AS r"  # noqa: S608
        self._execute(sql.begin(read_only=True))
        try:
            for pin in (*sql.session_pins(export=False), sql.LIFT_TIMEOUTS):
                self._execute(pin)
            row = self._execute(query).fetchone()
        finally:
            self._execute(sql.ROLLBACK)
        assert row is not None, "an aggregate without GROUP BY has one row"  # noqa: S101
        return Content(row[0], row[1]), row[2]

    def allows_server_files(self) -> bool:
        """Tell whether COPY may write files of the server's."""
        row = self._execute(
            "SELECT pg_catalog.pg_has_role('pg_write_server_files', 'USAGE')"
            " OR pg_catalog.current_setting('is_superuser')::boolean"
        ).fetchone()
        return bool(row and row[0])

    def facts(self) -> dict[str, object]:
        """Return the version and the settings that matter to bulk loads; nothing that names the server."""
        facts: dict[str, object] = {}
        for name in _SETTINGS:
            row = self._execute(f"SELECT pg_catalog.current_setting({quote_literal(name)}, true)").fetchone()
            facts[name] = row[0] if row else None
        facts["transport"] = "socket" if parse_conninfo(self.dsn).hosts[0].is_socket else "tcp"
        facts["checkpoint_before_each_run"] = self.checkpoints
        return facts

    def _execute(self, statement: str) -> psycopg.Cursor[Any]:
        with mapped_errors(lambda: self._conn.closed or self._conn.broken):
            return self._conn.execute(statement)
