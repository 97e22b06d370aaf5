"""Loads with rejects in processes that are killed, as `client` has it, each forked from this one: that is quick.

Reads a line of JSON for each: which `call` of bulkio's to make, its arguments, and the `point` or the seconds to be
killed at. Points of `client`, and further ones around what is done on disk. Answers with a line of JSON: what the
process has told of its phases, its exit status, and its report or error.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path[:0] = sys.argv[1].split(os.pathsep)

from client import Watch, die, tell

import bulkio.sync  # and with it all that a load imports, once for all processes
from bulkio.drivers.asyncpg import AsyncpgSession
from bulkio.drivers.psycopg import PsycopgSession
from bulkio.files.rejects import RejectFile, assembly, file, folder
from bulkio.plan import rejects as plan_rejects

if TYPE_CHECKING:
    from collections.abc import Callable

_WALK = r"^SAVEPOINT bulkio_walk"
#: functions that change the disk, as phases: what has them, their name there, and the phase
_ON_DISK: tuple[tuple[Any, str, str], ...] = (
    (RejectFile, "begin", "begin"),
    (RejectFile, "store", "part"),
    (RejectFile, "store_staged", "staged part"),
    (RejectFile, "mark_committing", "mark"),
    (RejectFile, "finish", "finish"),
    (file, "assemble", "assemble"),
    (assembly, "reason_lines", "lines"),
    (folder.PartsFolder, "remove", "removal"),
    (folder, "_clear", "clearing"),
)


class RejectWatch(Watch):
    """Knows more phases."""

    def phase(self, session: object, method: str, statement: object) -> str:
        """Return the phase of a call, "" if it belongs to none."""
        return "walk" if re.search(_WALK, str(statement)) else super().phase(session, method, statement)

    def wrap_on_disk(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that is watched."""

        def watched(*args: object, **options: object) -> object:
            moment = self.moment(phase)
            tell("+", phase)
            if moment == "before":
                die()
            try:
                result = call(*args, **options)
            finally:
                tell("-", phase)
            if moment == "after":
                die()
            return result

        return watched

    def replaced(self, path: Path, target: Path) -> Path:
        """Rename a file; one that leaves the folder of the parts is in the phase "name"."""
        if path.parent.name.endswith(".parts") and path.parent != Path(target).parent:
            return self.wrap_on_disk("name", _replace)(path, target)
        return _replace(path, target)


_replace = Path.replace


def _carry_out(spec: dict[str, Any]) -> dict[str, Any]:
    """Do what one process is forked for."""
    watch = RejectWatch(spec["point"] or {})
    for driver in (AsyncpgSession, PsycopgSession):
        for method in ("execute", "fetch", "copy_in"):
            setattr(driver, method, watch.wrap(method, getattr(driver, method)))
    for owner, name, phase in _ON_DISK:
        setattr(owner, name, watch.wrap_on_disk(phase, getattr(owner, name)))

    def replaced(path: Path, target: Path) -> Path:
        return watch.replaced(path, target)

    Path.replace = replaced  # type: ignore[method-assign]
    plan_rejects._LEAST_BYTES = spec["least_bytes"]
    if spec["kill_after_s"] is not None:  # nobody handles it: it kills at once
        signal.setitimer(signal.ITIMER_REAL, spec["kill_after_s"])
    try:
        report = getattr(bulkio, spec["call"])(*spec["args"], **spec["options"])
    except bulkio.BulkioError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"report": report.as_dict()}


def _forked(spec: dict[str, Any]) -> dict[str, Any]:
    """Carry it out in a process of its own; return what that has told, and its exit status."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        os.write(1, b"=" + json.dumps(_carry_out(spec)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        *told, last = pipe.read().split("\n")
    _, status = os.waitpid(child, 0)
    done = json.loads(last[1:]) if last.startswith("=") and status == 0 else {}
    return {"told": told, "status": status, **done}


def main() -> None:
    """Fork for each line."""
    for line in sys.stdin:
        print(json.dumps(_forked(json.loads(line))), flush=True)  # noqa: T201 - the parent waits for it


if __name__ == "__main__":
    main()
