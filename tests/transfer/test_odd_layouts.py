"""Arrow's many layouts of the same values, through every method."""

from __future__ import annotations

import psycopg
import pyarrow as pa
import pytest

import bulkio
from servers import connect

UUID = b"0123456789abcdef"


def runs(values: pa.Array) -> pa.Array:
    """Return the values twice each, as runs."""
    return pa.RunEndEncodedArray.from_arrays(pa.array([2 * i + 2 for i in range(len(values))], pa.int32()), values)


def opaque(values: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.opaque(values.type, "what", "nobody"), values)


def without_elements(arrow: pa.DataType) -> pa.Array:
    """Return a column of lists that has none, and yet rows."""
    return pa.nulls(2, arrow)


UUIDS = pa.array([UUID, None], pa.uuid())
LISTS = pa.array([[1, 2], None, [], [3]], pa.list_(pa.int32()))
#: PostgreSQL's type, the column, what it holds as text
CASES = {
    "runs of views": ("text", runs(pa.array(["a", None], pa.string_view())), ["a", "a", None, None]),
    "runs of binary views": ("bytea", runs(pa.array([b"a"], pa.binary_view())), ["\\x61", "\\x61"]),
    "runs of uuids": ("uuid", runs(UUIDS), ["30313233-3435-3637-3839-616263646566"] * 2 + [None] * 2),
    "runs of bool8": ("bool", runs(pa.array([1, None], pa.bool8())), ["true", "true", None, None]),
    "runs of a dictionary": ("text", runs(pa.array(["a", "b"]).dictionary_encode()), ["a", "a", "b", "b"]),
    "runs of lists": ("int4[]", runs(pa.array([[1], None])), ["{1}", "{1}", None, None]),
    "a part of runs": ("int4", runs(pa.array([1, 2, 3])).slice(1, 4), ["1", "2", "2", "3"]),
    "list views": ("int4[]", pa.array(LISTS.to_pylist(), pa.list_view(pa.int32())), ["{1,2}", None, "{}", "{3}"]),
    "list views that overlap": (
        "int4[]",
        pa.ListViewArray.from_arrays([2, 0, 1], [1, 3, 2], pa.array([1, 2, 3])),
        ["{3}", "{1,2,3}", "{2,3}"],
    ),
    "a part of lists": ("int4[]", LISTS.slice(2), ["{}", "{3}"]),
    "fixed lists": ("int4[]", pa.array([[1, 2], None], pa.list_(pa.int32(), 2)), ["{1,2}", None]),
    "float32 in float8": ("float8", pa.array([0.1, None], pa.float32()), ["0.10000000149011612", None]),
    "float16 in float8": ("float8", pa.array([0.1]).cast(pa.float16()), ["0.0999755859375"]),
    "a dictionary of views": (
        "text",
        pa.DictionaryArray.from_arrays([1, None, 0], pa.array(["a", "b"], pa.string_view())),
        ["b", None, "a"],
    ),
    "bool8": ("bool", pa.array([2, 0, None, -1], pa.bool8()), ["true", "false", None, "true"]),
    "opaque lists": ("int4[]", opaque(LISTS), ["{1,2}", None, "{}", "{3}"]),
    "opaque decimals": ("numeric", opaque(pa.array([1.5]).cast(pa.decimal128(5, 2))), ["1.50"]),
    "lists of opaque": ("text[]", pa.ListArray.from_arrays([0, 1], opaque(pa.array(["x"]))), ["{x}"]),
    "citext": ("citext", pa.array(["Aa"]), ["Aa"]),
}


