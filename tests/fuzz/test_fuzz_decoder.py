"""A few thousand inputs of the decoder's fuzz target in every run; a million by hand (see fuzz_decoder.py)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bulkio.pgcopy.registry import DECODERS
from fuzz.fuzz_decoder import draw_shape, drawn_casts, fuzz, mutate, run_one

if TYPE_CHECKING:
    from bulkio.types import Cast


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_damaged_streams_give_errors_or_batches(seed):
    """Thousands of damaged streams keep the invariant, and both outcomes are met."""
    result = fuzz(2000, seed)
    assert result.outcomes["DecodeError"] > 1000
    assert result.outcomes["batches"] > 50
    assert result.rows > 0


def _codecs(how: Cast) -> set[str]:
    return {how.codec}.union(*map(_codecs, how.children))


def test_every_decoder_is_fuzzed():
    """A decoder that no column of the fuzzer's can draw fails here."""
    assert set(DECODERS) == set().union(*map(_codecs, drawn_casts()))


def test_the_seed_decides_everything():
    """The same seed gives the same inputs, so that a failure can be run again."""
    drawn = []
    for _ in range(2):
        rng = random.Random(7)  # noqa: S311  # repeatable on purpose
        shape = draw_shape(rng)
        drawn.append([mutate(rng, shape.stream) for _ in range(50)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 30


def test_an_undamaged_stream_gives_all_its_rows():
    """The target itself decodes what was not damaged."""
    rng = random.Random(3)  # noqa: S311
    shapes = [shape for shape in (draw_shape(rng) for _ in range(30)) if shape.fields]
    assert all(run_one(rng, shape, shape.stream)[0] == "batches" for shape in shapes)
    assert sum(run_one(rng, shape, shape.stream)[1] for shape in shapes) > 20
