"""The pairs of types: which are allowed and by which codec, which Arrow type comes back, what a new table gets."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from bulkio.pgcopy.registry import DECODERS, ENCODERS
from bulkio.types import (
    BASE_TYPES,
    PREPARED,
    SERVER_TEXT,
    array_of,
    arrow_kind,
    base_type,
    cast_from_pg,
    cast_to_pg,
    pg_type_for,
)
from bulkio.types.from_pg import _FROM_PG, _NESTED_FROM_PG
from bulkio.types.isotexts import ISO_CODECS
from bulkio.types.to_pg import _ENCODERS, _LOSSY, _NESTED


def numeric(precision: int, scale: int):
    """Return a numeric type by precision and scale."""
    return base_type("numeric", ((precision << 16) | (scale & 0x7FF)) + 4)


ARROW = {
    "bool": [pa.bool_()],
    "int": [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()],
    "float32": [pa.float16(), pa.float32()],
    "float64": [pa.float64()],
    "decimal": [pa.decimal32(5, 2), pa.decimal64(18, 2), pa.decimal128(38, 2), pa.decimal256(76, 2)],
    "text": [pa.string(), pa.large_string(), pa.string_view()],
    "json": [pa.json_(), pa.json_(pa.large_string()), pa.json_(pa.string_view())],
    "binary": [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3)],
    "binary16": [pa.binary(16)],
    "uuid": [pa.uuid()],
    "date": [pa.date32(), pa.date64()],
    "time": [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")],
    "timestamp": [pa.timestamp(u) for u in ("s", "ms", "us", "ns")],
    "instant": [pa.timestamp("us", "UTC"), pa.timestamp("ns", "Asia/Tokyo")],
}
UNIONS = [pa.dense_union([pa.field("a", pa.int32())]), pa.sparse_union([pa.field("a", pa.int32())])]


@pytest.mark.parametrize(("kind", "arrow"), [(k, t) for k, types in ARROW.items() for t in types], ids=str)
def test_each_arrow_type_has_its_kind(kind, arrow):
    """Every Arrow type falls into the family whose row of the table it uses, and into no other pair."""
    assert arrow_kind(arrow) == kind
    casts = {pg.name: cast_to_pg(arrow, pg) for pg in BASE_TYPES}
    allowed = {name for name, cast in casts.items() if cast is not None and cast.codec != SERVER_TEXT}
    # the server reads the text of every type that bulkio has no parser for
    assert (kind == "text") == any(cast is not None and cast.needs_server for cast in casts.values())
    assert allowed == {pg.name for pg in BASE_TYPES if (kind, pg.codec) in _ENCODERS}
    assert allowed


@pytest.mark.parametrize("arrow", UNIONS, ids=str)
def test_unions_get_no_column(arrow):
    """Unions go into json alone, and only where that is there already; no list of them, no column."""
    assert {pg.name for pg in BASE_TYPES if cast_to_pg(arrow, pg)} == {"json", "jsonb"}
    assert all(cast_to_pg(pa.list_(arrow), array_of(pg)) is None for pg in BASE_TYPES)
    assert pg_type_for(arrow) is None
    assert pg_type_for(pa.list_(arrow)) is None


def test_every_named_codec_exists():
    """Each encoder and decoder that the tables name is a class of the codec, and no class is without a name."""
    nested = {"array", "composite", "range", "multirange", "vector", "halfvec", "point", "interval_struct", "hstore"}
    encoders = {*_ENCODERS.values(), *_LOSSY.values(), *ISO_CODECS.values(), *nested, "null", "dictionary", SERVER_TEXT}
    assert encoders == set(ENCODERS)
    decoders = {name for name, _ in _FROM_PG.values()} | {"decimal", "numeric_text", "numeric_float", "interval_struct"}
    assert decoders | (set(_NESTED_FROM_PG) - {"numeric"}) == set(DECODERS)
    assert {codec for _, codec in _NESTED} <= {*_FROM_PG, *_NESTED_FROM_PG}
    assert not PREPARED & set(ENCODERS)


def test_dictionaries_take_their_values_pair():
    """A dictionary goes wherever its values go; the wrapper keeps the dictionary's own Arrow type."""
    arrow = pa.dictionary(pa.int8(), pa.large_string())
    cast = cast_to_pg(arrow, base_type("numeric"))
    assert cast is not None
    assert (cast.codec, cast.arrow, cast.children[0].codec) == ("dictionary", arrow, "text_to_numeric")
    assert cast_to_pg(pa.dictionary(pa.int8(), pa.binary()), base_type("int4")) is None


def test_lists_go_into_arrays_only():
    """A list goes into an array whose elements take its own, with the array's typmod; never into a scalar."""
    cast = cast_to_pg(pa.large_list(pa.string()), array_of(base_type("varchar", 14)))
    assert cast is not None
    assert (cast.codec, cast.children[0].codec, cast.children[0].pg.max_chars) == ("array", "text", 10)
    assert cast_to_pg(pa.list_(pa.string()), base_type("text")) is None
    assert cast_to_pg(pa.string(), array_of(base_type("text"))).codec == SERVER_TEXT
    assert cast_to_pg(pa.list_(pa.string()), array_of(base_type("date"))).needs_server
    assert cast_to_pg(pa.list_(pa.binary()), array_of(base_type("int4"))) is None
    assert cast_to_pg(pa.list_(pa.list_(pa.int32())), array_of(base_type("int4"))) is None


