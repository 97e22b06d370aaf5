"""One wait for a lock, as the server tells of it, and the words that messages have for it.

Text that comes from others (queries, names) is shown without what could move a terminal's cursor, and cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from bulkio.show import printable

__all__ = ["Wait"]

#: characters that a message shows of a query or a name
_SHOWN_CHARS = 80

#: pg_locks.locktype of what is kept until its transaction ends; others, such as `tuple`, are given back before that
_KEPT_TO_THE_END = frozenset({"relation", "transactionid", "object", "advisory"})

_MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
#: modes that each mode conflicts with, as places in `_MODES` (PostgreSQL docs, table 13.2)
_CONFLICTS = dict(zip(_MODES, ("7", "67", "4567", "34567", "23567", "234567", "1234567", "01234567"), strict=True))

#: word for each pg_class.relkind; any other is a table
_KINDS = {"i": "index", "I": "index", "S": "sequence", "v": "view", "m": "materialized view", "f": "foreign table"}

#: text that pg_stat_activity has instead of a query that the role may not see
_HIDDEN = "<insufficient privilege>"


@dataclass(frozen=True, slots=True)
class Wait:
    """A process that waits for a lock, and one of those that it waits for: a row of `sql.monitor.waits`."""

    waiter: int
    #: process that is waited for; 0 is a prepared transaction
    blocker: int
    #: mark of the thing that is locked
    tag: str
    locktype: str
    #: mode of the lock that is waited for
    mode: str
    #: seconds for which it has been waited for; None before PostgreSQL 14
    waited_s: float | None
    relation: str
    relation_kind: str | None
    #: mode of the prepared transaction's lock, and its name
    held_mode: str | None
    gid: str | None
    #: role of the process, or owner of the prepared transaction
    role: str | None
    application: str | None
    backend_type: str | None
    state: str | None
    #: seconds since it is in that state, or since it was prepared
    state_s: float | None
    query: str | None

    @property
    def is_conflict(self) -> bool:
        """False where it is a lock of a prepared transaction, and nobody waits for that one."""
        if self.held_mode not in _MODES:
            return True
        return str(_MODES.index(self.held_mode)) in _CONFLICTS.get(self.mode, "")

    @property
    def lasts_to_the_end(self) -> bool:
        """True if what is waited for is given back at the end of its transaction only."""
        return self.locktype in _KEPT_TO_THE_END

    def show_lock(self) -> str:
        """Return what is waited for, such as "a lock on table public.orders"."""
        match self.locktype:
            case "relation":
                return f"a lock on {_KINDS.get(self.relation_kind or '', 'table')} {printable(self.relation)}"
            case "tuple":
                return f"a lock on a row of table {printable(self.relation)}"
            case "transactionid":
                return "a lock on a row or a key"
            case "advisory":
                return "an advisory lock"
        return f"a lock of type {self.locktype}"

    def show_blocker(self, worker: str | None = None) -> str:
        """Return who is waited for, and all that the role may see of it; `worker` is its name in this load, if any."""
        if self.gid is not None:
            facts = [f"role {_cut(self.role)}", f"prepared {self._state_s()} s ago"]
            facts += [] if worker else ["COMMIT PREPARED or ROLLBACK PREPARED ends it"]
            return f"prepared transaction {_cut(self.gid)} ({', '.join(facts)})"
        if self.blocker == 0:
            return "a prepared transaction"
        facts = [] if self.role is None or worker else [f"role {_cut(self.role)}"]
        facts += [f"application {_cut(self.application)}"] if self.application and not worker else []
        facts += [doing] if (doing := self._show_state()) else []
        who = f"{worker} of this load, process {self.blocker}" if worker else f"process {self.blocker}"
        return f"{who} ({', '.join(facts)})" if facts else who

    def _show_state(self) -> str:
        if self.query == _HIDDEN:
            return "what it does is shown to members of pg_read_all_stats only"
        words = [] if self.backend_type in (None, "client backend") else [_cut(self.backend_type)]
        words += [f"{_cut(self.state)} for {self._state_s()} s"] if self.state else []
        query = " ".join((self.query or "").split())
        return " ".join(words) + (f": {_cut(query)}" if query else "")

    def _state_s(self) -> str:
        return f"{max(0.0, self.state_s or 0.0):,.0f}"


def _cut(text: str | None) -> str:
    return printable(text or "", _SHOWN_CHARS)
