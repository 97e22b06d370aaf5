"""Loads with rejects whose disk is full, whose server is gone, or whose COMMIT gets no answer."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fault_scene import proxied, restart, small_folder
from reject_cases import ALONE, Case
from reject_scene import LEAST_BYTES, RejectScene

import bulkio
from bulkio import aio
from bulkio.cli.exits import Exit, exit_of
from bulkio.drivers.asyncpg import AsyncpgSession
from bulkio.drivers.psycopg import PsycopgSession
from bulkio.transfer import retry, session
from cli.program import Program
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import TestServer

BY_CHUNKS = replace(ALONE, commit="chunk", driver="psycopg")
STAGED = replace(ALONE, mode="upsert", workers=2)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small files into chunks, and wait for nobody who will not come."""
    monkeypatch.setattr("bulkio.plan.rejects._LEAST_BYTES", LEAST_BYTES)
    monkeypatch.setattr(session, "OUTCOME_TIMEOUT_S", 0.5)
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.01)


def load(scene: RejectScene, **options: Any) -> bulkio.LoadReport:
    return bulkio.load(scene.source, "t", options.pop("dsn", scene.dsn), **{**scene.options, **options})


def left(scene: RejectScene) -> set[str]:
    return {path.name for path in scene.dest.parent.iterdir()}


def new_rows(scene: RejectScene) -> int:
    [(count,)] = fetch(scene.dsn, "SELECT count(*) FROM t WHERE note LIKE 'r%'")
    return int(str(count))


# --- A disk that is full ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("load_id", "kilobytes"), [("night", 8), (None, 8), (None, 16)])
def test_full_before_the_commit(one_dsn: str, tmp_path: Path, load_id: str | None, kilobytes: int) -> None:
    """Nothing is loaded or left behind, and the next run comes to the end."""
    scene = RejectScene(one_dsn, tmp_path, replace(ALONE, load_id=load_id))
    with small_folder(scene.dest.parent, kilobytes) as enlarge:
        scene.prepare()
        with pytest.raises(bulkio.FileError, match="cannot be written: No space left on device") as caught:
            load(scene)
        assert exit_of(caught.value) == Exit.FAILED
        assert (new_rows(scene), left(scene)) == (0, set())
        enlarge()
        scene.check(load(scene).as_dict())


def test_full_between_chunks(one_dsn: str, tmp_path: Path) -> None:
    """What is stored stays, with its rejected records, and the load goes on there."""
    scene = RejectScene(one_dsn, tmp_path, BY_CHUNKS)
    with small_folder(scene.dest.parent, 12) as enlarge:
        scene.prepare()
        message = r"No space left on device\nload 'night' is unfinished: 2 of its 3 chunks are stored; load again with"
        with pytest.raises(bulkio.LoadUnfinished, match=message) as caught:
            load(scene)
        assert exit_of(caught.value) == Exit.RESUMABLE
        assert left(scene) == {"bad.csv.parts"}
        enlarge()
        scene.check(bulkio.resume_load("night", one_dsn).as_dict())


def test_full_behind_the_commit(one_dsn: str, tmp_path: Path) -> None:
    """The load is done, and says so, and where the records are; another run puts them together."""
    scene = RejectScene(one_dsn, tmp_path, ALONE)
    program = Program(one_dsn)
    with small_folder(scene.dest.parent, 12) as enlarge:
        scene.prepare()
        done = program("load", scene.source, "t", "--load-id", "night", "--rejects", scene.dest, "--max-rejects", 99)
        assert done.code == Exit.REJECTS
        assert done.err == (
            f"Warning: the load is done, but {scene.dest} could not be put together"
            f" ({scene.dest}.parts/bad.csv: cannot be written: No space left on device): the rejected records are in"
            f" the folder {scene.dest}.parts, in pieces: mend that, and run `bulkio loads resume night`\n"
            "Warning: 7 records were rejected\n"
        )
        assert (new_rows(scene), left(scene)) == (293, {"bad.csv.parts"})
        enlarge()
        done = program("loads", "resume", "night")
        assert done.code == Exit.REJECTS
        assert f"7 records were rejected: they are in {scene.dest}, with the reason in" in done.err
        scene.check(bulkio.resume_load("night", one_dsn).as_dict())


