"""What was left behind, or holds others up: prepared and long transactions, tables of bulkio's own, slots."""

from __future__ import annotations

from dataclasses import dataclass

from bulkio.catalog.question import Question

__all__ = [
    "LongTransaction",
    "OwnTable",
    "Prepared",
    "Slot",
    "held_locks_query",
    "long_transactions_query",
    "own_tables_query",
    "prepared_query",
    "slots_query",
]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared transaction of this database."""

    name: str
    owner: str
    age_s: float


def _age(since: str) -> str:
    return f"extract(epoch FROM pg_catalog.clock_timestamp() - {since})::pg_catalog.float8"


def prepared_query() -> Question[Prepared]:
    """Ask for this database's prepared transactions, the oldest first."""
    columns = {
        "name": "p.gid::pg_catalog.text",
        "owner": "p.owner::pg_catalog.text",
        "age_s": _age("p.prepared"),
    }
    rest = """FROM pg_catalog.pg_prepared_xacts AS p
        WHERE p.database = pg_catalog.current_database() ORDER BY p.prepared"""
    return Question(Prepared, columns, rest)


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table whose name is one of those that bulkio makes for itself."""

    schema: str
    name: str

    @property
    def tag(self) -> str:
        """What tells the load that it belongs to; "" if the name has none."""
        return self.name.rpartition("_")[2]


def own_tables_query() -> Question[OwnTable]:
    """Ask for the tables that bulkio has made for itself, and committed.

    Not for their sizes: that would wait for a load's last transaction, which has its table for itself.
    """
    columns = {
        "schema": "n.nspname::pg_catalog.text",
        "name": "c.relname::pg_catalog.text",
    }
    rest = """FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND c.relpersistence <> 't'
          AND c.relname ~ '^bulkio_(staging|new|replaces_[0-9]+)_[0-9a-f]{16}$' ORDER BY 1, 2"""
    return Question(OwnTable, columns, rest)


def held_locks_query() -> Question[int]:
    """Ask for the keys of the advisory locks that somebody holds in this database, prepared transactions too."""
    columns = {"key": "((l.classid::pg_catalog.int8 << 32) | l.objid::pg_catalog.int8)"}
    rest = """FROM pg_catalog.pg_locks AS l WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                           WHERE d.datname = pg_catalog.current_database())"""
    return Question(_key, columns, rest)


def _key(*, key: int) -> int:
    return key


@dataclass(frozen=True, slots=True)
class LongTransaction:
    """A session whose transaction began long ago."""

    pid: int
    role: str
    application: str
    state: str
    age_s: float


def long_transactions_query(older_than_s: int) -> Question[LongTransaction]:
    """Ask for the client sessions of this database whose transactions are older, the oldest first."""
    columns = {
        "pid": "a.pid",
        "role": "coalesce(a.usename::pg_catalog.text, '')",
        "application": "coalesce(a.application_name, '')",
        "state": "coalesce(a.state, '')",
        "age_s": _age("a.xact_start"),
    }
    rest = f"""FROM pg_catalog.pg_stat_activity AS a
        WHERE a.datname = pg_catalog.current_database() AND a.backend_type = 'client backend'
          AND a.pid <> pg_catalog.pg_backend_pid()
          AND a.xact_start < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => {older_than_s:d})
        ORDER BY a.xact_start"""
    return Question(LongTransaction, columns, rest)


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot."""

    name: str
    active: bool
    #: pg_replication_slots.wal_status; None if it holds nothing
    wal_status: str | None
    #: bytes of the log that it holds
    held_bytes: int


def slots_query() -> Question[Slot]:
    """Ask for the replication slots, the one that holds most first."""
    position = """CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
        ELSE pg_catalog.pg_current_wal_lsn() END"""
    columns = {
        "name": "s.slot_name::pg_catalog.text",
        "active": "s.active",
        "wal_status": "s.wal_status",
        "held_bytes": f"coalesce(pg_catalog.pg_wal_lsn_diff({position}, s.restart_lsn), 0)::pg_catalog.int8",
    }
    return Question(Slot, columns, "FROM pg_catalog.pg_replication_slots AS s WHERE NOT s.temporary ORDER BY 4 DESC, 1")
