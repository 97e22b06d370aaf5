"""What dead runs of bulkio's, and others, have left behind: what holds locks, room, or the log."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.choices import LEDGER_SCHEMA
from bulkio.plan.doctor.finding import Finding, fail, ok, shown_age, shown_bytes, warn
from bulkio.quote import qualified, quote_literal
from bulkio.show import printable, show_flag, show_name, show_option, show_value
from bulkio.sql.ledger import lock_key, prefix_of, tag_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set

    from bulkio.catalog.health.leftovers import LongTransaction, OwnTable, Prepared, Slot

__all__ = [
    "LONG_S",
    "Unfinished",
    "load_findings",
    "long_transaction_findings",
    "own_table_findings",
    "prepared_findings",
    "run_findings",
    "slot_findings",
    "unfinished",
]

#: seconds after which a transaction is long
LONG_S = 3600
#: seconds that a prepared transaction of two phases takes at most, as a rule
_PREPARED_S = 60
#: what the names of bulkio's prepared transactions begin with
_OURS = "bulkio:"
#: bytes of the log that a slot in use may hold
_HELD_BYTES = 10 << 30


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The loads that the ledger has as unfinished."""

    #: schema of the ledger
    schema: str
    #: ids, each with the run that has begun it
    runs: Mapping[str, str]
    #: ids of those that a run is at work on
    alive: Set[str]


def unfinished(schema: str, runs: Mapping[str, str], held: Set[int]) -> Unfinished:
    """Tell which loads are at work; `held` are the keys of the advisory locks that somebody has."""
    return Unfinished(schema, runs, {load_id for load_id in runs if lock_key(schema, load_id) in held})


def prepared_findings(found: Sequence[Prepared], loads: Unfinished) -> Iterator[Finding]:
    """Judge prepared transactions, but those of loads that are at work."""
    names = {prefix_of(loads.schema, load_id): load_id for load_id in loads.runs}
    is_told = False
    for each in found:
        load_id = next((load for prefix, load in names.items() if each.name.startswith(prefix)), None)
        if each.age_s >= _PREPARED_S and load_id not in loads.alive:
            is_told = True
            yield _prepared(each, loads.schema, load_id)
    if not is_told:
        yield ok("prepared", f"{len(found)}, of work that goes on" if found else "no prepared transaction")


def _prepared(each: Prepared, schema: str, load_id: str | None) -> Finding:
    age = f"prepared {shown_age(each.age_s)} ago by role {show_name(each.owner)}"
    held = "it keeps its locks, and VACUUM from clearing away, until it ends"
    name = show_value(each.name)
    if load_id is not None:
        text = f"{name} of load {show_value(load_id)}, {age}: {held}"
        return fail("prepared", text, _go_on(schema, load_id))
    end = f"ROLLBACK PREPARED {quote_literal(each.name)}, or COMMIT PREPARED if all others of it were committed"
    if each.name.startswith(_OURS):
        text = f"{name} is bulkio's, of a load that this ledger does not have as unfinished; {age}: {held}"
        return fail("prepared", text, f"look for its ledger ({show_option('ledger_schema')}); if there is none: {end}")
    return fail("prepared", f"{name}, {age}: {held}", f"ask who has prepared it, then {end}")


def _go_on(schema: str, load_id: str) -> str:
    """Return the commands that end an unfinished load, one way or the other."""
    option = "" if schema == LEDGER_SCHEMA else f" {show_flag('ledger_schema')} {shlex.quote(schema)}"
    name = shlex.quote(load_id)
    return f"bulkio loads resume {name}{option}, or: bulkio loads forget {name}{option}"


def own_table_findings(found: Sequence[OwnTable], loads: Unfinished) -> Iterator[Finding]:
    """Judge the tables that bulkio has made for itself: those of unfinished loads are needed."""
    needed = {tag_of(loads.schema, load_id, run) for load_id, run in loads.runs.items()}
    orphans = [table for table in found if table.tag not in needed]
    if not orphans:
        text = f"{len(found)} staging tables, of unfinished loads" if found else "no staging table is left"
        yield ok("own_tables", text)
    for table in orphans:
        name = qualified(table.schema, table.name)
        text = f"{printable(name)} belongs to no unfinished load of this ledger"
        yield warn("own_tables", text, f"if no other ledger ({show_option('ledger_schema')}) has it: DROP TABLE {name}")


def load_findings(loads: Unfinished) -> Iterator[Finding]:
    """Judge unfinished loads: those that nobody is at work on."""
    dead = [load_id for load_id in loads.runs if load_id not in loads.alive]
    if not dead:
        yield ok(
            "loads", f"{len(loads.alive)} unfinished, at work just now" if loads.alive else "no load is unfinished"
        )
    for load_id in dead:
        text = f"load {show_value(load_id)} is unfinished, and nobody is at work on it"
        yield warn("loads", text, _go_on(loads.schema, load_id))


def run_findings(lost: Sequence[str], schema: str) -> Iterator[Finding]:
    """Judge runs of pipelines that are recorded as running, and whose owners have not been heard of."""
    option = "" if schema == LEDGER_SCHEMA else f" {show_flag('ledger_schema')} {shlex.quote(schema)}"
    if not lost:
        yield ok("runs", "no run of a pipeline is lost")
    for name in lost:
        text = f"run {show_value(name)} is recorded as running, and its lease has run out: its process is gone"
        yield warn("runs", text, f"bulkio runs resume {shlex.quote(name)}{option}")


def long_transaction_findings(found: Sequence[LongTransaction], *, sees_others: bool) -> Iterator[Finding]:
    """Judge transactions that began long ago."""
    if not found:
        hidden = "" if sees_others else " (those of other roles are hidden: GRANT pg_read_all_stats shows them)"
        yield ok("long_transactions", f"none is older than {shown_age(LONG_S)}{hidden}")
    for each in found:
        who = f"role {show_name(each.role)}, application {show_value(printable(each.application))}"
        text = (
            f"process {each.pid} ({who}, {each.state}) began its transaction {shown_age(each.age_s)} ago: VACUUM clears"
            " nothing away that was deleted since"
        )
        yield warn("long_transactions", text, f"if nobody needs it: SELECT pg_terminate_backend({each.pid})")


def slot_findings(found: Sequence[Slot]) -> Iterator[Finding]:
    """Judge replication slots by the log that they hold."""
    bad = [slot for slot in found if not slot.active or slot.held_bytes > _HELD_BYTES]
    if not bad:
        yield ok("slots", f"{len(found)} replication slots, in use" if found else "no replication slot")
    for slot in bad:
        held = shown_bytes(slot.held_bytes)
        state = "is in use" if slot.active else "is not in use"
        if slot.wal_status == "lost":
            text = f"slot {show_name(slot.name)} {state}, and what it needs of the log is gone"
        else:
            text = f"slot {show_name(slot.name)} {state} and holds {held} of the log: loads fill the disk"
        drop = f"let its subscriber go on, or: SELECT pg_drop_replication_slot({quote_literal(slot.name)})"
        yield warn("slots", text, drop)
