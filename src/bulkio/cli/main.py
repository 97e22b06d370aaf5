"""main(): run a command; turn whatever it raises into a message and an exit code. No traceback without --debug."""

from __future__ import annotations

import contextlib
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import click

from bulkio.cli.app import app
from bulkio.cli.exits import Exit, exit_of
from bulkio.cli.interrupts import Interrupted, catch_signals, done_code, ignore_signals, settle
from bulkio.cli.output import prepare, say, show_json
from bulkio.cli.slips import no_option
from bulkio.errors import BulkioError
from bulkio.show import is_connection_string, naming_flags

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

#: attributes of an error that go into its JSON object, null if it has none
_DETAILS = ("columns", "column", "row", "offset", "sqlstate", "path", "line", "load_id", "run")

#: exception that click raises if a group is called without a command; before 8.2 it exits by itself
_NO_ARGS: type[Exception] = getattr(click.exceptions, "NoArgsIsHelpError", click.exceptions.Exit)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the program and exit."""
    with naming_flags():
        code = _run(list(sys.argv[1:] if args is None else args))
    settle(code)
    with contextlib.suppress(OSError, ValueError, AttributeError):  # Python tells of it when it flushes once more
        sys.stdout.flush()
    ignore_signals()
    sys.exit(code)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """How errors are to be told. Looked up in the arguments themselves: parsing them may be what failed."""

    as_json: bool
    debug: bool
    #: True if the command knows --debug: what follows `server psql` is psql's
    can_debug: bool
    #: arguments that no message may show, as a password may stand in them
    hidden: tuple[str, ...] = ()

    def shown(self, text: str) -> str:
        """Return what may be printed of a message: click's own repeat what it has not understood."""
        for argument in self.hidden:
            text = text.replace(argument, "(a connection string)")
        return text


def _run(args: list[str]) -> int:
    prepare()
    options = args[: args.index("--")] if "--" in args else args
    hidden = tuple(filter(is_connection_string, [*args, *(arg.partition("=")[2] for arg in args)]))
    wishes = _Wishes("--json" in options, "--debug" in options, options[:2] != ["server", "psql"], hidden)
    catch_signals()
    try:
        try:
            code = app.main(args, prog_name="bulkio", standalone_mode=False)
            return code if isinstance(code, int) else Exit.DONE
        except (Exception, Interrupted) as error:
            return _tell(error, wishes)
    except Interrupted as late:  # it came just before the error was told
        return _tell(late, wishes)


def _tell(error: BaseException, wishes: _Wishes) -> int:
    """Print an error; return the exit code."""
    if isinstance(error, BulkioError) and isinstance(error.__cause__, BrokenPipeError):
        settle(Exit.DONE)  # whoever reads stdout (`| head`) has what it wanted
        return Exit.DONE
    if isinstance(error, _NO_ARGS):  # its message is the help
        say(str(error))
        return Exit.USAGE
    code, message = _judge(error)
    message = wishes.shown(message)
    if (
        code == Exit.FAILED
        and wishes.can_debug
        and not wishes.debug
        and not isinstance(error, BulkioError | MemoryError)
    ):
        message += "; --debug shows where it happened"
    settle(code)
    if wishes.debug:
        say(wishes.shown("".join(traceback.format_exception(error)).rstrip()))
    if (done := done_code()) is not None:
        say(f"Warning: the work is done, but then came: {message}")
        return done
    say(message if isinstance(error, Interrupted) else f"{_usage(error)}Error: {message}")
    if wishes.as_json:
        try:
            show_json({"error": _as_json(error, message, code)})
        except OSError as unwritable:
            say(f"Error: the error could not be written to stdout: {unwritable}")
    return code


def _judge(error: BaseException) -> tuple[Exit, str]:
    match error:
        case Interrupted():
            return error.exit, f"interrupted: {error.outcome}"
        case BulkioError():
            return exit_of(error), str(error)
        case click.NoSuchOption():
            return Exit.USAGE, no_option(error)
        case click.ClickException():
            return Exit.USAGE, error.format_message()
        case MemoryError():
            return Exit.FAILED, "out of memory: try a smaller --batch-rows"
        case _:
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            return Exit.FAILED, f"internal error: {what}; please report it"


def _usage(error: BaseException) -> str:
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return ""
    return f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n\n"


def _as_json(error: BaseException, message: str, code: Exit) -> dict[str, object]:
    kind = "ConfigError" if isinstance(error, click.ClickException) else type(error).__name__
    return {
        "type": kind,
        "message": message,
        "exit_code": int(code),
        "retryable": bool(getattr(error, "retryable", False)),
        **{name: getattr(error, name, None) for name in _DETAILS if isinstance(error, BulkioError)},
    }
