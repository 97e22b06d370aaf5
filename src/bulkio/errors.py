"""Every error bulkio raises, in one tree. Foreign errors are mapped onto it at the layer that meets them.

    BulkioError                 .retryable
     ├── ConfigError            an option, a DSN or an environment variable is wrong; nothing was tried
     ├── SchemaError            .column(s): table and data do not fit; found before a byte was sent
     ├── EncodeError            .column .row .path .line: a value cannot go into its column unchanged
     ├── DecodeError            .offset: bytes that are not the expected COPY BINARY
     ├── FileError              .path: a file cannot be read or written
     │    └── CsvError          .line .row .column: a CSV whose rows are not certain
     ├── CountError             .expected .found: the number of rows is not the one that was promised
     ├── TooManyRejects         .rejected .rows .rejects: more records are rejected than may be
     ├── CheckError             .query: a check of the user's failed
     ├── StageError             .stage: a stage of a pipeline cannot do its work on the rows that it got
     ├── LedgerError            .load_id: the ledger of loads forbids the load, or cannot be used
     │    ├── LoadRunning       another run is working on the load with this id
     │    ├── LoadUnfinished    .stored .chunks: a part of the load is committed, and the next run goes on there
     │    ├── LoadDiffers       .differences: what is done under this id was a different load, or other SQL
     │    ├── RunRunning        .run: another process is at work on the run of a pipeline
     │    └── RunTaken          .run: another process has taken the run over, or had its tick
     ├── RunFailed              .run .report: a step of a pipeline has failed, and with it the run
     ├── StepTimeout            a step of a pipeline took longer than it may
     └── DriverError            .sqlstate .row .column: the server or the driver refused
          ├── ConnectError      no connection, or no login, or the connection was lost
          └── OutcomeUnknown    COMMIT was sent, its reply was lost, and the server can no longer tell the outcome

A message says what went wrong, where, and what to do about it. If the row is known, the message begins with it: these
words are made here and nowhere else. The CLI alone turns these into exit codes.
"""

from __future__ import annotations

import types
from copy import copy

from bulkio.show import printable, show_name

__all__ = [
    "BulkioError",
    "CheckError",
    "ConfigError",
    "ConnectError",
    "CountError",
    "CsvError",
    "DecodeError",
    "DriverError",
    "EncodeError",
    "FileError",
    "LedgerError",
    "LoadDiffers",
    "LoadRunning",
    "LoadUnfinished",
    "OutcomeUnknown",
    "RunFailed",
    "RunRunning",
    "RunTaken",
    "SchemaError",
    "StageError",
    "StepTimeout",
    "TooManyRejects",
]


class BulkioError(Exception):
    """The base of every error that bulkio raises on purpose."""

    #: True if the same call may succeed later without any change.
    retryable: bool = False

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own calls the constructor with `args` alone, without the keywords that it asks for.
        return _restored, (type(self), self.args, vars(self))

    def _render_traceback_(self) -> list[str]:
        """Return what IPython, and so Jupyter, shows: the lines of the user's own, and the message.

        Everything else stands in the error still; `traceback.print_exception(error)` shows it.
        """
        from IPython import get_ipython  # it is the caller

        alone = copy(self)  # of what it followed from, the message tells what the user can do about
        lines: list[str] = get_ipython().InteractiveTB.structured_traceback(
            type(self), alone, _callers(self.__traceback__), tb_offset=1
        )
        return lines


