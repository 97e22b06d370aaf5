"""Running the real program in a subprocess, with a pseudo terminal where wanted, and looking at its database."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

PROGRAM = [sys.executable, "-m", "bulkio"]
#: far more than any program takes, on a machine that does much else
TIMEOUT_S = 120


@dataclass
class Done:
    """How the program ended."""

    code: int
    out: str
    err: str


class Program:
    """Runs `bulkio`, with the test's database in BULKIO_DSN."""

    def __init__(self, dsn: str | None) -> None:
        self.env = dict(os.environ)
        if dsn is not None:
            self.env["BULKIO_DSN"] = dsn
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *args: object, **settings: Any) -> Done:
        """Run it to its end."""
        return self.finish(self.start(*args, **settings))

    def start(
        self, *args: object, env: dict[str, str] | None = None, by: Sequence[str] = (), **settings: Any
    ) -> subprocess.Popen[str]:
        """Start it, through another program (`by` and its arguments) if wanted."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [*by, *PROGRAM, *map(str, args)], text=True, env={**self.env, **(env or {})}, **{**pipes, **settings}
        )
        self.started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> Done:
        """Wait for its end. No traceback may be seen without --debug."""
        out, err = process.communicate(timeout=TIMEOUT_S)
        done = Done(process.returncode, out or "", err or "")
        if "--debug" not in process.args:
            assert "Traceback" not in done.out + done.err
            assert "internal error" not in done.err
        return done

    def close(self) -> None:
        """End what a failed test left running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def snapshot(db: psycopg.Connection) -> dict[str, list[str]]:
    """Return every relation of the database with its rows, as text."""
    names = db.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'S', 'p')"
        " AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
        " AND relnamespace::regnamespace::text NOT LIKE 'pg_toast%' ORDER BY 1"
    ).fetchall()
    return {name: sorted(str(row) for row in db.execute(f"SELECT r::text FROM {name} r")) for (name,) in names}


def wait_until(db: psycopg.Connection, query: str) -> Any:
    """Return the first value that a query finds, once it finds any."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        row = db.execute(query).fetchone()
        if row is not None:
            return row[0]
        assert time.monotonic() < deadline, f"waited in vain for: {query}"
        time.sleep(0.01)


class Terminal:
    """A pseudo terminal, and all that was written to it."""

    def __init__(self) -> None:
        self._master, self.slave = os.openpty()
        self._seen = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._master, 65536):
                self._seen += data
        except OSError:  # EIO: nobody has it open any more
            pass

    def close(self) -> str:
        """Return what was written."""
        os.close(self.slave)
        self._reader.join(TIMEOUT_S)
        os.close(self._master)
        return self._seen.decode()
