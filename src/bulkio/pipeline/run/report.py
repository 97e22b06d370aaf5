"""What a run and its steps report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from bulkio.errors import BulkioError
from bulkio.transfer.journal import without_passwords

__all__ = ["RunReport", "RunState", "StepReport", "StepState", "error_text"]

StepState: TypeAlias = Literal["running", "done", "skipped", "failed", "interrupted"]
RunState: TypeAlias = Literal["done", "failed"]


def error_text(error: BaseException) -> str:
    """Return what is told of an error; of a user's own function it may be any, with a DSN in its message."""
    if isinstance(error, BulkioError):
        return str(error)
    return without_passwords(f"{type(error).__name__}: {error}".rstrip(": "))


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step, or one item of it, has done."""

    step: str
    #: item of its `for_each`; "" if it has none
    item: str
    #: kind of the step, such as load
    kind: str
    state: StepState
    #: number of rows loaded, exported or changed; None for what has none
    rows: int | None = None
    #: bytes sent or written
    bytes: int | None = None
    seconds: float = 0.0
    #: True if it was done before, by this run or by a load of the same id
    already: bool = False
    #: error that ended it, or reason why it was skipped
    why: str | None = None
    #: id of its load, or of its statements, in the ledger
    load_id: str | None = None
    #: notes that the user has to read
    notes: tuple[str, ...] = ()
    #: records that a load has rejected, and path of the file that they are in, if any
    rejected: int = 0
    rejects: str | None = None

    @property
    def name(self) -> str:
        """The step's id, with its item."""
        return f"{self.step}[{self.item}]" if self.item else self.step


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run has done."""

    pipeline: str
    run: str
    state: RunState
    steps: tuple[StepReport, ...]
    seconds: float
    #: True if the run was done before; nothing was done
    already: bool = False

    @property
    def name(self) -> str:
        """The run's name, pipeline/run."""
        return f"{self.pipeline}/{self.run}"

    @property
    def rows(self) -> int:
        """The rows that its steps have moved or changed."""
        return sum(step.rows or 0 for step in self.steps)

    @property
    def rejected(self) -> int:
        """The records that its loads have rejected."""
        return sum(step.rejected for step in self.steps)

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {**asdict(self), "rows": self.rows, "rejected": self.rejected, "seconds": round(self.seconds, 6)}
