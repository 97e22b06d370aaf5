"""The limit lines of CSV: psql copies the same file, in one transaction that pins as a load does.

Several psqls copy parts of it at once, in a transaction each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bulkio import sql
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.errors import BulkioError, ConfigError
from bulkio.quote import name_list, qualified, quote_literal

if TYPE_CHECKING:
    from bulkio.bench.spec import Job

__all__ = ["copy_in", "copy_out"]

#: keywords of a DSN that every psql knows
_KEYWORDS = (
    *("host", "hostaddr", "port", "dbname", "user", "password", "passfile", "options"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey"),
)
_FORM = "WITH (FORMAT csv, HEADER)"


def copy_in(job: Job) -> tuple[int, int]:
    """Load `job.parts`, each by a psql of its own; return the tags' row count and the source's bytes."""
    service = _service(job)
    with ThreadPoolExecutor(len(job.parts)) as threads:
        rows = sum(threads.map(partial(_copy_part, job, service), job.parts))
    return rows, Path(job.source).stat().st_size


def _copy_part(job: Job, service: Path, part: str) -> int:
    target = f"{qualified(job.schema, job.table)} ({name_list(job.columns)})"
    statements = (
        sql.begin(read_only=False),
        *sql.session_pins(export=False),
        f"\\copy {target} FROM {quote_literal(part)} {_FORM}",
        sql.COMMIT,
    )
    return _rows(_run(service, statements))


def copy_out(job: Job, dest: Path) -> tuple[int, int]:
    """Export `job.query` into a file; return the tag's row count and the file's bytes."""
    query = " ".join(job.query.split("\n"))
    statements = (
        sql.begin(read_only=True),
        *sql.session_pins(export=True),
        *job.pins,
        f"\\copy ({query}) TO {quote_literal(str(dest))} {_FORM}",
        sql.COMMIT,
    )
    return _rows(_run(_service(job), statements)), dest.stat().st_size


def _service(job: Job) -> Path:
    """Write where to connect. Not on a command line, which other users can read: a DSN holds a password."""
    service = Path(job.folder) / "service.conf"
    given = parse_conninfo(job.dsn).psycopg_kwargs()
    lines = [f"{name}={given[name]}" for name in _KEYWORDS if given.get(name)]
    service.touch(mode=0o600)
    service.write_text("\n".join(["[bench]", *lines, ""]))
    return service


def _run(service: Path, statements: tuple[str, ...]) -> str:
    program = shutil.which("psql")
    if program is None:
        raise ConfigError("the limit of CSV is psql's \\copy, and there is no psql in the PATH")
    commands = [word for statement in statements for word in ("-c", statement)]
    done = subprocess.run(
        [program, "-X", "-v", "ON_ERROR_STOP=1", *commands, "service=bench"],
        env={**os.environ, "PGSERVICEFILE": str(service), "PGCLIENTENCODING": "UTF8"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BulkioError(f"psql failed: {done.stderr.strip()}")
    return done.stdout


def _rows(output: str) -> int:
    return next(int(line.split()[1]) for line in output.splitlines() if line.startswith("COPY "))
