"""Pipelines: stages that batches stream through, and files of steps that run every night.

    spec = bulkio.pipeline.read_pipeline("pipelines/nightly.toml")
    report = await bulkio.pipeline.run_pipeline(spec.path)

`bulkio.run_pipeline` is the same without await; `bulkio.pipeline.stages` has the stages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkio.pipeline.run.kinds import Context
    from bulkio.pipeline.run.plan import StepPlan, plan_pipeline
    from bulkio.pipeline.run.report import RunReport, StepReport
    from bulkio.pipeline.run.run import run_pipeline
    from bulkio.pipeline.spec.models import Schedule, Spec
    from bulkio.pipeline.spec.read import find_pipelines, read_pipeline

__all__ = [
    "Context",
    "RunReport",
    "Schedule",
    "Spec",
    "StepPlan",
    "StepReport",
    "find_pipelines",
    "plan_pipeline",
    "read_pipeline",
    "run_pipeline",
]

# Imported when they are first used: not everybody has pipelines.
_HOMES = {
    "Context": "run.kinds",
    "RunReport": "run.report",
    "StepPlan": "run.plan",
    "StepReport": "run.report",
    "plan_pipeline": "run.plan",
    "run_pipeline": "run.run",
    "Schedule": "spec.models",
    "Spec": "spec.models",
    "find_pipelines": "spec.read",
    "read_pipeline": "spec.read",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
