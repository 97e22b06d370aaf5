"""The round-trip cases of types made of others: composites, ranges, multiranges, enums, arrays of them.

The types are made here by hand, as a catalog would have told of them; their values are drawn from the type itself.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from bulkio.types import ARRAY, PgType, array_of, base_type, cast_from_pg, numeric_typmod
from pgcopy import codec_build as arrays
from pgcopy import codec_cases as cases

INT4, TEXT, DATE = base_type("int4"), base_type("text"), base_type("date")


def composite(name: str, oid: int, **fields: PgType) -> PgType:
    """Return a composite type."""
    return PgType(name, oid, oid + 1, "composite", "public", fields=tuple(fields.items()))


def range_of(name: str, oid: int, bound: PgType) -> PgType:
    """Return a range type."""
    return PgType(name, oid, oid + 1, "range", element=bound)


def matrix(element: PgType, dimensions: int) -> PgType:
    """Return an array of several declared dimensions."""
    return replace(array_of(element), dimensions=dimensions)


def range_value(lower: object, upper: object, bounds: str = "[)", *, empty: bool = False) -> dict[str, object]:
    """Return a range's value; a bound that is None is infinite, and then never inclusive."""
    return {
        "lower": lower,
        "upper": upper,
        "lower_inc": bounds[0] == "[" and lower is not None,
        "upper_inc": bounds[1] == "]" and upper is not None,
        "empty": empty,
    }


EMPTY = range_value(None, None, empty=True)

#: labels that quoting, hashing and Unicode could trip over
LABELS = ("sad", "ok", "happy", "", "NULL", 'a"b\\c', "ünï", "a,b", " lead", "x" * 63)
MOOD = PgType("mood", 50000, 50001, "enum", "public", labels=LABELS)
MOOD_DOMAIN = replace(MOOD, name="mood_domain", oid=50002, array_oid=50003, domain_of=MOOD)
POSITIVE = replace(INT4, name="posint", oid=50004, array_oid=50005, schema="public", domain_of=INT4)
PRICE = base_type("numeric", numeric_typmod(10, 2))

PAIR = composite("pair", 50010, a=INT4, b=TEXT)
DEEP = composite(
    "deep", 50012, pair=PAIR, pairs=array_of(PAIR), mood=MOOD_DOMAIN, price=PRICE, moods=array_of(MOOD_DOMAIN)
)
NOTHING = composite("nothing", 50014)
INT4RANGE = range_of("int4range", 3904, INT4)
DATERANGE = range_of("daterange", 3912, DATE)
TEXTRANGE = range_of("textrange", 50020, TEXT)
RANGES = PgType("int4multirange", 4451, 6150, "multirange", element=INT4RANGE)
HOLDER = composite("holder", 50022, span=DATERANGE, spans=RANGES, positive=POSITIVE)

_LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "int4": st.integers(-(1 << 31), (1 << 31) - 1),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    "numeric": st.integers(-(10**10) + 1, 10**10 - 1).map(lambda n: Decimal(n).scaleb(-2)),
    "date": st.dates(datetime.date(1, 1, 1)),
}


def values_of(pg: PgType) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a type, in Python's form of its Arrow type."""
    if pg.codec == "enum":
        return st.sampled_from(pg.labels)
    if pg.codec == "composite":
        return st.fixed_dictionaries({name: st.none() | values_of(field) for name, field in pg.fields})
    if pg.codec == "range":
        bound = st.none() | values_of(pg.item)
        whole = st.builds(range_value, bound, bound, st.sampled_from(["[]", "[)", "(]", "()"]))
        return whole | st.just(EMPTY)
    if pg.codec == "multirange":
        return st.lists(values_of(pg.item), max_size=3)
    if pg.codec == ARRAY:
        return _array_values(pg)
    return _LEAVES[pg.codec]


def _array_values(pg: PgType) -> st.SearchStrategy[Any]:
    element = st.none() | values_of(pg.item)
    if pg.dimensions == 1:
        return st.lists(element, max_size=3)

    def nested(sizes: list[int]) -> st.SearchStrategy[Any]:
        inner = nested(sizes[1:]) if len(sizes) > 1 else element
        return st.lists(inner, min_size=sizes[0], max_size=sizes[0])

    sizes = st.lists(st.integers(1, 3), min_size=pg.dimensions, max_size=pg.dimensions)
    return st.just([]) | sizes.flatmap(nested)


def _case(pg: PgType, *edges: object, arrow: pa.DataType | None = None) -> cases.Case:
    arrow = arrow or cast_from_pg(pg).arrow
    build = arrays.by_dictionary(arrays.plain) if pa.types.is_dictionary(arrow) else arrays.plain
    return cases.Case(arrow, pg, values_of(pg), edges, build)


def no_fields(pg: PgType) -> dict[str, None]:
    """Return a composite value of NULLs."""
    return {name: None for name, _ in pg.fields}


_PAIRS = ({"a": 1, "b": 'x"\\,)'}, {"a": None, "b": ""}, no_fields(PAIR))

ALL = (
    _case(MOOD, *LABELS),
    *(_case(MOOD, *LABELS, arrow=arrow) for arrow in (pa.string(), pa.large_string(), pa.string_view())),
    _case(MOOD_DOMAIN, *LABELS, arrow=pa.dictionary(pa.uint8(), pa.string_view())),
    _case(PAIR, *_PAIRS),
    _case(NOTHING, {}),
    _case(DEEP, no_fields(DEEP), {**no_fields(DEEP), "pair": _PAIRS[0], "pairs": [*_PAIRS, None], "mood": "ok"}),
    _case(HOLDER, no_fields(HOLDER), {"span": EMPTY, "spans": [EMPTY], "positive": 1}),
    _case(INT4RANGE, EMPTY, range_value(1, 5), range_value(None, 5), range_value(None, None), range_value(1, 1, "[]")),
    _case(DATERANGE, EMPTY, range_value(datetime.date(2020, 1, 1), None, "(]")),
    _case(TEXTRANGE, EMPTY, range_value("", '"\\', "[]")),
    _case(RANGES, [], [EMPTY], [range_value(1, 5), range_value(7, None)]),
    *(_case(array_of(pg), [], [None]) for pg in (MOOD, MOOD_DOMAIN, POSITIVE, PAIR, DEEP, INT4RANGE, RANGES)),
    _case(matrix(INT4, 2), [], [[1]], [[1, None], [None, 4], [5, 6]]),
    _case(matrix(PAIR, 3), [], [[[_PAIRS[0]], [None]]]),
    _case(matrix(MOOD, 6), [], [[[[[["ok", "sad"]]]]]]),
    _case(composite("grid", 50024, grid=matrix(TEXT, 2)), {"grid": [["a"], [None]]}, {"grid": None}),
)
