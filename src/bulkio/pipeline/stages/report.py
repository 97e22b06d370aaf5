"""What a pipeline of stages is planned to do, and what it has done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bulkio.show import show_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from bulkio.aio import LoadPlan, LoadReport, WriteReport
    from bulkio.pipeline.stages.parts import Place

__all__ = ["PipelinePlan", "PipelineReport", "StagePlan", "StageReport"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage before the run."""

    #: position, from 1
    number: int
    name: str
    #: schema of the batches that go out; of a sink, of those that come in
    schema: pa.Schema
    #: plan of the load, where the stage is one
    load: LoadPlan | None = None

    def __str__(self) -> str:
        columns = ", ".join(f"{field.name} {field.type}" for field in self.schema)
        return f"{self.number} {self.name}: {columns}"


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """All stages before the run."""

    stages: tuple[StagePlan, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.stages))


@dataclass(frozen=True, slots=True)
class StageReport:
    """What one stage has done."""

    #: position, from 1
    number: int
    name: str
    rows_in: int
    rows_out: int
    #: bytes of the batches, as they lie in memory
    bytes_in: int
    bytes_out: int
    #: seconds from its beginning to its end, waiting included
    seconds: float
    #: seconds that it has waited for the stage ahead, and for the stage behind
    waited_for_input_s: float
    waited_for_output_s: float
    #: bytes that have waited ahead of it, at most
    queue_peak_bytes: int
    #: messages of checks that warn
    warnings: tuple[str, ...] = ()
    #: report of the load or the file, where the stage is a sink
    result: LoadReport | WriteReport | None = None

    def __str__(self) -> str:
        waited = f"waited {self.waited_for_input_s:.1f} s for input, {self.waited_for_output_s:.1f} s for output"
        rows = f"{show_rows(self.rows_in)} in, {self.rows_out:,} out"
        return "\n  ".join([f"{self.number} {self.name}: {rows}, {self.seconds:.1f} s ({waited})", *self.warnings])

    def as_dict(self) -> dict[str, object]:
        """Return the fields as JSON has them."""
        return {**asdict(self), "warnings": list(self.warnings)}


@dataclass(frozen=True, slots=True)
class PipelineReport:
    """What a pipeline of stages has done."""

    seconds: float
    #: reports of the stages, the source first
    stages: tuple[StageReport, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.stages))

    @property
    def results(self) -> tuple[LoadReport | WriteReport, ...]:
        """The reports of the sinks, in their order."""
        return tuple(stage.result for stage in self.stages if stage.result is not None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The messages of all checks that warn."""
        return tuple(text for stage in self.stages for text in stage.warnings)

    def as_dict(self) -> dict[str, object]:
        """Return the fields as JSON has them."""
        return {"seconds": self.seconds, "stages": [stage.as_dict() for stage in self.stages]}


def stage_report(place: Place, result: LoadReport | WriteReport | None) -> StageReport:
    """Return what was counted of a stage."""
    return StageReport(
        place.number,
        place.name,
        place.rows_in,
        place.rows_out,
        place.bytes_in,
        place.bytes_out,
        place.seconds,
        place.waited_for_input_s,
        place.waited_for_output_s,
        place.queue_peak_bytes,
        tuple(place.warnings),
        result,
    )
