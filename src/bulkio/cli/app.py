"""The group of commands. A command's module is imported when it is called, not when the commands are listed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import click

from bulkio import __version__
from bulkio.cli.exits import MEANINGS
from bulkio.cli.slips import near_command

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMMANDS", "CommandRow", "app"]


@dataclass(frozen=True, slots=True)
class CommandRow:
    """Where a command stands, and what the list of commands says of it."""

    module: str
    attribute: str
    help: str
    #: True if it is left out of the list, which is one page of a small terminal
    is_hidden: bool = False


COMMANDS = {
    "load": CommandRow("bulkio.cli.load", "load", "Load files into a table."),
    "export": CommandRow("bulkio.cli.export", "export", "Export a table or a query into a file."),
    "run": CommandRow("bulkio.cli.run", "run", "Run a pipeline: the steps of a TOML file."),
    "validate": CommandRow("bulkio.cli.run", "validate", "Check pipeline files, and draw their steps."),
    "loads": CommandRow("bulkio.cli.loads", "loads", "Look at what was loaded with --load-id, and forget it."),
    "schedule": CommandRow("bulkio.cli.schedule", "schedule", "Run pipelines as they become due, until a signal."),
    "runs": CommandRow("bulkio.cli.runs", "runs", "Look at the runs of pipelines, and go on with them."),
    "init": CommandRow("bulkio.cli.init", "init", "Make a folder with a pipeline that runs at once."),
    "connections": CommandRow(
        "bulkio.cli.connections", "connections", "Look at the connections that have a name, and try them."
    ),
    "doctor": CommandRow("bulkio.cli.doctor", "doctor", "Look for what is wrong with a server, or a table in it."),
    "server": CommandRow("bulkio.cli.server", "server", "Run the embedded PostgreSQL server."),
    "bench": CommandRow(
        "bulkio.cli.bench", "bench", "Compare every driver and method with what the server itself can do."
    ),
    "completion": CommandRow(
        "bulkio.cli.completion", "completion", "Print a script that completes commands.", is_hidden=True
    ),
}


class LazyGroup(click.Group):
    """A group that lists its commands from a table."""

    def __init__(self, *, rows: Mapping[str, CommandRow] = COMMANDS, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self._rows = rows

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the table's order."""
        return list(self._rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a stand-in, which is all that help and completion need."""
        row = self._rows.get(cmd_name)
        return None if row is None else click.Command(cmd_name, help=row.help, hidden=row.is_hidden)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command itself, because it is going to be called."""
        if args and not args[0].startswith("-") and args[0] not in self._rows:
            near = near_command(args[0], self._rows)
            ctx.fail(f"No such command {args[0]!r}." + ("" if near is None else f" Did you mean {near!r}?"))
        name, command, rest = super().resolve_command(ctx, args)
        row = self._rows.get(name or "")
        if row is not None:
            command = getattr(import_module(row.module), row.attribute)
        return name, command, rest


def _show_exits(ctx: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if value:
        click.echo("\n".join(f"{code:>3}  {meaning}" for code, meaning in MEANINGS.items()))
        ctx.exit()


app = LazyGroup(
    name="bulkio",
    help="""Move bulk data in and out of PostgreSQL, without ever changing a value.

\b
  bulkio load orders.parquet orders
""",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
click.version_option(__version__, "-V", "--version", prog_name="bulkio", message="%(prog)s %(version)s")(app)
click.option(
    "--exit-codes",
    is_flag=True,
    hidden=True,  # the list of commands is one page of a small terminal; README and docs/cli.md have the codes
    is_eager=True,
    expose_value=False,
    callback=_show_exits,
    help="Show what the exit codes mean and exit.",
)(app)
