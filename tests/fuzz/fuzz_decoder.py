"""Fuzz the decoder.

THE INVARIANT: whatever bytes come, cut wherever, and whatever the columns are, feed() and finish() either raise
DecodeError, or the batches they give pass Arrow's full validation. No other exception, no crash, no hang (an input
taking more than a second fails), and no memory to speak of (the process's peak grows by less than 512 MiB).

    python tests/fuzz/fuzz_decoder.py --count 1000000 --seed 1

The same seed gives the same inputs. A failure prints the seed, the number of the input, its columns and its bytes.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/, where pytest finds it by itself

from bulkio.errors import DecodeError
from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.pgcopy.encoder import HEADER, TRAILER
from bulkio.types import Cast, Policies, cast_from_pg, cast_to_pg, with_policies
from bulkio.types.from_pg import interval_struct, numeric_as, with_leaves
from bulkio.types.wire import wire_cast
from pgcopy import codec_cases as cases
from pgcopy import composite_cases as composites
from pgcopy import scalar_cases as scalars

#: Inputs made from one list of columns before another is drawn.
INPUTS_PER_SHAPE = 50
SLOW_S = 1.0
GROWTH_BYTES = 512 << 20
#: 16- and 32-bit words that are the ends of something.
_WORDS = [
    n.to_bytes(4, "big", signed=True) for n in (-(1 << 31), -65537, -2, -1, 0, 1, 2, 12, 255, 65536, (1 << 31) - 1)
]
_HALVES = [
    n.to_bytes(2, "big") for n in (0, 1, 9999, 10000, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xC000, 0xD000, 0xF000, 0xFFFF)
]
#: One case for each PostgreSQL type and form: what differs in Arrow alone makes the same bytes.
_DISTINCT = tuple(
    {
        (case.pg.sql, case.pg.dimensions, str(cast_from_pg(case.pg).arrow)): case
        for case in cases.ALL + composites.ALL + scalars.ALL
    }.values()
)


#: What the user may allow on the way out, branches of some decoders.
_POLICIES = (
    Policies(),
    Policies(infinity="null", nan="null", bounds="drop"),
    Policies(infinity="sentinel"),
)


def casts_of(case: cases.Case | scalars.Edges) -> list[Cast]:
    """Return the casts that a case's bytes are decoded with: all that an export can ask for, and a load's once more."""
    how = cast_from_pg(case.pg)
    changes = (interval_struct, *(partial(numeric_as, arrow=arrow) for arrow in (pa.float64(), pa.decimal128(38, 9))))
    exports = [how, *(with_leaves(how, change) for change in changes)]
    return [*exports, wire_cast(cast_to_pg(case.arrow, case.pg))]


def drawn_casts() -> list[Cast]:
    """Return every cast that `draw_shape` may draw."""
    return [how for case in _DISTINCT for how in casts_of(case)]


@dataclass(frozen=True)
class Shape:
    """A list of columns, and a valid stream for it."""

    fields: list[Field]
    schema: pa.Schema
    stream: bytes


@dataclass
class Result:
    """How many inputs ended how."""

    outcomes: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    seconds: float = 0.0


def draw_shape(rng: random.Random) -> Shape:
    """Draw up to six columns and encode a few rows of their edges."""
    chosen = rng.choices(_DISTINCT, k=rng.randint(0, 6))
    names = [str(i) for i in range(len(chosen))]
    rows = rng.randint(0, 5)
    encoder = Encoder([Field(n, cast_to_pg(c.arrow, c.pg)) for n, c in zip(names, chosen, strict=True)])
    blocks = []
    if chosen:
        columns = [case.array(rng.choices(case.edge_rows(), k=rows)) for case in chosen]
        blocks = list(encoder.encode(pa.record_batch(columns, names)))
    stream = b"".join(map(bytes, [*blocks, encoder.finish()]))
    policies = rng.choice(_POLICIES)
    casts = [with_policies(rng.choice(casts_of(case)), policies) for case in chosen]
    schema = pa.schema([pa.field(n, cast.arrow) for n, cast in zip(names, casts, strict=True)])
    return Shape([Field(n, cast) for n, cast in zip(names, casts, strict=True)], schema, stream)


def mutate(rng: random.Random, stream: bytes) -> bytes:
    """Damage a valid stream in one to four places, or make one up."""
    kind = rng.random()
    if kind < 0.02:
        return stream
    if kind < 0.05:
        return rng.randbytes(rng.randint(0, 60))
    if kind < 0.1:
        return HEADER + rng.randbytes(rng.randint(0, 60)) + TRAILER * rng.randint(0, 1)
    data = bytearray(stream)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _damage(rng, data)
    return bytes(data)


def _damage(rng: random.Random, data: bytearray) -> None:
    # mostly past the header: damage there is found at once
    at = rng.randint(min(len(HEADER), len(data)) if rng.random() < 0.97 else 0, len(data))
    kind = rng.randrange(7)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + 4] = rng.choice(_WORDS)
    elif kind == 2:
        data[at : at + 2] = rng.choice(_HALVES)
    elif kind == 3:
        del data[at : at + rng.randint(1, 8)]
    elif kind == 4:
        data[at:at] = rng.randbytes(rng.randint(1, 8))
    elif kind == 5:
        del data[at:]
    else:
        start = rng.randint(0, len(data))
        data[at:at] = data[start : start + rng.randint(1, 40)]


def run_one(rng: random.Random, shape: Shape, data: bytes) -> tuple[str, int]:
    """Decode one input in chunks; gives how it ended and the rows it gave."""
    decoder = Decoder(
        shape.fields, shape.schema, batch_rows=rng.choice((1, 3, 1000)), batch_bytes=rng.choice((1, 1 << 20))
    )
    step = rng.choice((len(data) or 1, len(data) or 1, 1, 7, 31))
    try:
        for i in range(0, len(data), step):
            chunk = data[i : i + step]
            # an allocation of exactly this size: bytes have a NUL behind them, bytearrays spare room
            decoder.feed((ctypes.c_char * len(chunk)).from_buffer_copy(chunk))
        done = decoder.finish()
    except DecodeError:
        return "DecodeError", 0
    rows = 0
    for one in done:
        batch = pa.record_batch(one)
        batch.validate(full=True)
        rows += batch.num_rows
    return "batches", rows


def fuzz(count: int, seed: int = 0) -> Result:
    """Run `count` inputs. Raises AssertionError with the input where the invariant does not hold."""
    result = Result()
    began = time.perf_counter()
    peak = _peak_bytes()
    rng = random.Random(seed)  # noqa: S311  # repeatable on purpose
    for number in range(count):
        if number % INPUTS_PER_SHAPE == 0:
            shape = draw_shape(rng)
        data = mutate(rng, shape.stream)
        where = f"seed {seed}, input {number}, columns {[f.cast.pg.sql for f in shape.fields]}, bytes {data.hex()}"
        started = time.process_time()
        try:
            outcome, rows = run_one(rng, shape, data)
        except Exception as error:
            raise AssertionError(f"{error!r}: {where}") from error
        assert time.process_time() - started < SLOW_S, f"slow: {where}"
        result.outcomes[outcome] += 1
        result.rows += rows
    assert _peak_bytes() - peak < GROWTH_BYTES, f"the peak grew by {_peak_bytes() - peak} bytes, seed {seed}"
    result.seconds = time.perf_counter() - began
    return result


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Fuzz bulkio's decoder of COPY BINARY.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    result = fuzz(args.count, args.seed)
    ended = ", ".join(f"{name} {n:,}" for name, n in sorted(result.outcomes.items()))
    print(  # noqa: T201
        f"{args.count:,} inputs, seed {args.seed}: {ended}; {result.rows:,} rows;"
        f" {result.seconds:.0f} s, {args.count / result.seconds:,.0f} inputs/s;"
        f" peak {_peak_bytes() >> 20} MiB"
    )


if __name__ == "__main__":
    main()
