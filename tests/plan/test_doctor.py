"""What the doctor makes of facts that no test server can have at once: settings of a whole server, and networks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bulkio.catalog import TableName
from bulkio.catalog.health.leftovers import Slot
from bulkio.catalog.health.server import PathFacts, ServerFacts, Setting
from bulkio.plan.doctor import (
    CHECKS,
    LedgerState,
    Link,
    connection_count,
    connection_findings,
    ledger_findings,
    no_table,
    privilege_findings,
    settings_findings,
    slot_findings,
)

SERVER = ServerFacts("18.3", "db", "ann", 7, 0.0, False, False, True, True, True)
LINK = Link("asyncpg", (), True, False, "verify-full", 0.001, 7, 0.1, 180003, "UTF8")
#: values of a server that is made for bulk loads, with their units
GOOD = {
    "autovacuum": ("on", None),
    "checkpoint_timeout": ("900", "s"),
    "client_connection_check_interval": ("0", "ms"),
    "fsync": ("on", None),
    "full_page_writes": ("on", None),
    "idle_in_transaction_session_timeout": ("0", "ms"),
    "lock_timeout": ("0", "ms"),
    "maintenance_work_mem": ("524288", "kB"),
    "max_connections": ("100", None),
    "max_prepared_transactions": ("64", None),
    "max_wal_size": ("8192", "MB"),
    "session_replication_role": ("origin", None),
    "shared_buffers": ("131072", "8kB"),
    "statement_timeout": ("0", "ms"),
    "superuser_reserved_connections": ("3", None),
    "synchronous_commit": ("on", None),
    "temp_file_limit": ("-1", "kB"),
    "wal_compression": ("off", None),
}


def judged(**values: str) -> dict[str, tuple[str, str, str]]:
    """Return level, text and remedy of each check that is not ok, with these settings."""
    settings = [
        Setting(name, values.get(name, value), unit, values.get(name, value), "")
        for name, (value, unit) in GOOD.items()
    ]
    found = [*settings_findings(settings), connection_count(settings, 3)]
    assert [each.check for each in found] == list(CHECKS["settings"])
    return {each.check: (each.level, each.text, each.remedy) for each in found if each.level != "ok"}


@pytest.mark.parametrize(
    ("values", "check", "text", "remedy"),
    [
        ({"max_wal_size": "1024"}, "wal_size", "is 1GB", "SET max_wal_size = '8GB'; SELECT pg_reload_conf()"),
        ({"checkpoint_timeout": "30"}, "checkpoints", "is 30 s", "SET checkpoint_timeout = '15min'"),
        ({"maintenance_work_mem": "65536"}, "index_memory", "is 64MB", "SET maintenance_work_mem = '512MB'"),
        ({"max_prepared_transactions": "0"}, "two_phase", "is 0", "= '64'; then restart"),
        ({"fsync": "off"}, "durability", "fsync: off", "SET fsync = 'on'"),
        ({"synchronous_commit": "off"}, "durability", "can lose loads", "SET synchronous_commit = 'on'"),
        ({"session_replication_role": "replica"}, "triggers_off", "is replica", "= 'origin'"),
        ({"shared_buffers": "2048"}, "buffers", "is 16MB", "SET shared_buffers = '1GB'; then restart"),
        ({"autovacuum": "off"}, "autovacuum", "is off", "SET autovacuum = 'on'"),
        ({"lock_timeout": "5000"}, "lock_limit", "is 5000 ms", "lock_timeout='10min'"),
        ({"temp_file_limit": "1048576"}, "temp_limit", "is 1GB", "SET temp_file_limit = '-1'"),
        ({"max_connections": "8"}, "connections", "3 of 5", "SET max_connections = '16'"),
    ],
)
def test_settings(values: dict[str, str], check: str, text: str, remedy: str) -> None:
    """Each is told alone, with the value it has and one that is better."""
    assert judged() == {}
    [(name, found)] = judged(**values).items()
    assert (name, found[0]) == (check, "warn")
    assert text in found[1]
    assert remedy in found[2]


def test_a_server_that_is_postgresql_in_part() -> None:
    """Settings that it does not have are told, and nothing fails."""
    [found] = settings_findings([])
    assert found.text.startswith("could not be looked at: the server has no setting max_wal_size, ")
    assert connection_count([], 3).level == "warn"


@pytest.mark.parametrize(
    ("facts", "check", "level", "text"),
    [
        (
            {"driver": "psycopg", "refusals": ("channel_binding: no",)},
            "driver",
            "ok",
            "cannot honour channel_binding: no",
        ),
        ({"latency_s": 0.2}, "latency", "warn", "takes 200.0 ms"),
        ({"tls": False}, "tls", "warn", "no TLS: whoever"),
        ({"sslmode": "require"}, "tls", "warn", "sslmode=require lets any server pass"),
        ({"tls": False, "is_local": True}, "tls", "ok", "no network"),
        ({"server_version": 120_022}, "version", "fail", "needs 13 or later"),
        ({"server_version": 190_000}, "version", "warn", "newer than"),
        ({"login_pid": 8}, "pooler", "warn", "a pooler is in between: process 7"),
        ({"encoding": "WIN1252"}, "encoding", "warn", "WIN1252: text with characters that it lacks"),
        ({"ahead_s": -60.0}, "clock", "warn", "60.0 s behind"),
    ],
)
def test_connections(facts: dict[str, object], check: str, level: str, text: str) -> None:
    """Each fact has its own finding, and changes no other."""
    good = {each.check: each for each in connection_findings(LINK, SERVER)}
    assert {each.level for each in good.values()} == {"ok"}
    found = {each.check: each for each in connection_findings(replace(LINK, **facts), SERVER)}
    assert list(found) == list(CHECKS["connection"])
    assert [name for name in found if found[name] != good[name]] == [check]
    assert found[check].level == level
    assert text in found[check].text


def test_a_path_without_schemas() -> None:
    """A new table would have no place."""
    [schema, *_] = privilege_findings(SERVER, PathFacts(None, '"$user", nowhere', may_create=False))
    assert (schema.level, '"$user", nowhere' in schema.text) == ("warn", True)


def test_a_ledger_that_is_to_be_made() -> None:
    """The command is one for a shell, whatever the names."""
    state = LedgerState("a b", exists=False, fault="", lacking={})
    found = list(ledger_findings(state, replace(SERVER, role="it's", may_create_schema=False)))
    assert [each.check for each in found] == ["ledger", "chunks", "journal"]
    assert found[0].remedy.startswith("bulkio loads ddl --ledger-schema 'a b' --role 'it'\"'\"'s' | psql")


def test_a_table_that_would_be_made() -> None:
    """That is no fault, but perhaps a slip."""
    found = no_table(TableName("s", "ordrs"), TableName("s", "orders"), may_create=True)
    assert (found.level, found.text) == ("ok", "s.ordrs is not there: a load makes it; did you mean s.orders?")


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        (Slot("s", True, "reserved", 1 << 20), "1 replication slots, in use"),
        (Slot("s", True, "extended", 20 << 30), 'slot "s" is in use and holds 20GB of the log: loads fill the disk'),
        (Slot("s", False, "reserved", 5 << 20), 'slot "s" is not in use and holds 5MB of the log: loads fill the disk'),
        (Slot("s", False, "lost", 0), 'slot "s" is not in use, and what it needs of the log is gone'),
    ],
)
def test_slots(slot: Slot, text: str) -> None:
    """What they hold of the log is what counts."""
    assert [each.text for each in slot_findings([slot])] == [text]
