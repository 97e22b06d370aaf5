"""Cutting an encoded stream for several connections."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from bulkio.bench.limits import cut_stream


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_parts_are_about_the_same_size(count: int) -> None:
    """Each part begins where a row does, they cover the stream, and none is more than a block off its share."""
    random = Random(5)  # noqa: S311 - sizes of blocks
    ends = [19]
    for _ in range(100):
        ends.append(ends[-1] + random.randint(1, 50))
    cuts = cut_stream(ends, count)
    assert (cuts[0], cuts[-1]) == (ends[0], ends[-1])
    assert set(cuts) <= set(ends)
    share = (ends[-1] - ends[0]) / count
    assert all(abs(end - start - share) <= 50 for start, end in pairwise(cuts))


def test_a_stream_of_one_block_has_one_part_with_rows() -> None:
    """Where there are fewer blocks than parts, parts are empty: whoever asked for them sees it in the offsets."""
    assert cut_stream([19, 400], 2) == (19, 400, 400)
