"""Loads with rejects whose process is killed (SIGKILL), and that are run again: each record is in one place, once.

CI kills at each interesting point, and at a few random moments; `make reject-kills` kills 150 loads of all kinds at
random moments and points, from a new seed that it prints (KILLS=… kills more or fewer). KILL_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fault_scene import await_quiet, proxied
from reject_cases import ALONE, MODES, RIVALS, TOGETHER, TRIGGERS, Case, kinds_of
from reject_runs import Client, clients
from reject_scene import RejectScene

import bulkio
from servers import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KILLS = int(os.environ.get("KILLS", "3"))
SEED = int(os.environ.get("KILL_SEED", "12"))
#: kills of one load, at most
MOST_KILLS = 4
#: about the time in which a process connects, and more than a load takes on a quiet machine
SHORTEST_S = 0.03
LONGEST_S = 0.6


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Start what forks the processes that are killed."""
    with clients() as made:
        yield made


# --- At each point ----------------------------------------------------------------------------------------------

_CASES = {
    "alone": ALONE,
    "alone by chunks": replace(ALONE, commit="chunk", driver="psycopg"),
    "two phases": TOGETHER,
    "two by chunks": replace(TOGETHER, commit="chunk", driver="psycopg"),
    "two stage": replace(ALONE, mode="upsert", workers=2),
}
#: case, phase, which one of it, and the moment: while nothing is recorded that another run could know
_BEFORE = (
    ("alone", "walk", 1, "after"),
    ("alone", "part", 2, "before"),
    ("alone", "part", 2, "after"),
    ("alone", "COMMIT of claim", 1, "before"),
)
#: while another run can go on by the load's id alone
_GOES_ON = (
    ("alone by chunks", "part", 2, "before"),
    ("alone by chunks", "part", 2, "after"),
    ("alone by chunks", "COMMIT of ledger", 2, "after"),
    ("two by chunks", "part", 3, "after"),
    ("two by chunks", "COMMIT of ledger", 3, "before"),
    ("two phases", "part", 2, "after"),
    ("two phases", "PREPARE", 2, "before"),
    ("two phases", "decision", 1, "after"),
    ("two stage", "staged part", 1, "after"),
)
#: behind the last COMMIT: what is left to do is the file
_AFTER = (
    ("alone", "COMMIT of claim", 1, "after"),
    ("alone", "lines", 1, "after"),
    ("alone", "name", 1, "after"),
    ("alone", "name", 2, "after"),
    ("alone", "clearing", 1, "before"),
    ("alone by chunks", "finish", 1, "before"),
    ("two phases", "COMMIT of decision", 1, "after"),
    ("two phases", "COMMIT PREPARED 1", 1, "after"),
    ("two phases", "name", 1, "after"),
    ("two stage", "finish", 1, "before"),
)


def killed_at(client: Client, scene: RejectScene, phase: str, nth: int, moment: str) -> None:
    """Run the load, and kill it at a point."""
    scene.prepare()
    outcome = client.load(scene, point={"phase": phase, "nth": nth, "moment": moment})
    assert outcome.killed is not None, outcome
    await_quiet(scene.dsn)


@pytest.mark.parametrize(("name", "phase", "nth", "moment"), [*_BEFORE, *_GOES_ON[::4], *_AFTER[::4]])
def test_loaded_again(
    one_dsn: str, client: Client, tmp_path: Path, name: str, phase: str, nth: int, moment: str
) -> None:
    """The same load under its id comes to the end, and the file of rejected records is there, and nothing else."""
    scene = RejectScene(one_dsn, tmp_path, _CASES[name])
    killed_at(client, scene, phase, nth, moment)
    outcome = client.load(scene)
    assert outcome.report is not None, outcome
    scene.check(outcome.report)
    assert outcome.report["already"] == ((name, phase, nth, moment) in _AFTER)


@pytest.mark.parametrize(("name", "phase", "nth", "moment"), [*_GOES_ON, *_AFTER])
def test_resumed(one_dsn: str, client: Client, tmp_path: Path, name: str, phase: str, nth: int, moment: str) -> None:
    """So it is by the load's id alone; and the file is loaded as the second try."""
    scene = RejectScene(one_dsn, tmp_path, _CASES[name])
    killed_at(client, scene, phase, nth, moment)
    outcome = client.resume(scene, "night")
    assert outcome.report is not None, outcome
    scene.check(outcome.report)
    scene.replay()


