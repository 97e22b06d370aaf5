"""The load as a program that is killed: it tells on its standard output in which phases it is, and dies at a point.

Otherwise it is the real one. Arguments: folders for sys.path, and JSON: what a `Scene` is made of, and the `point`,
which is {"half": true}; or a phase, which statement of that phase (from 1), and the moment: before it is sent, inside
(it is sent, and its reply not read), or after its reply.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path[:0] = sys.argv[1].split(os.pathsep)

from bulkio.sql.ledger import lock_load

if TYPE_CHECKING:
    from collections.abc import Callable

#: the number that locks the load's id, in parentheses
_LOCK = lock_load("bulkio_ledger", "night", waits=True).partition("lock")[2]

#: phases by the statements that they are told by; the first one that is found counts
_PHASES = {
    "PREPARE": r"^PREPARE TRANSACTION",
    "COMMIT PREPARED 1": r"^COMMIT PREPARED .*:1'",
    "COMMIT PREPARED 2": r"^COMMIT PREPARED .*:2'",
    "ROLLBACK PREPARED": r"^ROLLBACK PREPARED",
    "decision": r"^UPDATE .* SET .*state = 'committing'.* WHERE",
    "abort": r"^UPDATE .* SET .*state = 'aborting'.* WHERE",
    "ledger": r'^(INSERT INTO|DELETE FROM) "bulkio_ledger"."chunks"|^UPDATE .* SET .*state = \'done\'.* WHERE',
    "claim": r'^INSERT INTO "bulkio_ledger"."loads"|' + re.escape(_LOCK),
    "hidden table": r"CREATE TABLE .*bulkio_",
    "index build": r"^CREATE UNIQUE INDEX|ADD CONSTRAINT",
    "rename": r"RENAME TO",
    "merge": r'INSERT INTO "public"."t" AS',
}


#: turns of the event loop in which a statement is sent
_TURNS = 2


class Watch:
    """Tells the phases of a load, and kills it at a point."""

    def __init__(self, point: dict[str, Any]) -> None:
        self.point = point
        self.count = 0
        #: phase that each session was in last: a COMMIT ends that
        self.last: dict[object, str] = {}

    def phase(self, session: object, method: str, statement: object) -> str:
        """Return the phase of a call, "" if it belongs to none."""
        if method == "copy_in":
            return "COPY"
        if statement == "COMMIT":
            return f"COMMIT of {self.last.get(session, 'nothing')}"
        found = (name for name, pattern in _PHASES.items() if re.search(pattern, str(statement), re.DOTALL))
        return next(found, "")

    def moment(self, phase: str) -> str:
        """Count a phase that begins; return at which moment of it to die, "" if at none."""
        self.count += phase == self.point.get("phase")
        here = phase == self.point.get("phase") and self.count == self.point["nth"]
        return str(self.point["moment"]) if here else ""

    def wrap(self, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a session's method that is watched."""

        async def watched(session: object, first: object, *more: object) -> object:
            phase = self.phase(session, method, first)
            if not phase:
                return await call(session, first, *more)
            self.last[session] = phase
            moment = self.moment(phase)
            tell("+", phase)
            if moment == "before":
                die()
            if moment == "inside":
                task = asyncio.ensure_future(call(session, first, *more))
                for _ in range(_TURNS):  # asyncpg has sent it by then; psycopg's thread has begun to
                    await asyncio.sleep(0)
                await asyncio.sleep(0 if task.done() else self.point["inside_s"])
                die()
            try:
                result = await call(session, first, *more)
            finally:
                tell("-", phase)
            if moment == "after":
                die()
            return result

        return watched


def tell(sign: str, phase: str) -> None:
    """Tell that a phase begins (+) or ends (-)."""
    os.write(1, f"{sign}{phase}\n".encode())


def die() -> None:
    """End as a process does that is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Load."""
    from pathlib import Path

    from fault_scene import Scene

    from bulkio.drivers.asyncpg import AsyncpgSession
    from bulkio.drivers.psycopg import PsycopgSession

    spec = json.loads(sys.argv[2])
    point = spec["point"] or {}
    watch = Watch(point)
    for driver in (AsyncpgSession, PsycopgSession):
        for method in ("execute", "fetch", "copy_in"):
            setattr(driver, method, watch.wrap(method, getattr(driver, method)))
    scene = Scene(None, spec["dsn"], Path(spec["folder"]), spec["driver"], spec["mode"], spec["commit"])  # type: ignore[arg-type]
    print("loading", flush=True)  # noqa: T201 - the parent waits for it
    # Whoever was killed may be there for a moment still, and this run meets it.
    scene.load(strike=die if point.get("half") else None, wait=True, retries=5)


if __name__ == "__main__":
    main()
