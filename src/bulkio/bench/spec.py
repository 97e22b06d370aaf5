"""What a worker is asked for and what it answers, as JSON over its stdin and stdout.

Never on a command line, which other users can read: a DSN holds a password.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bulkio.choices import DriverName
    from bulkio.protocols import CopyFormat, CopyTarget

__all__ = ["Action", "Job", "Run"]

Action = Literal[
    "prepare",
    "split",
    "calibrate",
    "load",
    "replay",
    "psql",
    "read",
    "parquet",
    "csv",
    "drain",
    "server",
    "digest",
    "psql_out",
]


@dataclass(frozen=True, slots=True)
class Job:
    """One worker's task. Which fields count is the action's own matter (`worker`)."""

    action: Action
    dsn: str = field(repr=False)
    driver: DriverName = "asyncpg"
    method: str = "binary"
    #: source of a load: a path that `bulkio.load` takes
    source: str = ""
    #: schema and name of a load's table; for an export, `table` is as the user wrote it
    schema: str = ""
    table: str = ""
    columns: tuple[str, ...] = ()
    #: file of what COPY FROM takes, and its format: csv if the server has to parse a column
    stream: str = ""
    fmt: CopyFormat = "binary"
    #: offsets in it where each connection's rows begin, and where the last one's end
    cuts: tuple[int, ...] = ()
    #: bytes that the stream begins and ends with, and each connection's has to: COPY BINARY's header and trailer
    head_bytes: int = 0
    tail_bytes: int = 0
    #: files of what each psql copies
    parts: tuple[str, ...] = ()
    #: number of a candidate's connections
    workers: int = 1
    #: bytes of the stream that are sent at once
    block_bytes: int = 1 << 17
    #: the folder for what is written
    folder: str = ""
    #: rows of the source to take; 0 takes all
    rows: int = 0
    #: the query behind an export's table
    query: str = ""
    #: the settings that its plan reads under
    pins: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})  # type: ignore[arg-type]

    def to_json(self) -> str:
        """Write one object."""
        return json.dumps(asdict(self))

    def target(self) -> CopyTarget:
        """Return what its COPY FROM fills."""
        from bulkio.protocols import CopyTarget

        return CopyTarget(self.schema, self.table, self.columns, ())


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of one line took, in a process of its own; its start and its imports are left out."""

    wall_s: float
    #: CPU time of all the client's threads, user and system
    cpu_s: float
    #: the most memory the client's process ever held, interpreter and libraries included
    peak_mb: float
    #: memory that the process held before the run began
    start_mb: float
    rows: int
    #: bytes of COPY data for loads and raw drains, of Arrow buffers for reads, of the file for Parquet
    bytes: int
    #: idle part of the time of all the machine's processors, whoever used the rest; None where no /proc/stat tells it
    idle_share: float | None = None
