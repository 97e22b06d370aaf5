"""Transforms of one batch at a time: what they make, and what they refuse before the run."""

from __future__ import annotations

import asyncio
import datetime
import zoneinfo
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from stage import apply

import bulkio
from bulkio.pipeline import stages as p

TABLE = pa.table({"id": pa.array([1, 2, None], pa.int64()), "name": ["a", "b", None]})
NAN = float("nan")


def test_rename_keeps_order_and_types() -> None:
    """Names may be swapped; what the file recorded of a column stays with it."""
    recorded = pa.schema([pa.field("id", pa.int64(), metadata={"k": "v"}), ("name", pa.string())], {"t": "x"})
    made = apply(p.rename({"id": "name", "name": "id"}), TABLE.cast(recorded))
    assert made.schema.names == ["name", "id"]
    assert made.column("name").to_pylist() == [1, 2, None]
    assert made.schema.field("name").metadata == {b"k": b"v"}


def test_drop() -> None:
    """The others stay."""
    assert apply(p.drop(["id"]), TABLE).to_pydict() == {"name": ["a", "b", None]}


def test_filter_keeps_what_is_true() -> None:
    """Where the condition is NULL, the row goes."""
    assert apply(p.filter(pc.field("id") > 1), TABLE).to_pydict() == {"id": [2], "name": ["b"]}
    assert apply(p.filter(pc.field("id") > 9), TABLE).num_rows == 0


def test_map_calls_a_function_with_each_batch() -> None:
    """Its columns are those of what it makes of no rows."""
    seen: list[int] = []

    def double(batch: pa.RecordBatch) -> pa.RecordBatch:
        seen.append(batch.num_rows)
        return pa.record_batch({"twice": pc.multiply(batch["id"], 2)})

    assert apply(p.map(double), TABLE).to_pydict() == {"twice": [2, 4, None]}
    assert seen == [0, 2, 1]
    seen.clear()
    apply(p.map(double, schema=pa.schema([("twice", pa.int64())])), TABLE)
    assert seen == [2, 1]


@pytest.mark.parametrize(
    ("values", "kind", "made"),
    [
        (pa.array([1, None]), "int16", [1, None]),
        (pa.array(["1", "-7", None]), "int32", [1, -7, None]),
        (pa.array(["1.50"]), pa.decimal128(10, 2), [Decimal("1.50")]),
        (pa.array(["2026-01-02"]), "date32", [datetime.date(2026, 1, 2)]),
        (pa.array([1, None]), "string", ["1", None]),
        (pa.array([0.5, NAN, None]), "float32", [0.5, NAN, None]),
        (pa.array([Decimal("1.10")]), pa.decimal128(20, 4), [Decimal("1.1000")]),
        (pa.array(["a", None]).dictionary_encode(), "string", ["a", None]),
        (
            pa.array([1], pa.timestamp("s", "UTC")),
            pa.timestamp("us", "UTC"),
            [datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=zoneinfo.ZoneInfo("UTC"))],
        ),
        (pa.array([[1, 2], None]), pa.list_(pa.int16()), [[1, 2], None]),
    ],
    ids=str,
)
def test_cast(values: pa.Array, kind: object, made: list[object]) -> None:
    """Every value is the same in the new type."""
    assert repr(apply(p.cast({"c": kind}), pa.table({"c": values})).column(0).to_pylist()) == repr(made)


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (pa.array([1, 2, 70_000]), "int16", "row 3, column \"c\": '70000' would change as int16"),
        (pa.array(["1", "x"]), "int32", "row 2, column \"c\": 'x' would change as int32"),
        (pa.array([0.1]), "float32", "row 1, column \"c\": '0.1' would change as float"),
        (pa.array([1.5]), "int32", "'1.5' would change as int32"),
        (pa.array([2**53 + 1]), "float64", "would change as double"),
        (pa.array([1], pa.timestamp("ns")), pa.timestamp("us"), "would change as timestamp"),
        (pa.array([3], pa.timestamp("us")), "date32", "would change as date32"),
        (pa.array([Decimal("1.25")]), pa.decimal128(5, 1), "'1.25' would change as decimal128"),
        (pa.array([[70_000]]), pa.list_(pa.int16()), "would change as list"),
        (pa.array([-1]), "uint32", "'-1' would change as uint32"),
    ],
    ids=str,
)
def test_a_cast_that_would_change_a_value(values: pa.Array, kind: object, message: str) -> None:
    """It is an error that names the row, unless the user allows it."""
    with pytest.raises(bulkio.EncodeError, match=message):
        apply(p.cast({"c": kind}), pa.table({"c": values}))