@pytest.mark.parametrize("pg", BASE_TYPES, ids=lambda pg: pg.name)
def test_what_comes_back_goes_in_again(pg):
    """The Arrow type that a PostgreSQL type becomes is accepted by that type, and so are arrays of it."""
    for one in (pg, array_of(pg)):
        back = cast_from_pg(one)
        assert cast_to_pg(back.arrow, one) is not None
        assert back.pg == one


@pytest.mark.parametrize(
    ("pg", "arrow"),
    [
        (numeric(10, 2), pa.decimal128(10, 2)),
        (numeric(38, 0), pa.decimal128(38, 0)),
        (numeric(39, 0), pa.decimal256(39, 0)),
        (numeric(76, 76), pa.decimal256(76, 76)),
        (numeric(77, 0), pa.string()),
        (numeric(1000, 2), pa.string()),
        (numeric(5, -2), pa.decimal128(7, 0)),
        (numeric(38, -1), pa.decimal256(39, 0)),
        (numeric(70, -7), pa.string()),
        (numeric(3, 5), pa.decimal128(5, 5)),
        (numeric(1, 77), pa.string()),
        (base_type("numeric"), pa.string()),
        (array_of(numeric(10, 2)), pa.list_(pa.decimal128(10, 2))),
        (array_of(base_type("jsonb")), pa.list_(pa.json_())),
        (base_type("timestamptz"), pa.timestamp("us", "UTC")),
    ],
    ids=lambda value: getattr(value, "sql", str(value)),
)
def test_arrow_type_of_a_postgres_type(pg, arrow):
    """A decimal is as wide as needed; past 76 digits, or without a precision, a numeric is a string."""
    assert cast_from_pg(pg).arrow == arrow


@pytest.mark.parametrize(
    ("arrow", "sql"),
    [
        *((pa.bool_(), "bool"), (pa.int8(), "int2"), (pa.uint8(), "int2"), (pa.int16(), "int2"), (pa.uint16(), "int4")),
        *((pa.int32(), "int4"), (pa.uint32(), "int8"), (pa.int64(), "int8"), (pa.uint64(), "numeric(20,0)")),
        *((pa.float16(), "float4"), (pa.float32(), "float4"), (pa.float64(), "float8")),
        *((pa.decimal32(9, 2), "numeric(9,2)"), (pa.decimal128(38, 38), "numeric(38,38)")),
        *((pa.decimal128(10, -3), "numeric(13,0)"), (pa.decimal256(76, 10), "numeric(76,10)")),
        *((pa.decimal128(3, 5), "numeric(5,5)"), (pa.string(), "text"), (pa.large_string(), "text")),
        *((pa.string_view(), "text"), (pa.dictionary(pa.int8(), pa.string()), "text"), (pa.json_(), "json")),
        *((pa.binary(), "bytea"), (pa.binary(16), "bytea"), (pa.binary(5), "bytea"), (pa.binary_view(), "bytea")),
        *((pa.uuid(), "uuid"), (pa.date32(), "date"), (pa.date64(), "date"), (pa.time32("s"), "time")),
        *((pa.time64("ns"), "time"), (pa.timestamp("ns"), "timestamp"), (pa.timestamp("s", "UTC"), "timestamptz")),
        *((pa.null(), "text"), (pa.list_(pa.int32()), "int4[]"), (pa.large_list(pa.uuid()), "uuid[]")),
        *((pa.list_(pa.decimal128(9, 2), 3), "numeric(9,2)[]"), (pa.list_view(pa.string()), "text[]")),
        *((pa.list_(pa.null()), "text[]"), (pa.list_(pa.dictionary(pa.int8(), pa.string())), "text[]")),
    ],
    ids=str,
)
def test_column_of_a_new_table(arrow, sql):
    """Each Arrow type gets the narrowest column that holds all its values, and can be loaded into it."""
    pg = pg_type_for(arrow)
    assert pg is not None
    assert pg.sql == sql
    assert cast_to_pg(arrow, pg) is not None


def test_nested_lists_become_jsonb_unless_dimensions_are_declared():
    """A list of lists is not turned into a two-dimensional array by guess."""
    nested = pa.list_(pa.list_(pa.int32()))
    assert pg_type_for(nested).sql == "jsonb"
    declared = pg_type_for(nested, dimensions=2)
    assert (declared.sql, declared.dimensions) == ("int4[]", 2)
    assert cast_to_pg(nested, declared) is not None
    assert cast_to_pg(nested, array_of(base_type("int4"))) is None
    assert pg_type_for(pa.struct([("a", pa.int32())])).sql == "jsonb"


def test_text_into_money_of_other_places():
    """The server reads text in the C locale, whose money has two decimal places: elsewhere it would be another sum."""
    money = base_type("money")
    for text in (pa.string(), pa.dictionary(pa.int8(), pa.string())):
        assert cast_to_pg(text, money) is not None
        for scale in (0, 3):
            assert cast_to_pg(text, replace(money, money_scale=scale)) is None
    assert cast_to_pg(pa.decimal128(10, 0), replace(money, money_scale=0)) is not None
