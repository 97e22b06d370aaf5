"""Stages: batches stream from a source through transforms and checks into one sink or several.

    from bulkio.pipeline import stages as p

    report = await p.Pipeline(
        p.query("select * from orders", dsn),
        p.sql("select id, upper(name) as name from input"),
        p.not_null("id"),
        p.to_table("clean_orders", dsn, mode="replace"),
    ).run()

docs/stages.md tells of each.
"""

from bulkio.pipeline.stages.checks import accepted, check_sql, fresh, not_null, row_count, unique
from bulkio.pipeline.stages.duck import sql
from bulkio.pipeline.stages.parts import Batches, Place, Sink, Source, Transform, Work
from bulkio.pipeline.stages.pipeline import Pipeline
from bulkio.pipeline.stages.report import PipelinePlan, PipelineReport, StagePlan, StageReport
from bulkio.pipeline.stages.sinks import to_files, to_table
from bulkio.pipeline.stages.sources import arrow, batches, files, query, table
from bulkio.pipeline.stages.transforms import cast, drop, filter, map, rename  # noqa: A004 - their names here

__all__ = [
    "Batches",
    "Pipeline",
    "PipelinePlan",
    "PipelineReport",
    "Place",
    "Sink",
    "Source",
    "StagePlan",
    "StageReport",
    "Transform",
    "Work",
    "accepted",
    "arrow",
    "batches",
    "cast",
    "check_sql",
    "drop",
    "files",
    "filter",
    "fresh",
    "map",
    "not_null",
    "query",
    "rename",
    "row_count",
    "sql",
    "table",
    "to_files",
    "to_table",
    "unique",
]