# --- A cancellation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "names"), [(ALONE, set()), (STAGED, {"bad.csv.parts"})])
def test_cancelled_in_the_middle_of_a_walk(
    one_dsn: str, tmp_path: Path, case: Case, names: set[str], strike: Any
) -> None:
    """Nobody sees a row, and nothing is left behind but what the next run goes on with, which comes to the end."""
    scene = RejectScene(one_dsn, tmp_path, case)
    scene.prepare()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(aio.load(scene.source, "t", scene.dsn, **scene.options))
        strike(lambda: loop.call_soon_threadsafe(task.cancel))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (new_rows(scene), left(scene)) == (0, names)
    scene.check(load(scene).as_dict())


@pytest.fixture
def strike(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], threading.Event]:
    """Return what has something done once, from a walk's third savepoint on."""

    def arm(act: Callable[[], object]) -> threading.Event:
        struck = threading.Event()
        seen: list[str] = []
        for driver in (AsyncpgSession, PsycopgSession):
            execute = driver.execute

            async def watched(self: Any, statement: str, *, execute: Any = execute) -> str:
                seen.extend([statement] if "bulkio_range_" in statement else [])
                if len(seen) == 3 and not struck.is_set():
                    struck.set()
                    act()
                return str(await execute(self, statement))

            monkeypatch.setattr(driver, "execute", watched)
        return struck

    return arm


# --- A server that is gone ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_stopped(clusters: dict[str, TestServer]) -> TestServer:
    """Return a server that may be stopped."""
    return next(iter(clusters.values()))


@pytest.mark.parametrize("case", [ALONE, BY_CHUNKS, STAGED])
def test_server_stopped_in_the_middle_of_a_walk(
    one_stopped: TestServer, tmp_path: Path, case: Case, strike: Any
) -> None:
    """The load is tried again by itself, and comes to the end."""
    name = f"walk_{case.mode}_{case.commit}"
    with connect(one_stopped.cluster.url()) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    scene = RejectScene(one_stopped.cluster.url(name), tmp_path, case)
    scene.prepare()
    struck = strike(lambda: restart(one_stopped.cluster, "immediate"))
    report = load(scene, retries=3)
    assert struck.is_set()
    scene.check(report.as_dict())


# --- A COMMIT without an answer -------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [ALONE, BY_CHUNKS, STAGED])
def test_commit_unheard(one_dsn: str, tmp_path: Path, case: Case) -> None:
    """Nothing of it is stored; the next try comes to the end."""
    scene = RejectScene(one_dsn, tmp_path, case)
    scene.prepare()
    nth = 1 if case is ALONE else 3
    with proxied(scene, "before the server hears it", nth=nth) as proxy:
        report = load(scene, dsn=proxy.dsn, retries=1)
        assert proxy.has_lost
    scene.check(report.as_dict())


@pytest.mark.parametrize("case", [ALONE, BY_CHUNKS, STAGED])
def test_commit_whose_outcome_is_unknown(one_dsn: str, tmp_path: Path, case: Case) -> None:
    """The rejected records are kept, and the next run under the load's id has them."""
    scene = RejectScene(one_dsn, tmp_path, case)
    scene.prepare()
    nth = 1 if case is ALONE else 3
    with (
        proxied(scene, "and the server is gone", nth=nth) as proxy,
        pytest.raises(bulkio.OutcomeUnknown, match="load again with the same id: the ledger knows whether it is done"),
    ):
        load(scene, dsn=proxy.dsn)
    assert left(scene) == {"bad.csv.parts"}
    scene.check(load(scene).as_dict())


def test_commit_whose_outcome_is_unknown_without_an_id(one_dsn: str, tmp_path: Path) -> None:
    """The rejected records are kept, and the next run says what to look at."""
    scene = RejectScene(one_dsn, tmp_path, replace(ALONE, load_id=None))
    scene.prepare()
    with (
        proxied(scene, "and the server is gone") as proxy,
        pytest.raises(
            bulkio.OutcomeUnknown, match=r"look at the table, and whether transaction .* before you load again"
        ),
    ):
        load(scene, dsn=proxy.dsn)
    with pytest.raises(bulkio.ConfigError) as caught:
        load(scene)
    report = scene.clear_the_way(str(caught.value))
    assert report is not None
    scene.check(report)
