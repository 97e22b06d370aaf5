"""JSON texts from Arrow columns: the values that JSON parsers and the server read; refusals by row."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import EncodeError, SchemaError
from bulkio.forms.json_text import json_texts
from older_pyarrow import halves

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg


def texts(column: pa.Array, *, first_row: int = 1) -> list[str | None]:
    """Make the texts, and look at them as Arrow."""
    made = json_texts(column, name="c", first_row=first_row)
    made.validate(full=True)
    assert made.type == pa.large_string()
    values: list[str | None] = made.to_pylist()
    return values


LISTS = (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)
NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=4)

LEAVES: list[tuple[pa.DataType, st.SearchStrategy[object]]] = [
    (pa.string(), NAMES),
    (pa.large_string(), NAMES),
    (pa.string_view(), NAMES),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    (pa.bool_(), st.booleans()),
    (pa.null(), st.none()),
]


@st.composite
def columns(draw: st.DrawFn, depth: int = 3) -> tuple[pa.DataType, st.SearchStrategy[object]]:
    """Return an Arrow type and a strategy for its values, NULLs among them."""
    kind = draw(st.sampled_from(["leaf", "list", "fixed", "struct", "map"])) if depth else "leaf"
    if kind == "leaf":
        arrow, values = draw(st.sampled_from(LEAVES))
    elif kind == "struct":
        names = draw(st.lists(NAMES, max_size=3, unique=True))
        children = [draw(columns(depth=depth - 1)) for _ in names]
        arrow = pa.struct([(name, child[0]) for name, child in zip(names, children, strict=True)])
        values = st.fixed_dictionaries({name: child[1] for name, child in zip(names, children, strict=True)})
    else:
        inner, inner_values = draw(columns(depth=depth - 1))
        if kind == "map":
            arrow = pa.map_(pa.string(), inner)
            values = st.dictionaries(NAMES, inner_values, max_size=3).map(lambda pairs: list(pairs.items()))
        elif kind == "fixed":
            arrow = pa.list_(inner, 2)
            values = st.lists(inner_values, min_size=2, max_size=2)
        else:
            arrow = draw(st.sampled_from(LISTS))(inner)
            values = st.lists(inner_values, max_size=3)
    return arrow, st.none() | values


def expected(value: object, arrow: pa.DataType) -> object:
    """Return what a JSON parser should see."""
    if value is None:
        return None
    if pa.types.is_struct(arrow):
        return {f.name: expected(value[f.name], f.type) for f in arrow}  # type: ignore[index]
    if pa.types.is_map(arrow):
        return {key: expected(item, arrow.item_type) for key, item in value}  # type: ignore[attr-defined]
    if hasattr(arrow, "value_type"):
        return [expected(item, arrow.value_type) for item in value]  # type: ignore[attr-defined]
    return value


def plain(value: object) -> object:
    """Return the same value with whole floats as integers: JSON has numbers alone."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


@given(st.data())
def test_any_nesting(data: st.DataObject) -> None:
    """Of any type that nests, in any slice, a JSON parser reads the values; a NULL row stays NULL."""
    arrow, values = data.draw(columns())
    column = pa.array(data.draw(st.lists(values, max_size=6)), arrow)[data.draw(st.integers(0, 2)) :]
    wanted = column.to_pylist()
    for text, value in zip(texts(column), wanted, strict=True):
        if value is None:
            assert text is None
        else:
            assert text is not None
            assert repr(plain(json.loads(text))) == repr(plain(json.loads(json.dumps(expected(value, arrow)))))


def test_null_inside_and_out() -> None:
    """NULL rows stay NULL; every NULL inside is JSON's null; what Arrow hides under a NULL does not show."""
    hidden = pa.StructArray.from_arrays([pa.array([1.0, float("nan")])], ["a"], mask=pa.array([False, True]))
    assert texts(hidden) == ['{"a":1}', None]
    nested = pa.array([{"a": None, "b": [None, {"c": None}]}, None])
    assert texts(nested) == ['{"a":null,"b":[null,{"c":null}]}', None]
    assert texts(pa.array([{}, None], pa.struct([]))) == ["{}", None]
    assert texts(pa.array([[], None], pa.list_(pa.null()))) == ["[]", None]


