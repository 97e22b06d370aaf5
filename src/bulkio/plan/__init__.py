"""Plans: what a load or an export is going to do, decided before any of it is done.

Pure: catalog facts, an Arrow schema and options in, a frozen plan out. Every mismatch is found here, and all are told
at once. `--dry-run` prints `describe()`.
"""

from bulkio.plan.exports import ExportPlan, cursor_query, key_columns, plan_csv_export, plan_export, table_columns
from bulkio.plan.loads import LoadPlan, plan_load
from bulkio.plan.newtypes import missing_types
from bulkio.plan.recorded import recorded_types
from bulkio.plan.refusals import refuse_changed
from bulkio.plan.request import Database, Destination, Rows, SourceFacts
from bulkio.plan.sequences import loaded_sequences, with_sequences

__all__ = [
    "Database",
    "Destination",
    "ExportPlan",
    "LoadPlan",
    "Rows",
    "SourceFacts",
    "cursor_query",
    "key_columns",
    "loaded_sequences",
    "missing_types",
    "plan_csv_export",
    "plan_export",
    "plan_load",
    "recorded_types",
    "refuse_changed",
    "table_columns",
    "with_sequences",
]
