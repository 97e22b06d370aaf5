"""Settings that make bulk loads slow, or end them.

What they are held against is PostgreSQL's manual ("Populating a Database", "Write Ahead Log") and what bulkio's own
embedded server is set to (`server.settings`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.plan.doctor.finding import fail, ok, shown_bytes, unseen, warn
from bulkio.quote import quote_literal
from bulkio.show import printable, show_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bulkio.catalog.health.server import Setting
    from bulkio.plan.doctor.finding import Finding

__all__ = ["connection_count", "settings_findings"]

#: names of settings that every PostgreSQL from 13 on has
_NEEDED = (
    *("max_wal_size", "checkpoint_timeout", "wal_compression", "maintenance_work_mem", "max_prepared_transactions"),
    *("session_replication_role", "shared_buffers", "autovacuum", "lock_timeout", "temp_file_limit", "max_connections"),
    *("fsync", "synchronous_commit"),
)
_MIB, _GIB = 1 << 20, 1 << 30
_RELOAD = "; SELECT pg_reload_conf()"
_RESTART = "; then restart the server"


def settings_findings(settings: Sequence[Setting]) -> Iterator[Finding]:
    """Judge the settings that a new session of the role has."""
    found = {setting.name: setting for setting in settings}
    if lacking := [name for name in _NEEDED if name not in found]:  # a server that is PostgreSQL in part
        yield unseen("wal_size", f"the server has no setting {', '.join(lacking)}")
        return
    yield _wal_size(found["max_wal_size"])
    yield _checkpoints(found["checkpoint_timeout"])
    yield ok(
        "compression", f"wal_compression is {found['wal_compression'].value}: on writes less log for more CPU time"
    )
    yield _index_memory(found["maintenance_work_mem"])
    yield _two_phase(found["max_prepared_transactions"])
    yield _durability(found)
    yield _triggers_off(found["session_replication_role"])
    yield _buffers(found["shared_buffers"])
    yield _autovacuum(found["autovacuum"])
    yield from _limits(found)
    yield _temp_limit(found["temp_file_limit"])
    yield _client_check(found.get("client_connection_check_interval"))


def _alter(name: str, value: str, then: str = _RELOAD) -> str:
    return f"ALTER SYSTEM SET {name} = {quote_literal(value)}{then}"


def _reset(setting: Setting, value: str) -> str:
    """Return what undoes a setting where it was made."""
    return setting.reset or _alter(setting.name, value)


def _wal_size(setting: Setting) -> Finding:
    text = f"max_wal_size is {shown_bytes(setting.number)}"
    if setting.number >= 4 * _GIB:
        return ok("wal_size", text)
    why = "a bulk load fills it often, and after each checkpoint every page that is touched is logged whole once more"
    return warn("wal_size", f"{text}: {why}", _alter("max_wal_size", "8GB"))


def _checkpoints(setting: Setting) -> Finding:
    text = f"checkpoint_timeout is {setting.number // 1000} s"
    if setting.number >= 300_000:
        return ok("checkpoints", text)
    return warn("checkpoints", f"{text}: checkpoints in the middle of a load", _alter("checkpoint_timeout", "15min"))


def _index_memory(setting: Setting) -> Finding:
    text = f"maintenance_work_mem is {shown_bytes(setting.number)}"
    if setting.number >= 256 * _MIB:
        return ok("index_memory", text)
    why = "indexes that are built after the rows (replace, defer_indexes) sort in files, and foreign keys take longer"
    return warn("index_memory", f"{text}: {why}", _reset(setting, "512MB"))


def _two_phase(setting: Setting) -> Finding:
    if setting.number:
        return ok("two_phase", f"max_prepared_transactions is {setting.number}: several workers can commit as one")
    return warn(
        "two_phase",
        "max_prepared_transactions is 0: an append by several workers that commits as one goes over one connection",
        _alter("max_prepared_transactions", "64", _RESTART),
    )


def _durability(found: Mapping[str, Setting]) -> Finding:
    values = {name: found[name].value for name in ("fsync", "full_page_writes", "synchronous_commit") if name in found}
    if off := [name for name in ("fsync", "full_page_writes") if values.get(name) == "off"]:
        text = f"{' and '.join(off)}: off, a crash of the machine can destroy the database"
        return warn("durability", text, "; ".join(_alter(name, "on") for name in off))
    if values.get("synchronous_commit") == "off":
        text = "synchronous_commit: off, a crash can lose loads that were reported as done"
        return warn("durability", text, _reset(found["synchronous_commit"], "on"))
    return ok("durability", f"what is committed is on disk (synchronous_commit is {values['synchronous_commit']})")


def _triggers_off(setting: Setting) -> Finding:
    if setting.value != "replica":
        return ok("triggers_off", f"session_replication_role is {setting.value}")
    text = "session_replication_role is replica: triggers do not fire, and foreign keys are not checked"
    return warn("triggers_off", text, _reset(setting, "origin"))


def _buffers(setting: Setting) -> Finding:
    text = f"shared_buffers is {shown_bytes(setting.number)}"
    if setting.number >= 128 * _MIB:
        return ok("buffers", text)
    why = "indexes that do not fit are read again and again; a quarter of the memory is usual"
    return warn("buffers", f"{text}: {why}", _alter("shared_buffers", "1GB", _RESTART))


def _autovacuum(setting: Setting) -> Finding:
    if setting.value == "on":
        return ok("autovacuum", "autovacuum is on")
    text = "autovacuum is off: what upserts replace is never cleared away, and the planner knows nothing of new rows"
    return warn("autovacuum", text, _alter("autovacuum", "on"))


#: limits that loads lift for themselves, unless the connection string has them
_LIFTED = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")


def _limits(found: Mapping[str, Setting]) -> Iterator[Finding]:
    limits = [found[name] for name in _LIFTED if name in found and found[name].number]
    shown = ", ".join(f"{each.name} is {each.number} ms" for each in limits)
    kept = [each for each in limits if each.now == each.value]
    if kept:
        names = ", ".join(each.name for each in kept)
        text = f"{shown}: the connection string asks for {names}, so that a longer load ends in an error"
        yield fail("time_limits", text, f"leave {names} out of the connection string's options")
    elif limits:
        yield ok("time_limits", f"{shown}: loads and exports lift it for themselves")
    else:
        yield ok("time_limits", "no statement or transaction is limited in time")
    yield _lock_limit(found["lock_timeout"])


def _lock_limit(setting: Setting) -> Finding:
    if not setting.number:
        return ok("lock_limit", "locks are waited for without limit")
    text = f"lock_timeout is {setting.number} ms: a load that waits longer for its table ends in an error"
    return warn("lock_limit", text, f"{show_option('lock_timeout', '10min')}, or: {_reset(setting, '0')}")


def _temp_limit(setting: Setting) -> Finding:
    if setting.value == "-1":
        return ok("temp_limit", "temporary files are not limited")
    text = f"temp_file_limit is {shown_bytes(setting.number)}: sorts of a large index or upsert end in an error there"
    return warn("temp_limit", text, _reset(setting, "-1"))


def _client_check(setting: Setting | None) -> Finding:
    if setting is None:
        text = "before PostgreSQL 14 the server does not notice that the client of a long statement has gone"
    elif setting.number:
        text = f"client_connection_check_interval is {setting.number} ms"
    else:
        text = "client_connection_check_interval is 0: loads with an id set it for themselves"
    return ok("client_check", text)


def connection_count(settings: Sequence[Setting], in_use: int) -> Finding:
    """Judge how many connections are left."""
    found = {setting.name: setting for setting in settings}
    if "max_connections" not in found:
        return unseen("connections", "the server has no setting max_connections")
    kept = [found[name].number for name in ("superuser_reserved_connections", "reserved_connections") if name in found]
    most = found["max_connections"].number - sum(kept)
    text = f"{in_use} of {most} connections are in use"
    if most - in_use > max(5, most // 10):
        return ok("connections", text)
    more = printable(str(2 * found["max_connections"].number))
    remedy = (
        f"end idle sessions (pg_stat_activity), put a pooler in between, or {_alter('max_connections', more, _RESTART)}"
    )
    return warn("connections", f"{text}: a load with several workers may get none", remedy)
