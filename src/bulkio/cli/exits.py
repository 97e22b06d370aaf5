"""The exit codes: one table, for the program, its help and the docs."""

from __future__ import annotations

from enum import IntEnum

from bulkio.errors import (
    BulkioError,
    CheckError,
    ConfigError,
    ConnectError,
    DriverError,
    EncodeError,
    LoadRunning,
    LoadUnfinished,
    OutcomeUnknown,
    RunFailed,
    RunRunning,
    RunTaken,
    SchemaError,
    TooManyRejects,
)

__all__ = ["MEANINGS", "Exit", "exit_of"]


class Exit(IntEnum):
    """What the program's exit code says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    RESUMABLE = 3
    REJECTS = 4
    CONNECTION = 5
    SCHEMA = 6
    UNKNOWN = 7
    BUSY = 8
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS = {
    Exit.DONE: "done",
    Exit.FAILED: "failed; nothing was changed; `bulkio doctor`: at least one finding fails",
    Exit.USAGE: "wrong usage or configuration; nothing was tried",
    Exit.RESUMABLE: "`bulkio server status`: it is not running; a load: partly done, and can be resumed",
    Exit.REJECTS: "done, but for records that are rejected: they are in the file that was named for them",
    Exit.CONNECTION: "no connection, no login, or connection lost; nothing was changed",
    Exit.SCHEMA: "data and table do not fit; nothing was changed",
    Exit.UNKNOWN: "COMMIT got no answer: the outcome is unknown",
    Exit.BUSY: "another process is at work on the same load, or the same run of a pipeline; nothing was changed",
    Exit.HANGUP: "ended by SIGHUP; rolled back, but for chunks that are stored",
    Exit.INTERRUPTED: "ended by SIGINT (Ctrl-C); rolled back, but for chunks that are stored",
    Exit.TERMINATED: "ended by SIGTERM; rolled back, but for chunks that are stored",
}

#: exit codes by class of error, the most special class first; any other BulkioError is FAILED, except a DriverError
#: that names a row
_EXITS = (
    (OutcomeUnknown, Exit.UNKNOWN),
    (ConnectError, Exit.CONNECTION),
    (LoadRunning, Exit.BUSY),
    (RunRunning, Exit.BUSY),
    (RunTaken, Exit.BUSY),
    (LoadUnfinished, Exit.RESUMABLE),
    (SchemaError, Exit.SCHEMA),
    (CheckError, Exit.SCHEMA),
    (EncodeError, Exit.SCHEMA),
    (TooManyRejects, Exit.SCHEMA),
    (ConfigError, Exit.USAGE),
)


def exit_of(error: BulkioError) -> Exit:
    """Return the exit code for an error of bulkio's own; for a run's, that of the step that has failed first."""
    if isinstance(error, RunFailed):
        return exit_of(error.__cause__) if isinstance(error.__cause__, BulkioError) else Exit.FAILED
    if type(error) is DriverError and error.row is not None:  # the server refused a value of this row
        return Exit.SCHEMA
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.FAILED)
