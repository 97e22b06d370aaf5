"""A pipeline of stages: what its user composes, plans and runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.flow import shelter
from bulkio.pipeline.stages.chain import Chain, plan_works
from bulkio.pipeline.stages.report import PipelinePlan, PipelineReport, StagePlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.pipeline.stages.parts import Sink, Source, Transform

__all__ = ["Pipeline"]


class Pipeline:
    """A source, transforms and checks in their order, and one sink or several, which all get the same rows.

    >>> from bulkio.pipeline import stages as p
    >>> pipeline = p.Pipeline(p.table("orders"), p.not_null("id"), p.to_table("clean_orders"))

    Raises:
        ConfigError: the stages are not one source, then transforms and checks, then sinks; or two sinks are the same.
    """

    def __init__(self, *stages: Source | Transform | Sink) -> None:
        kinds = [_kind(stage, number) for number, stage in enumerate(stages, 1)]
        _refuse_order(kinds)
        count = kinds.count("transform")
        self._source: Source = stages[0]  # type: ignore[assignment]  # of the kind that was looked at
        self._transforms: Sequence[Transform] = stages[1 : 1 + count]  # type: ignore[assignment]
        self._sinks: Sequence[Sink] = stages[1 + count :]  # type: ignore[assignment]
        targets = [sink.target for sink in self._sinks]
        for sink in self._sinks:
            if targets.count(sink.target) > 1:
                raise ConfigError(f"two sinks of one pipeline are {sink.name}: each would wait for the other")

    async def run(self) -> PipelineReport:
        """Run all stages; return what each has done.

        A check that fails, or any other error, ends all stages: no sink stores anything that had not committed already,
        and none commits before the source's end has passed all checks. Each sink is all or nothing by itself: where
        one fails at its very end, another may be done.

        Raises:
            The error of the stage that failed; an exception of a function of the user's as it is.
            CancelledError: the run was cancelled. If all sinks are done already, it came too late and the report is
                returned.
        """
        chain = Chain(self._source, self._transforms, self._sinks)
        return await shelter.conclude(chain.run(), on_cancel=chain.scope.cancel)

    async def plan(self) -> PipelinePlan:
        """Open the source, but read no row; return each stage with its columns, and the plans of loads.

        Raises:
            What `run` raises before the first row.
        """
        places = Chain(self._source, self._transforms, self._sinks).places
        async with self._source.open() as batches:
            schema = batches.schema
        works = plan_works(list(zip(places[1:], self._transforms, strict=False)), schema)
        schemas = [schema, *(work.schema for work in works)]
        stages = [StagePlan(place.number, place.name, each) for place, each in zip(places, schemas, strict=False)]
        for place, sink in zip(places[len(schemas) :], self._sinks, strict=True):
            stages.append(StagePlan(place.number, place.name, schemas[-1], await sink.plan(schemas[-1])))
        return PipelinePlan(tuple(stages))


def _kind(stage: object, number: int) -> str:
    for kind, method in (("source", "open"), ("sink", "run"), ("transform", "plan")):
        if hasattr(stage, method) and hasattr(stage, "name") and not isinstance(stage, os.PathLike):
            return kind
    raise ConfigError(
        f"stage {number} is of type {type(stage).__name__}, and must be a source, a transform, a check or a sink"
    )


def _refuse_order(kinds: Sequence[str]) -> None:
    order = ("source", "transform", "sink")
    if not kinds or kinds[0] != "source" or kinds.count("source") > 1:
        raise ConfigError("a pipeline begins with one source, such as query(…), table(…) or files(…), and has no other")
    if kinds[-1] != "sink":
        raise ConfigError("a pipeline ends with a sink, such as to_table(…) or to_files(…)")
    if sorted(kinds, key=order.index) != list(kinds):
        raise ConfigError("the sinks of a pipeline stand at its end: all of them get the rows of the last transform")
