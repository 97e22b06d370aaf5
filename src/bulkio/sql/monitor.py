"""The question of a load's monitor: who waits for a lock, and for whom.

It may run under any search_path: every operator and name is spelled in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.sql.statements import OWN_PATH, begin

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BEGIN_LOOK", "waits"]

#: Begin a look. pg_stat_activity stands still within a transaction, so each look has its own; outside of one, a pooler
#: may send a statement and its execution to two servers.
BEGIN_LOOK = f"{begin(read_only=True)}; {OWN_PATH}"

# What a lock is on. As one text: IS NOT DISTINCT FROM would look its operators up by the search_path.
_TAG = (
    "pg_catalog.format('%s %s %s %s %s %s %s %s %s %s', l.locktype, l.database, l.relation, l.page, l.tuple,"
    " l.virtualxid, l.transactionid, l.classid, l.objid, l.objsubid)"
)

_OWN_DATABASE = (
    "(SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"
)


def _seconds_since(moment: str) -> str:
    return f"EXTRACT(EPOCH FROM (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) {moment}))::pg_catalog.float8"


def waits(pids: Sequence[int]) -> str:
    """Ask for whom these processes wait, and for whom those wait in turn: one row for each pair.

    The columns are those of `bulkio.transfer.waits.Wait`. A prepared transaction has no process, and the number 0. It
    is found by the locks on the same thing that belong to no process, in whatever mode; its other lock, the one on
    its transaction's number, says which one it is.
    """
    watched = ", ".join(f"{pid:d}" for pid in pids)
    # pg_locks has no waitstart before PostgreSQL 14
    wait_start = "(pg_catalog.to_jsonb(w) OPERATOR(pg_catalog.->>) 'waitstart')::pg_catalog.timestamptz"
    return (
        "WITH RECURSIVE pairs(waiter, blocker) AS (SELECT w.pid, b.pid"  # noqa: S608 - numbers
        f" FROM pg_catalog.unnest(ARRAY[{watched}]::pg_catalog.int4[]) AS w(pid),"
        " pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS b(pid)"
        " UNION SELECT p.blocker, b.pid FROM pairs AS p,"
        " pg_catalog.unnest(pg_catalog.pg_blocking_pids(p.blocker)) AS b(pid)),"
        f" locks AS (SELECT l.*, {_TAG} AS tag FROM pg_catalog.pg_locks AS l),"
        " prepared AS (SELECT h.tag, h.mode, x.gid, x.owner, x.prepared FROM locks AS h"
        " JOIN locks AS own ON own.virtualtransaction OPERATOR(pg_catalog.=) h.virtualtransaction"
        " JOIN pg_catalog.pg_prepared_xacts AS x ON x.transaction OPERATOR(pg_catalog.=) own.transactionid"
        " WHERE h.pid IS NULL AND h.granted AND own.pid IS NULL AND own.granted)"
        " SELECT p.waiter, p.blocker, w.tag, w.locktype, w.mode,"
        f" {_seconds_since(wait_start)},"
        " pg_catalog.format('%s.%s', n.nspname, c.relname), c.relkind::pg_catalog.text,"
        " h.mode, h.gid::pg_catalog.text,"
        " COALESCE(a.usename, h.owner)::pg_catalog.text, a.application_name, a.backend_type, a.state,"
        f" {_seconds_since('COALESCE(a.state_change, h.prepared)')},"
        # the text of a query in another database is in that one's encoding
        f" CASE WHEN a.datid OPERATOR(pg_catalog.=) {_OWN_DATABASE} THEN a.query END"
        " FROM pairs AS p"
        " JOIN locks AS w ON w.pid OPERATOR(pg_catalog.=) p.waiter AND NOT w.granted"
        " LEFT JOIN prepared AS h ON p.blocker OPERATOR(pg_catalog.=) 0 AND h.tag OPERATOR(pg_catalog.=) w.tag"
        " LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) p.blocker"
        # a shared catalog is in no database, which is the number 0
        f" LEFT JOIN pg_catalog.pg_class AS c ON (w.database OPERATOR(pg_catalog.=) {_OWN_DATABASE}"
        " OR w.database OPERATOR(pg_catalog.=) 0) AND c.oid OPERATOR(pg_catalog.=) w.relation"
        " LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
    )
