"""`bulkio server`: the embedded PostgreSQL server."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from bulkio.cli.options import output_options
from bulkio.cli.output import show, show_json
from bulkio.show import printable

if TYPE_CHECKING:
    from bulkio.server.embedded import ServerStatus

__all__ = ["server"]

#: exit code of `pg_ctl status` for no server
NOT_RUNNING = 3


@click.group()
def server() -> None:
    """Run the embedded PostgreSQL server.

    It is a server of your own, at the DSN `embedded`: it starts when it is first used, goes on running, and lets in
    nobody but you. Its data lives in your data directory, or in $BULKIO_HOME.
    """


@server.command()
@output_options
def start(*, as_json: bool) -> None:
    """Start the server, unless it runs."""
    from bulkio.server import embedded

    running = embedded.status().running
    embedded.ensure()
    status = embedded.status()
    if as_json:
        show_json({"started": not running, **_as_json(status)})
    else:
        how = "runs already" if running else "was started"
        show(f"the embedded server {how}: {printable(status.url or '')}")


@server.command()
@output_options
def stop(*, as_json: bool) -> None:
    """Stop the server; open transactions are rolled back.

    It is not an error if the server is not running.
    """
    from bulkio.server import embedded

    stopped = embedded.stop()
    if as_json:
        show_json({"stopped": stopped})
    else:
        show("the embedded server was stopped" if stopped else "the embedded server is not running")


@server.command()
@output_options
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Tell whether the server runs, and where.

    Exits with 0 where it runs and with 3 where it does not, like pg_ctl.
    """
    from bulkio.server import embedded

    found = embedded.status()
    if as_json:
        show_json(_as_json(found))
    else:
        for name, value in _as_json(found).items():
            if value is not None:
                show(f"{name:9} {_for_people(value)}")
    if not found.running:
        ctx.exit(NOT_RUNNING)


def _as_json(status: ServerStatus) -> dict[str, object]:
    return {
        "running": status.running,
        "pid": status.pid,
        "version": status.version,
        "url": status.url,
        "socket": None if status.socket is None else str(status.socket),
        "data_dir": str(status.data_dir),
    }


def _for_people(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else printable(str(value))


@server.command()
@output_options
def url(*, as_json: bool) -> None:
    """Print the running server's URL, password included.

    For other programs: psql "$(bulkio server url)"
    """
    from bulkio.server import embedded

    found = embedded.url()
    if as_json:
        show_json({"url": found})
    else:
        show(found)


@server.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["--help"],
    }
)
@click.argument("args", metavar="[-- ARGS...]", nargs=-1, type=click.UNPROCESSED)
def psql(args: tuple[str, ...]) -> None:
    """Open psql on the server, starting that if need be.

    What follows goes to psql, after -- to be safe: bulkio server psql -- -c 'select 1'
    """
    from bulkio.server import embedded

    command = embedded.psql()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and psql would inherit that
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    os.execve(command.path, [str(command.path), *command.args, *args], command.env)  # noqa: S606
