"""The order of the runs."""

from __future__ import annotations

from bulkio.bench.pairs import Line, run_pairs
from bulkio.bench.spec import Job, Run


def test_candidates_and_limit_alternate_and_take_turns_to_begin() -> None:
    """Each candidate stands next to a run of its limit, and which of the two goes first alternates."""
    limit = Line("limit", "limit", Job("replay", "dsn"))
    lines = [Line(name, "candidate", Job("load", "dsn"), limit) for name in ("a", "b")]
    order: list[str] = []

    def run(line: Line) -> Run:
        order.append(line.name)
        return Run(float(len(order)), 0.1, 1.0, 1.0, 10, 100)

    run_pairs(lines, 2, run, lambda _: None)
    assert order == ["limit", "a", "limit", "b", "a", "limit", "b", "limit"]
    assert [run.wall_s for run in lines[0].runs] == [2.0, 5.0]
    assert [run.wall_s for run in lines[0].limit_runs] == [1.0, 6.0]
    assert len(limit.runs) == 4


def test_job_survives_its_way_to_the_worker() -> None:
    """A job is the same on both sides of the pipe."""
    job = Job("load", "postgresql://u:p@h/db", columns=("a", 'b"c'), table="t", rows=5)
    assert Job.from_json(job.to_json()) == job
