"""`bulkio connections`: the connections that have a name."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from bulkio.choices import DriverChoice
from bulkio.cli.exits import Exit, exit_of
from bulkio.cli.interrupts import carry_out
from bulkio.cli.options import complete_name, output_options
from bulkio.cli.output import say, show, show_json, show_table
from bulkio.drivers.choose import EMBEDDED
from bulkio.drivers.named import MARK, known_connections
from bulkio.errors import BulkioError, ConfigError
from bulkio.show import printable

if TYPE_CHECKING:
    from bulkio import ConnectionReport
    from bulkio.drivers.named import Connection

__all__ = ["connections"]


@click.group()
def connections() -> None:
    """Look at the connections that have a name, and try them.

    `--dsn @warehouse` is the connection [connections.warehouse] of the current folder's bulkio.toml, otherwise of the
    user's config.toml. No command shows a password.
    """


@connections.command("list")
@output_options
def list_(*, as_json: bool) -> None:
    """List the connections of the current folder and the user's own."""
    rows = [_row(connection) for connection in known_connections(Path())]
    if as_json:
        show_json({"connections": rows})
    elif rows:
        keys = ("name", "host", "user", "database", "file")
        show_table(keys, [[printable(row[key] or "") for key in keys] for row in rows])
        for row in rows:
            if row["error"]:
                say(f"Warning: {row['error']}")
    else:
        show(_none())


@connections.command(short_help="Connect, and show what answers.")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=complete_name)
@click.option(
    "--driver", type=click.Choice(get_args(DriverChoice)), default="auto", show_default=True, help="The driver to use."
)
@output_options
def test(name: str | None, driver: DriverChoice, *, as_json: bool) -> int:
    """Connect, and show what answers: version, role, TLS, and how long a query takes. Without a name: all of them.

    Ends with 5 if a connection cannot be made.
    """
    from bulkio import sync

    names = [connection.name for connection in known_connections(Path())] if name is None else [name.removeprefix(MARK)]
    if not names:
        raise ConfigError(_none())
    outcomes: dict[str, ConnectionReport | BulkioError] = {}
    for each in names:
        try:
            work = functools.partial(sync.check_connection, f"{MARK}{each}", driver=driver)
            outcomes[each] = carry_out(work, "nothing was changed")
        except BulkioError as error:
            if name is not None:
                raise
            outcomes[each] = error
    if as_json:
        show_json({"connections": [{"name": each, **_as_json(outcome)} for each, outcome in outcomes.items()]})
    else:
        show("\n".join(_told(each, outcome) for each, outcome in outcomes.items()))
    has_failed = any(isinstance(outcome, BulkioError) for outcome in outcomes.values())
    return Exit.CONNECTION if has_failed else Exit.DONE


def _none() -> str:
    from bulkio.drivers.named import config_files

    paths = " and ".join(printable(str(path)) for path in config_files(Path()))
    return f"no connection has a name: there is none in {paths}; `bulkio init` writes an example"


def _row(connection: Connection) -> dict[str, str | None]:
    """Return what may be told of a connection. Nothing is connected to, and no password is asked for."""
    from bulkio.drivers.conninfo import parse_conninfo

    row: dict[str, str | None] = dict.fromkeys(("host", "user", "database", "error"))
    try:
        dsn, _ = connection.resolve(os.environ)
        if dsn == EMBEDDED:
            row["host"] = EMBEDDED
        else:
            info = parse_conninfo(dsn)
            hosts = ",".join(f"{host.host or host.hostaddr}:{host.port}" for host in info.hosts)
            row |= {"host": hosts, "user": info.user, "database": info.database}
    except ConfigError as error:
        row["error"] = str(error)
    return {"name": connection.name, **row, "file": str(connection.path)}


def _told(name: str, outcome: ConnectionReport | BulkioError) -> str:
    if isinstance(outcome, BulkioError):
        return f"{printable(name)}: failed\n  {outcome}"
    kind = "standby" if outcome.standby else "primary"
    tls = "TLS" if outcome.tls else "no TLS"
    facts = f"PostgreSQL {outcome.server_version}, {kind}, {tls}, {outcome.driver}"
    whose = f"role {outcome.role}, database {outcome.database}"
    times = f"connected in {outcome.connect_s * 1e3:.1f} ms, a query takes {outcome.latency_s * 1e3:.2f} ms"
    lines = (outcome.address, printable(facts), printable(whose), times)
    return "\n  ".join((f"{printable(name)}: connected", *lines))


def _as_json(outcome: ConnectionReport | BulkioError) -> dict[str, object]:
    if not isinstance(outcome, BulkioError):
        return {**outcome.as_dict(), "error": None}
    return {"error": {"type": type(outcome).__name__, "message": str(outcome), "exit_code": int(exit_of(outcome))}}