def _callers(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Return the part of a traceback that lies outside of bulkio: whoever called it."""
    if trace is None or trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        return None
    return types.TracebackType(_callers(trace.tb_next), trace.tb_frame, trace.tb_lasti, trace.tb_lineno)


def _restored(kind: type[BulkioError], args: tuple[object, ...], facts: dict[str, object]) -> BulkioError:
    """Return an error that was pickled or copied, as it was made."""
    error = kind.__new__(kind, *args)
    vars(error).update(facts)
    return error


class ConfigError(BulkioError):
    """An option, a DSN or an environment variable is wrong or missing; nothing was tried."""


class SchemaError(BulkioError):
    """Table and data do not fit. `columns` names the columns at fault, all of them at once."""

    def __init__(self, message: str, *, columns: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.columns = columns


def _placed(message: str, row: int | None, column: str | None) -> str:
    """Return a message behind the row and column that it is about."""
    if row is None:
        return message
    where = f"row {row}" if column is None else f"row {row}, column {show_name(column)}"
    return f"{where}: {message}"


def _in_file(message: str, path: str | None, line: int | None) -> str:
    """Return a message behind the file and line that it is about."""
    return message if path is None else f"{printable(path)}, line {line}: {message}"


class EncodeError(BulkioError):
    """A value cannot be stored in its column unchanged.

    `row` counts from 1 over the whole load, in the order the source gives the rows. Of a source that has lines, such as
    CSV, `path` and `line` say where the row begins.
    """

    def __init__(
        self,
        message: str,
        *,
        column: str | None = None,
        row: int | None = None,
        path: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(message)
        self.column = column
        self.row = row
        self.path = path
        self.line = line

    def __str__(self) -> str:
        return _in_file(_placed(super().__str__(), self.row, self.column), self.path, self.line)

    def in_file(self, path: str, line: int) -> EncodeError:
        """Return this error as one about a line of a file."""
        return type(self)(self.args[0], column=self.column, row=self.row, path=path, line=line)


class DecodeError(BulkioError):
    """Bytes are not the COPY BINARY stream that was expected.

    `offset` counts bytes from the start of the stream; `column` and `row` (from 1) are set where known.
    """

    def __init__(
        self, message: str, *, offset: int | None = None, column: str | None = None, row: int | None = None
    ) -> None:
        super().__init__(message)
        self.offset = offset
        self.column = column
        self.row = row

    def __str__(self) -> str:
        return _placed(super().__str__(), self.row, self.column)


class FileError(BulkioError):
    """A file cannot be read or written. Of its name the message shows what would end a line as an escape."""

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message.replace(path, printable(path)) if path else message)
        self.path = path


class CsvError(FileError):
    """A CSV whose rows are not certain. Nothing that is not certain is read.

    `line` counts the lines of the file from 1, as an editor does. `row` counts the rows of data from 1; it is None in
    the header. `column` is the column's name, or its number where it has none, or None where the whole line is meant.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str,
        line: int | None = None,
        row: int | None = None,
        number: int | None = None,
        column: str | None = None,
    ) -> None:
        place = [] if line is None else [f"line {line}"]
        if line is None and row is not None:
            place = [f"row {row}"]
        if number is not None:
            place.append(f"column {number}" + ("" if column is None else f" {show_name(column)}"))
        super().__init__(f"{path}: {', '.join(place)}{': ' if place else ''}{message}", path=path)
        self.line = line
        self.row = row
        self.column = column if column is not None or number is None else str(number)


