"""What `bulkio doctor` makes of the facts: a finding for each thing that it looks at. Pure."""

from bulkio.plan.doctor.connection import Link, connection_findings
from bulkio.plan.doctor.finding import CHECKS, Finding, Level, unseen
from bulkio.plan.doctor.leftovers import (
    Unfinished,
    load_findings,
    long_transaction_findings,
    own_table_findings,
    prepared_findings,
    run_findings,
    slot_findings,
    unfinished,
)
from bulkio.plan.doctor.privileges import LedgerState, ledger_findings, privilege_findings
from bulkio.plan.doctor.settings import connection_count, settings_findings
from bulkio.plan.doctor.table import no_table, table_findings

__all__ = [
    "CHECKS",
    "Finding",
    "LedgerState",
    "Level",
    "Link",
    "Unfinished",
    "connection_count",
    "connection_findings",
    "ledger_findings",
    "load_findings",
    "long_transaction_findings",
    "no_table",
    "own_table_findings",
    "prepared_findings",
    "privilege_findings",
    "run_findings",
    "settings_findings",
    "slot_findings",
    "table_findings",
    "unfinished",
    "unseen",
]
