"""Plans: what a load or an export is going to do, decided before any of it is done.

Pure: catalog facts, an Arrow schema and options in, a frozen plan out. Every mismatch is found here, and all are told
at once. `--dry-run` prints `describe()`.
"""

from bulkio.plan.around import Around, Statement, plan_around, plan_check, plan_statements
from bulkio.plan.exports import ExportPlan, cursor_query, key_columns, plan_csv_export, plan_export, table_columns
from bulkio.plan.hidden import final_names
from bulkio.plan.lasting import Lasting, plan_lasting
from bulkio.plan.loads import LoadPlan, empty_source, plan_load
from bulkio.plan.merge import Merge
from bulkio.plan.modes import MODES, empties, lock_of, privileges_of, refuse_stray_options
from bulkio.plan.newtypes import missing_types
from bulkio.plan.rebuild import Rebuild, refuse_rows
from bulkio.plan.recorded import recorded_types
from bulkio.plan.refusals import refuse_changed
from bulkio.plan.rejects import rejecting_chunks
from bulkio.plan.replacing import Replacement, plan_replacement
from bulkio.plan.request import Database, Destination, Rows, SourceFacts
from bulkio.plan.sequences import loaded_sequences, with_sequences
from bulkio.plan.sharing import ONE, Sharing
from bulkio.plan.slowness import slow_notes
from bulkio.plan.targets import target_casts
from bulkio.plan.workers import plan_sharing, wanted_chunks, wants_sharing, why_in_order, why_one

__all__ = [
    "MODES",
    "ONE",
    "Around",
    "Database",
    "Destination",
    "ExportPlan",
    "Lasting",
    "LoadPlan",
    "Merge",
    "Rebuild",
    "Replacement",
    "Rows",
    "Sharing",
    "SourceFacts",
    "Statement",
    "cursor_query",
    "empties",
    "empty_source",
    "final_names",
    "key_columns",
    "loaded_sequences",
    "lock_of",
    "missing_types",
    "plan_around",
    "plan_check",
    "plan_csv_export",
    "plan_export",
    "plan_lasting",
    "plan_load",
    "plan_replacement",
    "plan_sharing",
    "plan_statements",
    "privileges_of",
    "recorded_types",
    "refuse_changed",
    "refuse_rows",
    "refuse_stray_options",
    "rejecting_chunks",
    "slow_notes",
    "table_columns",
    "target_casts",
    "wanted_chunks",
    "wants_sharing",
    "why_in_order",
    "why_one",
    "with_sequences",
]