class CountError(BulkioError):
    """The rows that arrived are not as many as were promised; nothing was stored or written."""

    def __init__(self, message: str, *, expected: int, found: int) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class TooManyRejects(BulkioError):  # noqa: N818 - of each of them, the reason is one
    """More records of a load are rejected than may be; nothing was stored, but for chunks that had been before.

    `rejected` of `rows` records are, as far as the load came; `rejects` are the first of them.
    """

    def __init__(self, message: str, *, rejected: int, rows: int, rejects: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.rejected = rejected
        self.rows = rows
        self.rejects = rejects


class CheckError(BulkioError):
    """A check of the user's is not true; where it came with a load, nothing was stored. `query` is the check's text."""

    def __init__(self, message: str, *, query: str) -> None:
        super().__init__(message)
        self.query = query


class StageError(BulkioError):
    """A stage of a pipeline cannot do its work on the rows that it got; no sink has stored any. `stage` names it."""

    def __init__(self, message: str, *, stage: str) -> None:
        super().__init__(f"stage {stage}: {message}")
        self.stage = stage


class LedgerError(BulkioError):
    """The ledger of loads forbids it by what it records, or cannot be used; nothing was changed.

    `load_id` is the load's, where it is about one.
    """

    def __init__(self, message: str, *, load_id: str | None = None) -> None:
        super().__init__(message)
        self.load_id = load_id


class LoadRunning(LedgerError):  # noqa: N818 - nothing is wrong
    """Another run is at work on the load of this id; nothing was changed. Later the ledger tells what became of it."""

    retryable = True


class LoadUnfinished(LedgerError):  # noqa: N818 - what is done is done
    """A load that commits in parts was ended by an error, its `__cause__`: the next run under its id goes on there.

    `stored` of its `chunks` are stored; both are None of one that is decided, and was not committed whole yet.
    """

    def __init__(
        self,
        message: str,
        *,
        load_id: str | None = None,
        retryable: bool = False,
        stored: int | None = None,
        chunks: int | None = None,
    ) -> None:
        super().__init__(message, load_id=load_id)
        self.retryable = retryable
        self.stored = stored
        self.chunks = chunks


class LoadDiffers(LedgerError):  # noqa: N818 - each of them may be right
    """What is done under this id was a different load, or other SQL; nothing was changed. `differences` says how."""

    def __init__(self, message: str, *, load_id: str | None = None, differences: tuple[str, ...] = ()) -> None:
        super().__init__(message, load_id=load_id)
        self.differences = differences


class RunRunning(LedgerError):  # noqa: N818 - nothing is wrong
    """Another process is at work on a pipeline's run, `run`; nothing was changed. Its end is in the journal."""

    retryable = True

    def __init__(self, message: str, *, run: str) -> None:
        super().__init__(message)
        self.run = run


class RunTaken(LedgerError):  # noqa: N818 - another one does it
    """Another process has taken over a pipeline's run, `run`, or has had its tick; this one has stopped its work."""

    def __init__(self, message: str, *, run: str) -> None:
        super().__init__(message)
        self.run = run


class RunFailed(BulkioError):  # noqa: N818 - its cause is the error
    """A run of a pipeline has failed, because a step of it did, whose error is the `__cause__`.

    `run` is its name, pipeline/run, and `report` its `RunReport`. What the run has done stays done; it can go on.
    """

    def __init__(self, message: str, *, run: str, report: object, retryable: bool = False) -> None:
        super().__init__(message)
        self.run = run
        self.report = report
        self.retryable = retryable


class StepTimeout(BulkioError):  # noqa: N818 - as Python's own TimeoutError is none of bulkio's
    """A step of a pipeline took longer than its timeout, and was cancelled."""


class DriverError(BulkioError):
    """The server or the driver refused. `sqlstate` is PostgreSQL's five-character code, where there is one.

    Where the server refused a value of a load, `row` (from 1) and mostly `column` say which one;
    of a source that has lines, `path` and `line` say where that row begins.
    """

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str | None = None,
        retryable: bool = False,
        row: int | None = None,
        column: str | None = None,
        path: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.retryable = retryable
        self.row = row
        self.column = column
        self.path = path
        self.line = line

    def __str__(self) -> str:
        return _in_file(_placed(super().__str__(), self.row, self.column), self.path, self.line)

    def in_file(self, path: str, line: int) -> DriverError:
        """Return this error as one about a line of a file."""
        return type(self)(
            self.args[0],
            sqlstate=self.sqlstate,
            retryable=self.retryable,
            row=self.row,
            column=self.column,
            path=path,
            line=line,
        )

    def about(self, what: str) -> DriverError:
        """Return this error as one about something that the message names first."""
        return type(self)(f"{what}: {self.args[0]}", sqlstate=self.sqlstate, retryable=self.retryable)

    def with_message(self, message: str) -> DriverError:
        """Return this error in other words."""
        return type(self)(
            message,
            sqlstate=self.sqlstate,
            retryable=self.retryable,
            row=self.row,
            column=self.column,
            path=self.path,
            line=self.line,
        )

    def at_row(self, row: int | None) -> DriverError:
        """Return this error as one about another row, or about none that is known."""
        return type(self)(self.args[0], sqlstate=self.sqlstate, retryable=self.retryable, row=row, column=self.column)


class ConnectError(DriverError):
    """No connection could be made, the login was refused, or the connection was lost."""


class OutcomeUnknown(DriverError):  # noqa: N818 - it may have succeeded
    """COMMIT was sent, its reply was lost, and the server can no longer say whether it took effect.

    It is retryable where the load carries an id: the ledger then decides whether anything is left to do.
    """
