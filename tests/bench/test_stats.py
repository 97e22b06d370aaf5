"""The statistics of the bench: paired ratios and their intervals."""

from __future__ import annotations

from random import Random
from statistics import median

import pytest

from bulkio.bench.stats import PUBLISHED_PAIRS, bootstrap_interval, paired_ratio


def test_ratio_is_the_median_of_the_pairs_ratios() -> None:
    """A ratio is taken inside each pair: drift that touches both runs of a pair cancels out."""
    drift = [1.0, 3.0, 9.0]
    assert paired_ratio([1.1 * d for d in drift], drift).median == pytest.approx(1.1)


def test_equal_pairs_leave_no_doubt() -> None:
    """Pairs that all agree give an interval of one point."""
    ratio = paired_ratio([2.0] * 5, [1.0] * 5)
    assert (ratio.low, ratio.median, ratio.high, ratio.pairs) == (2.0, 2.0, 2.0, 5)


def test_interval_is_the_same_every_time_and_holds_the_median() -> None:
    """The resampling is seeded, and the interval lies around the median, within the values."""
    values = [1.0, 1.02, 1.04, 1.05, 1.07, 1.2, 0.9, 1.01]
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    assert min(values) <= low <= median(values) <= high <= max(values)


def test_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    """Of 40 experiments of 15 pairs each, about 95% of the intervals hold the true median."""
    random = Random(7)  # noqa: S311 - statistics
    hits = 0
    for _ in range(40):
        low, high = bootstrap_interval([random.gauss(1.1, 0.05) for _ in range(PUBLISHED_PAIRS)])
        hits += low <= 1.1 <= high
    assert hits >= 34


@pytest.mark.parametrize(("pairs", "publishable"), [(PUBLISHED_PAIRS - 1, False), (PUBLISHED_PAIRS, True)])
def test_few_pairs_are_not_for_publication(pairs: int, publishable: bool) -> None:
    """A published ratio has at least 15 pairs."""
    assert paired_ratio([1.0] * pairs, [1.0] * pairs).publishable is publishable


@pytest.mark.parametrize(("candidate", "limit"), [([], []), ([1.0], [1.0, 2.0])])
def test_unpaired_runs_are_refused(candidate: list[float], limit: list[float]) -> None:
    """No pairs, or runs without a partner, are a mistake."""
    with pytest.raises(ValueError, match=r"pair|zip"):
        paired_ratio(candidate, limit)
