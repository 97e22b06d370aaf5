"""Medians, and how sure they are. Pure.

A ratio is taken within each pair, whose two runs are neighbours in time: what drifts (other load, the disk, the clock
speed) touches both. The published ratio is the median of these; its interval is a percentile bootstrap of the median
over whole pairs, with a fixed seed, so that the same runs always give the same figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PUBLISHED_PAIRS", "Ratio", "bootstrap_interval", "paired_ratio"]

#: number of pairs below which a ratio is not for publication
PUBLISHED_PAIRS = 15
_RESAMPLES = 10_000
_SEED = 20260101


@dataclass(frozen=True, slots=True)
class Ratio:
    """A candidate's time as a multiple of its limit's: the median, and its 95% interval."""

    median: float
    low: float
    high: float
    pairs: int

    @property
    def publishable(self) -> bool:
        """Tell whether there were enough pairs."""
        return self.pairs >= PUBLISHED_PAIRS


def paired_ratio(candidate: Sequence[float], limit: Sequence[float]) -> Ratio:
    """Compare runs pair by pair.

    >>> paired_ratio([2.0, 2.2, 2.4], [2.0, 2.0, 2.0]).median
    1.1

    Raises:
        ValueError: there are no pairs, or the two differ in length.
    """
    ratios = [one / other for one, other in zip(candidate, limit, strict=True)]
    if not ratios:
        raise ValueError("a ratio needs at least one pair")
    low, high = bootstrap_interval(ratios)
    return Ratio(median(ratios), low, high, len(ratios))


def bootstrap_interval(values: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the median."""
    random = Random(_SEED)  # noqa: S311 - statistics
    medians = sorted(median(random.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    tail = (1 - confidence) / 2
    return medians[int(tail * _RESAMPLES)], medians[int((1 - tail) * _RESAMPLES) - 1]
