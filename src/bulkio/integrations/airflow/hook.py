"""An Airflow connection of type `postgres` as what bulkio connects by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

import bulkio
from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from airflow.sdk import Connection

__all__ = ["BulkioHook"]

#: extras of the connection that PostgresHook reads itself and does not hand to libpq
_POSTGRES_HOOKS_OWN = frozenset(
    {"cluster-identifier", "cursor", "redshift-serverless", "sqlalchemy_query", "sqlalchemy_scheme", "workgroup-name"}
    | {"aws_conn_id"}
)
#: extras that ask for a login which bulkio cannot do
_FOREIGN_LOGINS = ("iam", "redshift", "azure_conn_id")


class BulkioHook(BaseHook):
    """Loads, exports and reads over a connection of type `postgres`; opens nothing before the first of them.

    Args:
        postgres_conn_id: The connection: host, port, login, password, schema (the database), and libpq's keys such as
            sslmode in its extra.
    """

    conn_name_attr = "postgres_conn_id"
    default_conn_name = "postgres_default"
    hook_name = "bulkio"

    def __init__(self, postgres_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.postgres_conn_id = postgres_conn_id

    def load(self, source: object, table: str, **options: object) -> bulkio.LoadReport:
        """Load a source into a table; takes the options of `bulkio.load`, and raises what it raises."""
        return bulkio.load(source, table, **self.login(), **options)  # type: ignore[arg-type]

    def export(self, table_or_query: str, dest: object, **options: object) -> bulkio.ExportReport:
        """Export a table or a query into a file; takes the options of `bulkio.export`."""
        return bulkio.export(table_or_query, dest, **self.login(), **options)  # type: ignore[arg-type]

    def read(self, table_or_query: str, **options: object) -> pa.RecordBatchReader:
        """Stream a table or a query as a `pyarrow.RecordBatchReader`; takes the options of `bulkio.read`."""
        return bulkio.read(table_or_query, **self.login(), **options)  # type: ignore[arg-type]

    def login(self) -> dict[str, str | None]:
        """Return the `dsn`, without the password, and the `password`, as bulkio's functions take them.

        Raises:
            ConfigError: the connection names nothing to connect to, or asks for a login that is not libpq's.
        """
        connection = self.get_connection(self.postgres_conn_id)
        return {"dsn": _dsn(connection), "password": connection.password or None}


def _dsn(connection: Connection) -> str:
    """Return a connection as libpq's key=value string, without its password."""
    pairs = [f"{key}={_quoted(value)}" for key, value in _settings(connection)]
    if not pairs:
        raise ConfigError(f"connection {connection.conn_id!r} is empty: set its host, login and schema (the database)")
    return " ".join(pairs)


def _settings(connection: Connection) -> Iterator[tuple[str, object]]:
    fields = {
        "host": connection.host,
        "port": connection.port,
        "user": connection.login,
        "dbname": connection.schema,
    }
    yield from ((key, value) for key, value in fields.items() if value)
    for key, value in connection.extra_dejson.items():
        if key in _FOREIGN_LOGINS and value:
            raise ConfigError(f"connection {connection.conn_id!r} logs in by {key!r}, and bulkio by libpq's keys only")
        if key not in _POSTGRES_HOOKS_OWN and key not in _FOREIGN_LOGINS:
            yield key, value


def _quoted(value: object) -> str:
    text = str(int(value) if isinstance(value, bool) else value)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