@pytest.mark.parametrize("method", ["binary", "csv", "records"])
@pytest.mark.parametrize("case", CASES)
def test_every_layout(case: str, method: str, dsn: str) -> None:
    """The values are what they are, however they are laid out; what a method cannot carry it refuses."""
    pg, column, expected = CASES[case]
    with connect(dsn) as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS citext")
        conn.execute(f"CREATE TABLE t (id serial, c {pg})")
        if method == "records" and pg == "citext":
            with pytest.raises(bulkio.SchemaError, match="method records cannot carry"):
                bulkio.load(pa.table({"c": column}), "t", dsn, method=method)
            return
        bulkio.load(pa.table({"c": column}), "t", dsn, method=method)
        assert [row[0] for row in conn.execute("SELECT c::text FROM t ORDER BY id")] == expected


@pytest.mark.parametrize(
    "column",
    [
        opaque(LISTS),
        opaque(pa.array(["a"]).dictionary_encode()),
        opaque(pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32()))),
        opaque(pa.array([[1, 2]], pa.list_(pa.int32(), 2))),
        opaque(pa.array([1.5]).cast(pa.decimal128(5, 2))),
        pa.array([None, None], pa.list_(pa.struct([("u", pa.binary(16))]))).cast(
            pa.list_(pa.struct([("u", pa.uuid())]))
        ),
        pa.array([None, []], pa.list_(pa.list_(pa.binary(16)))).cast(pa.list_(pa.list_(pa.uuid()))),
    ],
    ids=lambda column: str(column.type)[:30],
)
def test_every_layout_in_a_new_table(column: pa.Array, one_dsn: str) -> None:
    """Each gets a column that takes it, nested ones without any element too."""
    bulkio.load(pa.table({"c": column}), "t", one_dsn)
    with connect(one_dsn) as conn:
        assert conn.execute("SELECT count(*)::int FROM t").fetchone() == (len(column),)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[0], [90000]], pa.list_(pa.int32())).cast(pa.list_(pa.time32("s"))), "90000 s is not a time of day"),
        (pa.array([[0], [-1]], pa.list_(pa.int64())).cast(pa.list_(pa.time64("us"))), "-1 us is not a time of day"),
        (
            pa.MapArray.from_arrays([0, 1, 2], pa.array([b"a", b"\xff"]).view(pa.string()), pa.array([1, 2])),
            "UTF8",
        ),
    ],
    ids=["time32", "time64", "no UTF-8"],
)
def test_nested_values_that_json_cannot_hold(column: pa.Array, message: str, one_dsn: str) -> None:
    """They are errors with the row, and not the text of another library's error."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (c jsonb)")
    with pytest.raises(bulkio.EncodeError, match=f'row 2, column "c": .*{message}'):
        bulkio.load(pa.table({"c": column}), "t", one_dsn)


def test_decimals_beyond_numeric(one_dsn: str) -> None:
    """A scale that PostgreSQL cannot have is refused before the first byte."""
    column = pa.array([123], pa.int32()).cast(pa.decimal128(10, 0)).view(pa.decimal128(10, -200000))
    with pytest.raises(bulkio.SchemaError, match="no PostgreSQL type is like Arrow's decimal128"):
        bulkio.load(pa.table({"c": column}), "t", one_dsn)
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (c numeric, d int4)")
    with pytest.raises(bulkio.SchemaError, match="does not go into numeric unchanged"):
        bulkio.load(pa.table({"c": column}), "t", one_dsn)


def test_xml_keeps_what_it_declares(dsn: str) -> None:
    """The server's binary input would read the text in the encoding that it declares; its text input does not."""
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>\n\n<a>ä€</a>'
    with connect(dsn) as conn:
        conn.execute("CREATE TABLE t (c xml)")
        try:
            conn.execute("SELECT '<a/>'::xml")
        except psycopg.errors.FeatureNotSupported:  # built without libxml: it can hold none
            with pytest.raises(bulkio.DriverError, match="libxml"):
                bulkio.load(pa.table({"c": [text]}), "t", dsn)
            return
        bulkio.load(pa.table({"c": [text]}), "t", dsn)
        assert conn.execute("SELECT c::text FROM t").fetchall() == [(text,)]
    assert bulkio.read("t", dsn).read_all()["c"].to_pylist() == [text]