# --- A COMMIT that is still on its way --------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "nth"), [("append", 2), ("upsert", 4)])
def test_a_commit_that_comes_late(one_dsn: str, client: Client, tmp_path: Path, mode: str, nth: int) -> None:
    """The next run waits for a dead one's COMMIT, of a chunk or of the load, before it drops anybody's records."""
    scene = RejectScene(one_dsn, tmp_path, replace(_CASES["alone by chunks"], mode=mode))
    scene.prepare()
    point = {"phase": "COMMIT of ledger", "nth": nth, "moment": "inside", "inside_s": 0.1}

    def wait_until_it_waits() -> str:
        deadline = time.monotonic() + 30
        while not fetch(one_dsn, "SELECT FROM pg_locks WHERE NOT granted") and time.monotonic() < deadline:
            time.sleep(0.01)
        return one_dsn

    with proxied(scene, "after the server has answered", wait_until_it_waits, nth=nth + 1) as proxy:
        outcome = client.load(replace(scene, dsn=proxy.dsn), point=point)
        assert outcome.killed is not None, outcome
        await_quiet(one_dsn, but=1)
        outcome = client.load(scene)
    if outcome.report is None:
        assert outcome.error == "LoadRunning", outcome
        outcome = client.load(scene)
    assert outcome.report is not None, outcome
    scene.check(outcome.report)


# --- Without an id ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "phase"), [("alone", "part"), ("alone", "walk"), ("two phases", "part")])
def test_without_an_id(one_dsn: str, client: Client, tmp_path: Path, name: str, phase: str) -> None:
    """What was killed before its COMMIT is in nobody's way."""
    scene = RejectScene(one_dsn, tmp_path, replace(_CASES[name], load_id=None))
    killed_at(client, scene, phase, 2, "after")
    outcome = client.load(scene)
    assert outcome.report is not None, outcome
    for record in bulkio.list_loads(one_dsn):
        if record.state != "done":
            bulkio.forget_load(record.load_id, one_dsn)
    scene.check(outcome.report)


@pytest.mark.parametrize(("phase", "moment"), [("COMMIT of COPY", "before"), ("COMMIT of COPY", "after")])
def test_without_an_id_at_its_commit(one_dsn: str, client: Client, tmp_path: Path, phase: str, moment: str) -> None:
    """The next run is told to look at the table, and its advice is right in both cases."""
    scene = RejectScene(one_dsn, tmp_path, replace(_CASES["alone"], load_id=None))
    killed_at(client, scene, phase, 1, moment)
    outcome = client.load(scene)
    assert outcome.error == "ConfigError"
    report = scene.clear_the_way(outcome.message)
    assert (report is None) == (moment == "before")
    scene.check(report or client.load(scene).report)


@pytest.mark.parametrize("phase", ["decision", "COMMIT PREPARED 1", "name"])
def test_two_phases_without_an_id(one_dsn: str, client: Client, tmp_path: Path, phase: str) -> None:
    """The next run is told how to end the one that was killed; so it is, or rolled back."""
    scene = RejectScene(one_dsn, tmp_path, replace(_CASES["two phases"], load_id=None))
    killed_at(client, scene, phase, 1, "before")
    [record] = bulkio.list_loads(one_dsn)
    advice = (
        f"bulkio loads resume {record.load_id}` puts the file together if its rows are in the table; if they are not"
    )
    outcome = client.load(scene)
    assert outcome.error == "ConfigError"
    assert advice in outcome.message
    outcome = client.resume(scene, record.load_id)
    if phase == "decision":
        assert "was not decided" in outcome.message, outcome
        scene.remove_parts()
        outcome = client.load(scene)
    assert outcome.report is not None, outcome
    scene.check(outcome.report)


# --- At random --------------------------------------------------------------------------------------------------

#: phases by the way that a load goes: how often each comes, about
_ALWAYS = {
    "begin": 1,
    "COPY": 30,
    "walk": 6,
    "part": 6,
    "lines": 6,
    "finish": 1,
    "name": 2,
    "removal": 1,
    "clearing": 1,
}
_AT_ONCE = {"claim": 2, "COMMIT of claim": 1, "COMMIT of COPY": 1, "mark": 1}
_BY_CHUNKS = {"claim": 2, "COMMIT of claim": 1, "ledger": 8, "COMMIT of ledger": 8, "hidden table": 1, "rename": 1}
_STAGED = {"merge": 9, "staged part": 3}
_TWO_PHASES = {
    "PREPARE": 2,
    "decision": 1,
    "COMMIT of decision": 1,
    "COMMIT PREPARED 1": 1,
    "COMMIT PREPARED 2": 1,
    "COMMIT of ledger": 1,
}
#: phases of what is sent: the process may die while the server is at it
_SENT = ("COPY", "COMMIT", "PREPARE", "decision")


