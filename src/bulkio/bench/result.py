"""What a bench found, as values and as one JSON object."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING

from bulkio.bench.machine import machine_facts
from bulkio.bench.stats import PUBLISHED_PAIRS, Ratio, paired_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkio.bench.pairs import Line
    from bulkio.bench.spec import Run

__all__ = ["LineResult", "Result", "make_result"]


@dataclass(frozen=True, slots=True)
class LineResult:
    """One line's figures."""

    name: str
    role: str
    runs: tuple[Run, ...]
    #: ratio to the limit named in `limit`; None for a limit itself
    ratio: Ratio | None
    limit: str | None
    #: wall seconds of the limit's runs, each the neighbour of the run at the same place
    limit_wall_s: tuple[float, ...]
    #: number of its connections
    workers: int = 1
    #: time of one worker's run as a multiple of this line's, in each pair; None for one worker, or if that was not run
    speedup: Ratio | None = None

    @property
    def wall_s(self) -> float:
        """The median time of a run."""
        return median(run.wall_s for run in self.runs)

    @property
    def rows_per_s(self) -> float:
        """Rows per second, from connecting to the connection's end."""
        return self.runs[0].rows / self.wall_s

    @property
    def cpu_s_per_million_rows(self) -> float:
        """The client's CPU time; 0 for no rows."""
        rows = self.runs[0].rows
        return median(run.cpu_s for run in self.runs) / rows * 1e6 if rows else 0.0

    @property
    def peak_mb(self) -> float:
        """The most memory that any of the runs held."""
        return max(run.peak_mb for run in self.runs)

    @property
    def idle_share(self) -> float | None:
        """The median idle part of the machine's processors during the runs; None where that is not known."""
        shares = [run.idle_share for run in self.runs if run.idle_share is not None]
        return median(shares) if shares else None

    def to_dict(self) -> dict[str, object]:
        """Return the figures, and the raw runs."""
        found: dict[str, object] = {
            "name": self.name,
            "role": self.role,
            "rows_per_s": round(self.rows_per_s),
            "wall_s": round(self.wall_s, 4),
            "cpu_s_per_million_rows": round(self.cpu_s_per_million_rows, 4),
            "peak_mb": round(self.peak_mb, 1),
            "workers": self.workers,
            "idle_share": _rounded(self.idle_share),
        }
        if self.speedup is not None:
            found |= {
                "speedup": round(self.speedup.median, 4),
                "speedup_interval": [round(self.speedup.low, 4), round(self.speedup.high, 4)],
            }
        if self.ratio is not None:
            found |= {
                "limit": self.limit,
                "ratio": round(self.ratio.median, 4),
                "interval": [round(self.ratio.low, 4), round(self.ratio.high, 4)],
                "for_publication": self.ratio.publishable,
                "limit_wall_s": [round(wall, 4) for wall in self.limit_wall_s],
            }
        found["runs"] = [{key: _rounded(value) for key, value in asdict(run).items()} for run in self.runs]
        return found


@dataclass(frozen=True, slots=True)
class Result:
    """A bench's result."""

    #: "load" or "export"
    kind: str
    #: source of the rows: its name, rows and bytes
    source: Mapping[str, object]
    #: description of how the limit was chosen, and of what was compared
    method: Mapping[str, object]
    pairs: int
    machine: Mapping[str, object]
    server: Mapping[str, object]
    lines: tuple[LineResult, ...]

    @property
    def publishable(self) -> bool:
        """Tell whether there were enough pairs."""
        return self.pairs >= PUBLISHED_PAIRS

    def to_dict(self) -> dict[str, object]:
        """Return one JSON object."""
        return {
            "bench": self.kind,
            "source": dict(self.source),
            "method": dict(self.method),
            "pairs": self.pairs,
            "for_publication": self.publishable,
            "machine": dict(self.machine),
            "server": dict(self.server),
            "lines": [line.to_dict() for line in self.lines],
        }


def make_result(
    kind: str,
    lines: Sequence[Line],
    *,
    source: Mapping[str, object],
    method: Mapping[str, object],
    server: Mapping[str, object],
) -> Result:
    """Compute the figures of lines that have run."""
    pairs = max(len(line.runs) for line in lines if line.role == "candidate")
    found = tuple(_line_result(line) for line in lines)
    return Result(kind, source, method, pairs, machine_facts(), server, found)


def _line_result(line: Line) -> LineResult:
    walls = tuple(run.wall_s for run in line.limit_runs)
    ratio = paired_ratio([run.wall_s for run in line.runs], walls) if walls else None
    limit = line.limit.name if line.limit else None
    speedup = None
    if line.alone is not None:
        speedup = paired_ratio([run.wall_s for run in line.alone.runs], [run.wall_s for run in line.runs])
    return LineResult(line.name, line.role, tuple(line.runs), ratio, limit, walls, line.job.workers, speedup)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
