"""The journal of pipelines: their runs, steps and marks, in tables beside the ledger's.

A run belongs to whoever has its lease, which a heartbeat renews by the server's clock. Leases save work, as locks do;
that a repeat stores nothing twice is up to the load ids.
"""

from bulkio.transfer.journal.journal import Journal, Schedule, open_journal
from bulkio.transfer.journal.lists import gc_runs, list_runs, show_run
from bulkio.transfer.journal.records import (
    DATE,
    Mark,
    RunFacts,
    RunKind,
    RunRecord,
    StepRecord,
    StepState,
    without_passwords,
)
from bulkio.transfer.journal.run import Run

__all__ = [
    "DATE",
    "Journal",
    "Mark",
    "Run",
    "RunFacts",
    "RunKind",
    "RunRecord",
    "Schedule",
    "StepRecord",
    "StepState",
    "gc_runs",
    "list_runs",
    "open_journal",
    "show_run",
    "without_passwords",
]
