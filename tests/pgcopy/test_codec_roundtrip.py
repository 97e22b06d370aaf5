"""Round trips: what the encoder writes, the decoder reads back unchanged, for every pair of types and every layout."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.types import arrow_kind, cast_from_pg, cast_to_pg
from bulkio.types.to_pg import _ENCODERS
from pgcopy import codec_cases as cases

quick = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def _ids(case: cases.Case) -> str:
    return case.id


def _pieces(array: pa.Array, cuts: list[int]) -> list[pa.Array]:
    """Cut an array into slices, empty ones among them."""
    bounds = [0, *sorted(min(cut, len(array)) for cut in cuts), len(array)]
    return [array.slice(a, b - a) for a, b in itertools.pairwise(bounds)]


@pytest.mark.parametrize("case", cases.ALL, ids=_ids)
def test_every_edge_comes_back(case, tally):
    """Each edge of each pair survives, in one batch, with NULLs between."""
    rows = case.edge_rows()
    batches = cases.decode(case, [cases.encode(case, [case.array(rows)])])
    assert [cell for batch in batches for cell in case.back(batch.column(0))] == case.expected(rows)
    tally.add(case.id, rows, case.edges)


@pytest.mark.parametrize("case", cases.ALL, ids=_ids)
def test_any_value_comes_back(case, tally):
    """Random cells survive, as slices with offsets, over several batches, blocks and chunks of any size."""

    @quick
    @given(st.data())
    def round_trip(data):
        rows = data.draw(st.lists(case.cells(), min_size=10, max_size=30))
        padding = data.draw(st.lists(case.cells(edges=True), max_size=9))
        whole = case.array(padding + rows + padding)
        pieces = _pieces(whole.slice(len(padding), len(rows)), data.draw(st.lists(st.integers(0, 30), max_size=3)))
        stream = cases.encode(case, pieces, block_bytes=data.draw(st.sampled_from([1, 64, 1 << 20])))
        step = data.draw(st.integers(1, len(stream)))
        chunks = [stream[i : i + step] for i in range(0, len(stream), step)]
        batches = cases.decode(case, chunks, batch_rows=data.draw(st.integers(1, 40)))
        assert [cell for batch in batches for cell in case.back(batch.column(0))] == case.expected(rows)
        assert sum(batch.num_rows for batch in batches) == len(rows)
        tally.add(case.id, rows, case.edges)

    round_trip()


@pytest.mark.parametrize("case", cases.ALL, ids=_ids)
def test_nothing_but_nulls_and_nothing_at_all(case):
    """A column of NULLs and an empty one come back as such."""
    nulls = [None] * 17
    batches = cases.decode(case, [cases.encode(case, [case.array(nulls)])])
    assert [b.column(0).null_count for b in batches] == [17]
    empty = cases.encode(case, [case.array([])])
    assert empty == cases.encode(case, [])
    assert cases.decode(case, [empty]) == []


#: encoders whose round trips stand in a file of their own, because their values are no plain Python ones
ELSEWHERE = {
    "test_composites.py": {"enum"},
    "test_geometry.py": {"geometry"},
    "test_network.py": {"inet", "macaddr"},
    "test_bits.py": {"bit"},
    "test_intervals.py": {"interval", "duration"},
    "test_timetz.py": {"timetz"},
    "test_money.py": {"decimal_to_money"},
    "test_literals.py": {"pg_lsn", "text_to_uuid"},
    "test_number_parsers.py": {"text_to_int", "text_to_float"},
    "test_versioned_text.py": {"versioned_text"},
    "test_encoder.py": {"bool8"},
}


def test_the_cases_cover_the_tables():
    """Every pair of the table has its case here, or its encoder a file of its own; every list layout has its case."""
    flat = {(arrow_kind(c.arrow), c.pg.codec) for c in cases.FLAT}
    elsewhere = set().union(*ELSEWHERE.values())
    missing = {pair for pair, encoder in _ENCODERS.items() if pair not in flat and encoder not in elsewhere}
    assert missing <= {("int", "uint4"), ("int", "uint8")}, "these are in test_unsigned.py"
    assert all((Path(__file__).parent / name).exists() for name in ELSEWHERE)
    elements = {c.pg.element.codec for c in cases.LISTS}
    assert elements == {c.pg.codec for c in cases.FLAT}
    assert {c.layout.name for c in cases.LISTS} == {
        "list",
        "large_list",
        "fixed_size_list",
        "list_view",
        "large_list_view",
    }


def test_all_columns_together():
    """All flat cases side by side in one stream do not disturb each other."""
    columns = [c.array((c.edge_rows() * 10)[:40]) for c in cases.FLAT]
    names = [str(i) for i in range(len(columns))]
    encoder = Encoder([Field(n, cast_to_pg(c.arrow, c.pg)) for n, c in zip(names, cases.FLAT, strict=True)])
    batch = pa.record_batch(columns, names)
    blocks = [bytes(b) for b in encoder.encode(batch)] + [bytes(encoder.finish())]
    casts = [cast_from_pg(c.pg) for c in cases.FLAT]
    schema = pa.schema([pa.field(n, cast.arrow) for n, cast in zip(names, casts, strict=True)])
    decoder = Decoder([Field(n, cast) for n, cast in zip(names, casts, strict=True)], schema, batch_rows=7)
    for block in blocks:
        decoder.feed(block)
    back = pa.Table.from_batches([pa.record_batch(b) for b in decoder.batches() + decoder.finish()])
    back.validate(full=True)
    for i, case in enumerate(cases.FLAT):
        got = case.back(back.column(i).combine_chunks())
        assert got == case.expected((case.edge_rows() * 10)[:40]), case.id