def extension(arrow: pa.DataType, storage: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(arrow, storage)


LEAF_TEXTS = [
    (pa.array([2**63 - 1]), "9223372036854775807"),
    (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
    (pa.array([Decimal("12.30")]), "12.30"),
    (pa.array([Decimal("12345678901234567890.123456789")]), "12345678901234567890.123456789"),
    (pa.array([Decimal(12000)], pa.decimal128(5, -3)), "1.2E+4"),
    (pa.array([0.1]), "0.1"),
    (pa.array([0.1], pa.float32()), "0.1"),
    (halves([0.5], pa.float16()), "0.5"),
    (pa.array([5e-324]), "5e-324"),
    (pa.array(['a"\\\n\x01é\t']), '"a\\"\\\\\\n\\u0001é\\t"'),
    (pa.array([b"\x00\xff"]), '"\\\\x00ff"'),
    (pa.array([b"\x00\xff"], pa.binary(2)), '"\\\\x00ff"'),
    (pa.array([0], pa.date32()), '"1970-01-01"'),
    (pa.array([-719163], pa.date32()), '"0001-12-31 BC"'),
    (pa.array([86400000], pa.date64()), '"1970-01-02"'),
    (pa.array([1], pa.time64("ns")), '"00:00:00.000000001"'),
    (pa.array([1], pa.timestamp("ns")), '"1970-01-01T00:00:00.000000001"'),
    (pa.array([1], pa.timestamp("us", "Europe/Berlin")), '"1970-01-01T00:00:00.000001Z"'),
    (pa.array([253402300800], pa.timestamp("s")), '"10000-01-01T00:00:00.000000"'),
    (pa.array([-(10**14)], pa.timestamp("ms", "UTC")), '"1200-02-15T14:13:20.000000Z BC"'),
    (pa.array([-1500], pa.duration("ms")), '"PT-1.5S"'),
    (pa.array([pa.MonthDayNano([14, -3, 1])]), '"P14M-3DT0.000000001S"'),
    (pa.array(["a"]).dictionary_encode(), '"a"'),
    (pa.RunEndEncodedArray.from_arrays([1], [7]), "7"),
    (extension(pa.bool8(), pa.array([1], pa.int8())), "true"),
    (extension(pa.uuid(), pa.array([uuid.UUID(int=5).bytes], pa.binary(16))), f'"{uuid.UUID(int=5)}"'),
    (extension(pa.json_(), pa.array(['{"a": 1e400, "b": [1.0]}'])), '{"a": 1e400, "b": [1.0]}'),
    (pa.array([[(1, "x")]], pa.map_(pa.int32(), pa.string())), '{"1":"x"}'),
    (pa.array([[(True, 1)]], pa.map_(pa.bool_(), pa.int8())), '{"true":1}'),
    (pa.array([[(0, 1)]], pa.map_(pa.date32(), pa.int8())), '{"1970-01-01":1}'),
]


@pytest.mark.parametrize(("column", "text"), LEAF_TEXTS, ids=[str(column.type) for column, _ in LEAF_TEXTS])
def test_leaves(column: pa.Array, text: str) -> None:
    """Each type's text, on its own and inside a list."""
    assert texts(column) == [text]
    if not isinstance(column, pa.RunEndEncodedArray):
        lists = pa.ListArray.from_arrays(pa.array([0, 0, 1], pa.int32()), column)
        assert texts(lists) == ["[]", f"[{text}]"]


NAN = float("nan")
FAULTS = [
    (pa.array([[1.0], [2.0, NAN]]), 2, "nan cannot stand in JSON"),
    (pa.array([None, [], [[1.0], [float("inf")]]]), 3, "inf cannot stand in JSON"),
    (pa.array([{"a": {"b": 1.0}}, {"a": {"b": NAN}}]), 2, "nan cannot"),
    (pa.array([{"a": "x"}, {"a": "x\0"}]), 2, "NUL character"),
    (pa.array([[("a", 1)], [("b", 1), ("a", 1), ("b", 2)]], pa.map_(pa.string(), pa.int8())), 2, "the key 'b' twice"),
    (pa.array([["[1]"], ["{"]], pa.list_(pa.string())).cast(pa.list_(pa.json_())), 2, "not a valid json"),
    (extension(pa.json_(), pa.array(["1", '{"a":1,"a":1}'])), 2, "a key twice"),
    (extension(pa.json_(), pa.array(["1", '1,"x":2'])), 2, "not a valid json"),
    (extension(pa.json_(), pa.array(["1", "[NaN]"])), 2, "NaN cannot stand in JSON"),
    (pa.array([0, 1], pa.date64()), 2, "not a whole day"),
    (pa.DictionaryArray.from_arrays([0, 1], pa.array([0.0, NAN])), 2, "nan cannot"),
    (
        pa.MapArray.from_arrays([0, 1, 2], pa.DictionaryArray.from_arrays([0, 1], ["a", None]), pa.array([1, 2])),
        2,
        "key is NULL",
    ),
]


@pytest.mark.parametrize(("column", "row", "why"), FAULTS, ids=[why for _, _, why in FAULTS])
def test_faults_name_row_and_column(column: pa.Array, row: int, why: str) -> None:
    """What JSON or jsonb cannot hold is an EncodeError with the row of the whole load."""
    with pytest.raises(EncodeError, match=rf'row {row + 100}, column "c": .*{why}') as info:
        texts(column, first_row=101)
    assert (info.value.row, info.value.column) == (row + 100, "c")


def test_an_unused_fault_is_none() -> None:
    """A dictionary's value that no row has may be anything."""
    assert texts(pa.DictionaryArray.from_arrays([0, None], pa.array([0.5, NAN]))) == ["0.5", None]


@pytest.mark.parametrize(
    "column",
    [
        pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]),
        pa.array([{"\0": 1}]),
        pa.array([[(1.5, 1)]], pa.map_(pa.float64(), pa.int8())),
    ],
    ids=["a field twice", "NUL in a name", "float keys"],
)
def test_types_without_a_form(column: pa.Array) -> None:
    """They are a SchemaError that names the column."""
    with pytest.raises(SchemaError, match='column "c": ') as info:
        texts(column)
    assert info.value.columns == ("c",)


