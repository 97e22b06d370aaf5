"""A reader that nobody reads to its end holds up nothing: not the program's end, and not the thread that drops it."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: A read of more rows than are taken ahead, in a program of its own; its sessions are counted by the test.
PROGRAM = """
import faulthandler, sys
import bulkio

faulthandler.dump_traceback_later(20, exit=True)
reader = bulkio.read("SELECT repeat('x', 300) FROM generate_series(1, 1000000)", sys.argv[1], driver=sys.argv[2])
reader.read_next_batch()
"""

#: Drop a reader that only the collector of reference cycles finds, in a thread of the reader's own.
CYCLE = """
import asyncio, gc, threading, time

class Holder:
    pass

holder = Holder()
holder.reader, holder.itself = reader, holder
[loop] = [found for found in gc.get_objects() if isinstance(found, asyncio.AbstractEventLoop) and found.is_running()]
[thread] = [thread for thread in threading.enumerate() if thread.name == "bulkio"]
del holder, reader
loop.call_soon_threadsafe(gc.collect)
thread.join(10)
print("ended" if not thread.is_alive() else "hangs", flush=True)
"""

each_driver = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


def run(code: str, dsn: str, driver: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code, dsn, driver], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


@each_driver
def test_a_program_with_an_open_read_ends(dsn: str, driver: str) -> None:
    """At its end the read is cancelled; the fixture sees that the server has no session of it left."""
    assert run(PROGRAM + "print('end')", dsn, driver) == (0, "end\n", "")


@each_driver
def test_an_uncaught_error_ends_a_program_with_an_open_read(dsn: str, driver: str) -> None:
    """Its traceback comes, and nothing else."""
    code, out, errors = run(PROGRAM + "raise ValueError('mine')", dsn, driver)
    assert (code, out) == (1, "")
    assert errors.startswith("Traceback")
    assert errors.endswith("ValueError: mine\n")
    assert errors.count("Traceback") == 1


@each_driver
def test_a_thread_reads_on_when_the_main_one_has_ended(dsn: str, driver: str) -> None:
    """Python waits for the caller's threads first; only what is open then is cancelled."""
    reading = "import threading\nthreading.Thread(target=lambda: print(reader.read_all().num_rows > 0)).start()"
    assert run(PROGRAM + reading, dsn, driver) == (0, "True\n", "")


@each_driver
def test_a_reader_collected_in_its_own_thread_ends(dsn: str, driver: str) -> None:
    """Its thread cancels the read and does not wait for itself."""
    assert run(PROGRAM + CYCLE, dsn, driver) == (0, "ended\n", "")
