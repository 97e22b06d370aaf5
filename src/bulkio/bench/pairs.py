"""The order of the runs: candidates and limits in pairs, neighbours in time, turn about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkio.bench.spec import Job, Run

__all__ = ["Line", "run_pairs"]


@dataclass(slots=True)
class Line:
    """One way to move the rows, and what its runs took."""

    name: str
    role: Literal["candidate", "limit"]
    job: Job
    #: the line that this one is divided by
    limit: Line | None = None
    #: the same way with one worker, if this one has several
    alone: Line | None = None
    runs: list[Run] = field(default_factory=list)
    #: runs of the limit, each the neighbour of the candidate's run at the same place
    limit_runs: list[Run] = field(default_factory=list)


def run_pairs(lines: Sequence[Line], pairs: int, run: Callable[[Line], Run], note: Callable[[str], None]) -> None:
    """Run each line `pairs` times, each next to a run of its limit; which of the two goes first alternates.

    The outer loop is over the pairs, so that every line sees the same hours.
    """
    for pair in range(pairs):
        for line in lines:
            note(f"pair {pair + 1} of {pairs}: {line.name}")
            if line.limit is None:
                line.runs.append(run(line))
                continue
            order = (line.limit, line) if pair % 2 == 0 else (line, line.limit)
            found = {each.name: run(each) for each in order}
            line.runs.append(found[line.name])
            line.limit_runs.append(found[line.limit.name])
            line.limit.runs.append(found[line.limit.name])