#: what a cast of the server makes of a text
CAST_BACK = {
    '"\\\\x00ff"': ("bytea", "\\x00ff"),
    '"1970-01-01"': ("date", "1970-01-01"),
    '"0001-12-31 BC"': ("date", "0001-12-31 BC"),
    '"1970-01-01T00:00:00.000001Z"': ("timestamptz", "1970-01-01 00:00:00.000001+00"),
    '"10000-01-01T00:00:00.000000"': ("timestamp", "10000-01-01 00:00:00"),
    '"1200-02-15T14:13:20.000000Z BC"': ("timestamptz", "1200-02-15 14:13:20+00 BC"),
    '"PT-1.5S"': ("interval", "-1.5 seconds"),
    '"P14M-3DT0.000000001S"': ("interval", "14 months -3 days"),
    f'"{uuid.UUID(int=5)}"': ("uuid", str(uuid.UUID(int=5))),
    "1.2E+4": ("numeric", "12000"),
    "12.30": ("numeric", "12.30"),
}


def test_the_server_reads_the_same(dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """PostgreSQL's jsonb takes every text, and its casts read the leaves back as the values they were."""
    conn = connect(dsn)
    column = pa.array([{"n": Decimal("12.30"), "i": 2**63 - 1, "s": 'a"\\\n\x01é', "x": 0.1}])
    row = conn.execute(
        "SELECT (j->>'n'), (j->>'i')::int8, (j->>'s'), (j->>'x')::float8 FROM (SELECT %s::text::jsonb AS j) AS t",
        texts(column),
    ).fetchone()
    assert row == ("12.30", 2**63 - 1, 'a"\\\n\x01é', 0.1)
    for _, text in LEAF_TEXTS:
        conn.execute("SELECT %s::text::jsonb", [text])
    for text, (pg, value) in CAST_BACK.items():
        assert text in [known for _, known in LEAF_TEXTS]
        query = f"SELECT (%s::text::jsonb #>> '{{}}')::{pg} = %s::text::{pg}"
        assert conn.execute(query, [text, value]).fetchone() == (True,), text
