"""A call of the sync façade ends, whatever interrupts it and whenever that comes."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Raises KeyboardInterrupt at each line that the calling thread runs in turn, and while it waits for the other to
#: come up, as a signal handler would.
INTERRUPT_EVERYWHERE = """
import asyncio, contextlib, faulthandler, sys, threading
from bulkio.flow import portal
from bulkio.flow.portal import Finished, LoopThread, opened

faulthandler.dump_traceback_later(60, exit=True)
MODULE = portal.__file__

def interrupt_at(count):
    seen = 0
    def trace(frame, event, _):
        nonlocal seen
        waits_for_the_start = event == 'call' and frame.f_code is threading.Event.wait.__code__
        if frame.f_code.co_filename != MODULE and not waits_for_the_start:
            return None
        if event == 'line' or waits_for_the_start:
            seen += 1
            if seen == count:
                raise KeyboardInterrupt
        return trace
    return trace

done = []

async def work():
    done.append('begun')
    try:
        await asyncio.sleep(0.001)
    finally:
        done.append('ended')
    return 'result'

@contextlib.asynccontextmanager
async def manager():
    done.append('begun')
    try:
        yield 'value'
    finally:
        await asyncio.sleep(0)
        done.append('ended')

def call():
    assert LoopThread(work).run() == 'result'

def enter():
    with opened(manager()) as value:
        assert value == 'value'

for run in (call, enter):
    interruptions = 0
    for count in range(1, 1000):
        done.clear()
        sys.settrace(interrupt_at(count))
        try:
            run()
        except KeyboardInterrupt:
            interruptions += 1
        else:
            break
        finally:
            sys.settrace(None)
        assert done in ([], ['begun', 'ended']), (count, done)
    deadline = 1000
    while [thread for thread in threading.enumerate() if thread.name == 'bulkio' and thread.ident] and deadline:
        deadline -= 1
        threading.Event().wait(0.01)
    assert deadline, threading.enumerate()
    print(run.__name__, interruptions > 15)
"""


def test_an_interruption_at_any_line_leaves_no_thread() -> None:
    """The call ends, the work has run to its end or has not begun, and no thread is left behind."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPT_EVERYWHERE], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.stdout, done.stderr) == ("call True\nenter True\n", "")


#: Two interruptions: one at the wait, one at the wait that follows.
TWICE = """
import asyncio, faulthandler, signal, os, threading, time
from bulkio.errors import OutcomeUnknown
from bulkio.flow.portal import Finished, LoopThread

faulthandler.dump_traceback_later(60, exit=True)
begun, go_on = threading.Event(), threading.Event()

async def work():
    begun.set()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        os.kill(os.getpid(), signal.SIGINT)
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        raise

def press():
    begun.wait()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press).start()
try:
    LoopThread(work).run()
except KeyboardInterrupt as stop:
    print(type(stop.__cause__).__name__)
go_on.set()
"""


def test_a_second_interruption_does_not_wait() -> None:
    """It goes on at once, and says that the outcome is unknown."""
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr) == ("OutcomeUnknown\n", "")


@pytest.mark.parametrize(
    ("end", "cause"), [("return 7", "Finished"), ("raise ValueError", "ValueError"), ("raise", "NoneType")]
)
def test_the_cause_tells_how_the_work_ended(end: str, cause: str) -> None:
    """An interruption that came too late knows the result, or the error."""
    code = TWICE.replace("        os.kill(os.getpid(), signal.SIGINT)\n        while", "        while")
    code = code.replace("begun.set()\n    try", "begun.set(); go_on.set()\n    try").replace(
        "        raise\n", f"        {end}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr) == (f"{cause}\n", "")


#: A block that is left in a worker thread whose end its own loop waits for, as a collector may do it.
LEFT_INSIDE = """
import asyncio, contextlib, faulthandler, threading
import anyio.to_thread
from bulkio.flow import shelter
from bulkio.flow.portal import opened

faulthandler.dump_traceback_later(20, exit=True)
entered = threading.Event()

@contextlib.asynccontextmanager
async def manager():
    task = asyncio.ensure_future(shelter.finish(anyio.to_thread.run_sync(leave)))
    try:
        yield
    finally:
        await shelter.finish(asyncio.wait_for(task, None))
        print('ended')

def leave():
    entered.wait()
    generator.close()

def hold():
    with opened(manager()):
        yield

generator = hold()
next(generator)
[thread] = [thread for thread in threading.enumerate() if thread.name == 'bulkio']
entered.set()
thread.join()
"""


def test_a_block_that_is_left_inside_its_own_work_does_not_wait_for_itself() -> None:
    """The worker cancels the work, and goes on to its own end."""
    done = subprocess.run([sys.executable, "-c", LEFT_INSIDE], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("ended\n", "")
