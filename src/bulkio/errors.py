"""Every error bulkio raises, in one tree. Foreign errors are mapped onto it at the layer that meets them.

    BulkioError                 .retryable
     ├── ConfigError            an option, a DSN or an environment variable is wrong; nothing was tried
     ├── SchemaError            .column(s): table and data do not fit; found before a byte was sent
     ├── EncodeError            .column .row: a value cannot go into its column unchanged
     ├── DecodeError            .offset: bytes that are not the COPY BINARY that was expected
     ├── FileError              .path: a file cannot be read or written
     └── DriverError            .sqlstate .row .column: the server or the driver refused
          ├── ConnectError      no connection, or no login, or the connection was lost
          └── OutcomeUnknown    COMMIT was sent, its reply lost, and the server cannot tell us any more

A message says what went wrong, where, and what to do about it. The CLI alone turns these into exit codes.
"""

from __future__ import annotations

from bulkio.show import printable

__all__ = [
    "BulkioError",
    "ConfigError",
    "ConnectError",
    "DecodeError",
    "DriverError",
    "EncodeError",
    "FileError",
    "OutcomeUnknown",
    "SchemaError",
]


class BulkioError(Exception):
    """The base of every error that bulkio raises on purpose."""

    #: True where the same call may succeed later without any change.
    retryable: bool = False


class ConfigError(BulkioError):
    """An option, a DSN or an environment variable is wrong or missing; nothing was tried."""


class SchemaError(BulkioError):
    """Table and data do not fit. `columns` names the columns at fault, all of them at once."""

    def __init__(self, message: str, *, columns: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.columns = columns


class EncodeError(BulkioError):
    """A value cannot be stored in its column unchanged.

    `row` counts from 1 over the whole load, in the order the source gives the rows.
    """

    def __init__(self, message: str, *, column: str | None = None, row: int | None = None) -> None:
        super().__init__(message)
        self.column = column
        self.row = row


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


class FileError(BulkioError):
    """A file cannot be read or written. Of its name the message shows what would end a line as an escape."""

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message.replace(path, printable(path)) if path else message)
        self.path = path


class DriverError(BulkioError):
    """The server or the driver refused. `sqlstate` is PostgreSQL's five-character code, where there is one.

    Where the server refused a value of a load, `row` (from 1) and mostly `column` say which one.
    """

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str | None = None,
        retryable: bool = False,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.retryable = retryable
        self.row = row
        self.column = column

    def __str__(self) -> str:
        if self.row is None:
            return super().__str__()
        column = f', column "{self.column}"' if self.column else ""
        return f"row {self.row}{column}: {super().__str__()}"


class ConnectError(DriverError):
    """No connection could be made, the login was refused, or the connection was lost."""


class OutcomeUnknown(DriverError):  # noqa: N818 - it may have succeeded
    """COMMIT was sent, its reply was lost, and the server cannot say any more whether it took effect."""
