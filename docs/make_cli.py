"""Make docs/cli.md from the help texts: `python docs/make_cli.py`."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkio.cli.app import COMMANDS, app
from bulkio.cli.exits import MEANINGS
from bulkio.cli.groups import GroupedCommand, grouped

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """\
# The command line

<!-- made by docs/make_cli.py from the help texts: change those -->

{help}

Results go to stdout, messages and progress to stderr. With `--json` there is exactly one JSON object on stdout.
Where a command fails it is `{{"error": {{…}}}}` with the keys `type`, `message`, `exit_code`, `retryable`, `columns`,
`column`, `row`, `offset`, `sqlstate`, `path`, `line`, `load_id` and `run`, null where something is not known; the
message is on stderr as well.

With `--progress json` a line on stderr each second is a JSON object, among messages that are text. Its keys are `event`
(`progress`; the last one is `done` or `failed`), `what` (such as `load orders`), `at` (UTC), `rows`, `bytes`,
`total_rows` (null where nobody knows; an estimate if `total_estimated`), `rows_per_s` (since the line before; in the
last one, of the whole), `seconds` and `committing` (true while COMMIT is awaited).

Ctrl-C (SIGINT), SIGTERM and SIGHUP cancel the work on the server and roll it back. A second one, at least
a second later, does not wait for the server any longer. NO_COLOR is respected.

| Exit code | Meaning |
|---:|---|
{exits}
"""


def page() -> str:
    """Return the whole page."""
    exits = "\n".join(f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items())
    parts = [HEAD.format(help=_text(app.help or ""), exits=exits)]
    for name, row in COMMANDS.items():
        parts += _sections(f"bulkio {name}", getattr(import_module(row.module), row.attribute), 2)
    return "\n".join(parts)


def _sections(path: str, command: click.Command, level: int) -> Iterator[str]:
    yield f"{'#' * level} {path}\n\n{_text(command.help or '')}\n"
    children = getattr(command, "commands", None)
    if children is None:
        arguments = " ".join(p.metavar or p.name.upper() for p in command.params if isinstance(p, click.Argument))
        yield f"    {path} [OPTIONS] {arguments}".rstrip() + "\n"
        if isinstance(command, GroupedCommand):
            for group, options in grouped(command.params):
                yield f"**{group}**\n\n" + "\n".join(map(_option, options)) + "\n"
        elif options := [option for option in command.params if isinstance(option, click.Option)]:
            yield "\n".join(map(_option, options)) + "\n"
    else:
        for name, child in children.items():
            yield from _sections(f"{path} {name}", child, level + 1)


def _text(text: str) -> str:
    """Turn a help text into Markdown: what click leaves as it is becomes a block."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(_block(p) if p.startswith("\b") else p for p in paragraphs)


def _block(paragraph: str) -> str:
    lines = paragraph.split("\n")[1:]
    return "\n".join(["```", *lines, "```"])


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    default = f" Default: `{option.default}`." if option.show_default else ""
    text = re.sub(r"\s+", " ", option.help or "")
    return f"- {names}{_value(option)}: {text}{default}"


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return f" `{'|'.join(map(str, option.type.choices))}`"
    number = isinstance(option.type, click.types.IntParamType)
    return f" `{option.metavar or ('N' if number else 'LIST')}`"


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(page())