def test_a_lossy_cast() -> None:
    """It rounds, cuts and wraps as pyarrow does."""
    assert apply(p.cast({"c": "int32"}, allow_lossy=True), pa.table({"c": [1.5]})).to_pydict() == {"c": [1]}


def test_a_cast_forgets_what_was_recorded_of_the_old_type() -> None:
    """A file's record of a column's PostgreSQL type is of that type."""
    schema = pa.schema([pa.field("c", pa.int64(), metadata={"pg": "int8"})])
    assert p.cast({"c": "int16"}).plan(schema).schema.field("c").metadata is None


@pytest.mark.parametrize(
    ("stage", "error", "message"),
    [
        (lambda: p.rename({"nam": "x"}), bulkio.SchemaError, 'there is no column "nam"; did you mean'),
        (lambda: p.rename({"id": "name"}), bulkio.SchemaError, 'two columns would be called "name"'),
        (lambda: p.drop(["x"]), bulkio.SchemaError, 'there is no column "x"'),
        (lambda: p.drop(["id", "name"]), bulkio.SchemaError, "no column would be left"),
        (lambda: p.drop("id"), bulkio.ConfigError, "drop takes a list of the names of columns, not 'id'"),
        (lambda: p.cast({"x": "int8"}), bulkio.SchemaError, 'there is no column "x"'),
        (lambda: p.cast({"id": "integer"}), bulkio.ConfigError, "'integer' is not the name of an Arrow type: use one"),
        (
            lambda: p.cast({"id": pa.list_(pa.int8())}),
            bulkio.SchemaError,
            'column "id" is int64, which cannot become list',
        ),
        (lambda: p.filter(pc.field("x") > 1), bulkio.SchemaError, r"\(x > 1\) does not fit the columns: No match for"),
        (lambda: p.filter("id > 1"), bulkio.ConfigError, "filter takes an expression such as pyarrow.compute.field"),
        (lambda: p.map("x"), bulkio.ConfigError, "map takes a function of a RecordBatch, not 'x'"),
        (
            lambda: p.map(lambda _: None),
            bulkio.SchemaError,
            "the function makes a NoneType of the batch of no rows, not",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_the_run(stage: object, error: type[Exception], message: str) -> None:
    """A stage is planned with the columns that come in."""
    with pytest.raises(error, match=message):
        stage().plan(TABLE.schema)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda batch: batch if batch.num_rows != 1 else batch.select(["id"]),
            "the columns are id, not id, name, in what",
        ),
        (
            lambda batch: batch if batch.num_rows != 1 else batch.set_column(0, "id", pa.array([1.5])),
            'column "id" is double, not int64, in what the function makes of batch 2',
        ),
        (lambda batch: batch if batch.num_rows != 1 else None, "the function makes a NoneType of the batch number 2"),
    ],
)
def test_a_function_that_makes_other_columns(function: object, message: str) -> None:
    """What it made of no rows holds for all batches."""
    with pytest.raises(bulkio.SchemaError, match=message):
        apply(p.map(function), TABLE)


def test_two_columns_of_one_name() -> None:
    """Stages know columns by their names, so that a source with two of one name is refused."""
    pipeline = p.Pipeline(p.arrow(pa.table([[1], [2]], names=["a", "a"])), p.drop(["a"]), p.to_files("x.parquet"))
    with pytest.raises(bulkio.SchemaError, match=r"stage 2 \(drop\): two of the columns that come in are called a"):
        asyncio.run(pipeline.run())