def phases_of(case: Case) -> dict[str, int]:
    """Return the phases of a load."""
    phases = _ALWAYS | (_STAGED if "key" in MODES[case.mode] else {})
    if case.commit == "chunk":
        return phases | _BY_CHUNKS
    if case.workers == 1 or case.mode == "truncate" or (case.mode == "append" and (case.has_keys or case.has_triggers)):
        return phases | _AT_ONCE
    return phases | (_TWO_PHASES if case.mode == "append" else _BY_CHUNKS)


def random_case(chance: random.Random) -> Case:
    """Draw a kind of load."""
    mode = chance.choice(["append", "append", *MODES])
    commit = "all" if mode in ("truncate", "replace-where") else chance.choice(["all", "chunk"])
    is_typed = chance.random() < 0.3
    kinds = list(kinds_of(mode, is_typed=is_typed))
    without = chance.choice([(), (*TRIGGERS,), (*TRIGGERS, *RIVALS), (*RIVALS,)])
    kinds = [kind for kind in kinds if kind not in without]
    if chance.random() < 0.5:
        kinds = chance.sample(kinds, chance.randint(0, min(4, len(kinds))))
    return Case(
        mode,
        chance.choice([1, 2]),
        commit,
        chance.choice(["asyncpg", "psycopg"]),
        tuple(kinds),
        "night" if chance.random() < 0.8 else None,
        chance.choice(["binary", "binary", "csv", "records"]),
        is_typed,
    )


def random_point(chance: random.Random, case: Case) -> tuple[Mapping[str, Any] | None, float | None]:
    """Draw where to kill: a point, or seconds."""
    if chance.random() < 0.4:
        return None, chance.uniform(SHORTEST_S, LONGEST_S)
    phases = phases_of(case)
    phase = chance.choice(list(phases))
    moments = ["before", "after", *(["inside"] if phase.startswith(_SENT) else [])]
    point = {"phase": phase, "nth": chance.randint(1, phases[phase]), "moment": chance.choice(moments)}
    return {**point, "inside_s": chance.choice([0, 0.0002, 0.001])}, None


def test_killed_at_random(one_dsn: str, client: Client, tmp_path: Path) -> None:
    """Whatever the load, and wherever it dies, it comes to its end, and its rejected records to theirs."""
    chance = random.Random(SEED)  # noqa: S311 (moments, not secrets)
    met: Counter[str] = Counter()
    ways: Counter[str] = Counter()
    kills = loads = 0
    while kills < KILLS:
        loads += 1
        case = random_case(chance)
        folder = tmp_path / str(loads)
        folder.mkdir()
        scene = RejectScene(one_dsn, folder, case)
        print(f"KILL_SEED={SEED}, load {loads}: {case}")  # noqa: T201 - shown where it fails
        scene.prepare()
        report = None
        tries = 0
        while report is None:
            tries += 1
            point, seconds = random_point(chance, case) if tries <= MOST_KILLS else (None, None)
            died, report = run_on(client, scene, chance, point, seconds)
            kills += died is not None
            met.update([died] if died else [])
        scene.check(report)
        scene.replay()
        ways[f"{case.mode} {report.get('workers', 1)} {case.commit}"] += 1
        scene.clear()
    sys.stdout.write(
        f"\n{kills} kills of {loads} loads, seed {SEED}\n{dict(ways)}\nkilled inside: {dict(met.most_common())}\n"
    )


def run_on(
    client: Client,
    scene: RejectScene,
    chance: random.Random,
    point: Mapping[str, Any] | None,
    kill_after_s: float | None,
) -> tuple[str | None, dict[str, Any] | None]:
    """Run the load, or go on with it; return where it has died, if it did, or else its report."""
    load_id = scene.made_up_id if scene.case.load_id is None else "night" if chance.random() < 0.4 else None
    if load_id is None:
        outcome = client.load(scene, point=point, kill_after_s=kill_after_s)
    else:
        outcome = client.resume(scene, load_id, point=point, kill_after_s=kill_after_s)
    print(load_id, point, kill_after_s, outcome)  # noqa: T201 - shown where it fails
    report = outcome.report
    if (killed := outcome.killed) is not None:
        await_quiet(scene.dsn)
        return killed.inside[-1] if killed.inside else f"none, after {killed.last or 'nothing'}", None
    if outcome.error == "ConfigError" and scene.case.load_id is None:
        report = scene.clear_the_way(outcome.message)
    elif outcome.error:
        assert load_id is not None, outcome
        assert outcome.error == "LedgerError", outcome
        if "has no load" not in outcome.message:
            assert "was loaded without an id" in outcome.message, outcome
            if scene.made_up_id is not None:
                bulkio.forget_load(load_id, scene.dsn)
    return None, report
