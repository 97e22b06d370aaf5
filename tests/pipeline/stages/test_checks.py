"""Checks: what passes, what fails and with which message, and what only warns."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa
import pytest
from stage import apply, apply_and_warn

import bulkio
from bulkio.pipeline import stages as p

if TYPE_CHECKING:
    from collections.abc import Callable

NAN = float("nan")
NOW = datetime.now(UTC)
PAID = pa.table({"id": [1, 2, 3], "state": ["new", "paid", None], "at": pa.array([NOW, NOW, None])})


def shown(value: object) -> str:
    """Name a parameter by its type: each of several processes has its own time."""
    return str(getattr(value, "type", value))


@pytest.mark.parametrize(
    "check",
    [
        p.not_null("id"),
        p.not_null("id", on_failure="warn"),
        p.unique("id"),
        p.unique("id", "state"),
        p.row_count(least=3, most=3),
        p.accepted("state", ["new", "paid", "gone"]),
        p.fresh("at", within=timedelta(days=1)),
        p.check_sql("select count(*) = 3 and sum(id) = 6 from input"),
    ],
    ids=lambda check: check.name,
)
def test_what_passes(check: object) -> None:
    """All batches go on as they are."""
    made, warnings = apply_and_warn(check, PAID)
    assert made.equals(PAID)
    assert warnings == []


FAILURES: list[tuple[Callable[[str], object], str]] = [
    (lambda on: p.not_null("id", "state", on_failure=on), 'column "state" is NULL, first in row 3'),
    (lambda on: p.unique("one", on_failure=on), "two rows have the same values, such as \"one\" '1'"),
    (
        lambda on: p.unique("one", "two", on_failure=on),
        "two rows have the same values, such as \"one\" '1', \"two\" 'x'",
    ),
    (lambda on: p.row_count(least=4, on_failure=on), "there are 3 rows, and at least 4 must be"),
    (lambda on: p.row_count(most=2, on_failure=on), "there are "),
    (lambda on: p.accepted("state", ["new"], on_failure=on), "column \"state\" has 'paid', first in row 2"),
    (lambda on: p.accepted("id", [1, 3], on_failure=on), "column \"id\" has '2', first in row 2"),
    (lambda on: p.fresh("at", within=timedelta(hours=1), on_failure=on), 'the latest "at" is 2 days, '),
    (lambda on: p.fresh("never", within=timedelta(hours=1), on_failure=on), 'column "never" has no value'),
    (lambda on: p.check_sql("select max(id) > 3 as big, max(id) from input", on_failure=on), "it gave {'big': False, "),
    (lambda on: p.check_sql("select id > 0 from input", on_failure=on), "it must give one row, and gave "),
    (lambda on: p.check_sql("select true from input where id > 5", on_failure=on), "it must give one row, and gave 0"),
    (
        lambda on: p.check_sql("select null::bool from input limit 1", on_failure=on),
        "it gave {'CAST(NULL AS bool)': ",
    ),
]
BAD = pa.table(
    {
        "id": [1, 2, 3],
        "state": ["new", "paid", None],
        "one": [1, 2, 1],
        "two": ["x", "x", "x"],
        "at": pa.array([NOW - timedelta(days=2, hours=3)] * 3),
        "never": pa.nulls(3, pa.date32()),
    }
)


@pytest.mark.parametrize(("check", "message"), FAILURES)
def test_what_fails(check: Callable[[str], object], message: str) -> None:
    """The error names the stage, and has the check's text."""
    with pytest.raises(bulkio.CheckError) as caught:
        apply(check("fail"), BAD)
    name = check("fail").name
    assert str(caught.value).startswith(f"stage 2 ({name}): check failed, so nothing was stored: {message}")
    assert caught.value.query


@pytest.mark.parametrize(("check", "message"), FAILURES)
def test_what_warns(check: Callable[[str], object], message: str) -> None:
    """All batches go on, and there is one warning for all of them."""
    made, [warning] = apply_and_warn(check("warn"), BAD, batch_rows=1)
    assert made.equals(BAD)
    assert message in warning


@pytest.mark.parametrize(
    ("values", "is_unique"),
    [
        (pa.array([1, 2, None, None]), True),
        (pa.array([1, 2, 1]), False),
        (pa.array([0.0, -0.0]), False),
        (pa.array([NAN, NAN]), False),
        (pa.array([0.0, NAN, None, None, 1e-300]), True),
        (pa.array(["a", "a ", "A", ""]), True),
        (pa.array(["a", "a"]).dictionary_encode(), False),
        (pa.array(["a", "b"]).dictionary_encode(), True),
        (pa.array([b"\0", b"\0\0", b""]), True),
        (pa.array([Decimal("1.10"), Decimal("1.1")], pa.decimal128(10, 2)), False),
        (pa.array([Decimal(10**60), Decimal(10**60 + 1)], pa.decimal256(76, 0)), True),
        (pa.array([UUID(int=1).bytes, UUID(int=1).bytes], pa.uuid()), False),
        (pa.array([UUID(int=1).bytes, UUID(int=2).bytes], pa.uuid()), True),
        (pa.array([date(2026, 1, 1), date(2026, 1, 1)]), False),
        (pa.array([True, False, None]), True),
        (pa.array([NOW, NOW + timedelta(microseconds=1)], pa.timestamp("us", "UTC")), True),
        (pa.array(["x", "x"], pa.large_string()), False),
        (pa.nulls(3), True),
    ],
    ids=shown,
)
def test_unique_compares_values(values: pa.Array, *, is_unique: bool) -> None:
    """As PostgreSQL does: 0.0 is -0.0, NaN is NaN, and NULL is like no other."""
    table = pa.table({"c": values})
    if is_unique:
        assert apply(p.unique("c"), table, batch_rows=1).num_rows == len(values)
    else:
        with pytest.raises(bulkio.CheckError, match="two rows have the same values"):
            apply(p.unique("c"), table, batch_rows=1)


def test_unique_of_many() -> None:
    """Two rows of many, in different batches, are found."""
    numbers = pa.array([*range(200_000), 77])
    with pytest.raises(bulkio.CheckError, match="such as \"n\" '77'"):
        apply(p.unique("n"), pa.table({"n": numbers}), batch_rows=16384)


def test_unique_has_a_limit() -> None:
    """More keys than may be held are an error, not a guess."""
    with pytest.raises(
        bulkio.CheckError, match=r"the keys take more than 1000 bytes: raise max_bytes, or let a unique"
    ):
        apply(p.unique("n", max_bytes=1000), pa.table({"n": range(1000)}), batch_rows=100)


@pytest.mark.parametrize(
    ("value", "fails"),
    [
        (pa.array([NOW - timedelta(hours=20)]), False),
        (pa.array([NOW - timedelta(hours=30)]), True),
        (pa.array([NOW.replace(tzinfo=None)]), False),
        (pa.array([NOW - timedelta(hours=30), None, NOW], pa.timestamp("ns", "Asia/Tokyo")), False),
        (pa.array([NOW - timedelta(hours=30)], pa.timestamp("s", "UTC")), True),
        (pa.array([NOW - timedelta(hours=30)], pa.timestamp("ms")), True),
        (pa.array([NOW.date() + timedelta(days=1)]), False),
        (pa.array([NOW.date() - timedelta(days=1)]), True),
        (pa.array([NOW.date() - timedelta(days=1)], pa.date64()), True),
    ],
    ids=shown,
)
def test_fresh(value: pa.Array, *, fails: bool) -> None:
    """The latest value counts, whatever its unit and its zone; a date begins at midnight in UTC."""
    check = p.fresh("c", within=timedelta(days=1), on_failure="warn")
    assert bool(apply_and_warn(check, pa.table({"c": value}), batch_rows=1)[1]) == fails


def test_row_count_fails_as_soon_as_there_are_too_many() -> None:
    """An endless source ends."""

    def endless() -> object:
        while True:
            yield PAID.to_batches()[0]

    work = p.row_count(most=100).plan(PAID.schema)
    with pytest.raises(bulkio.CheckError, match="there are more than 100 rows"):
        list(work.apply(endless(), p.Place(1, "row_count")))


@pytest.mark.parametrize(
    ("check", "error", "message"),
    [
        (p.not_null, bulkio.ConfigError, "not_null takes the names of columns"),
        (lambda: p.unique(["id"]), bulkio.ConfigError, "unique takes the names of columns"),
        (p.row_count, bulkio.ConfigError, "row_count takes least, most, or both"),
        (lambda: p.accepted("id", "abc"), bulkio.ConfigError, "accepted takes a list of values, not the text 'abc'"),
        (lambda: p.fresh("at", within=3), bulkio.ConfigError, "within is 3, and must be a datetime.timedelta"),
        (lambda: p.not_null("id", on_failure="stop"), bulkio.ConfigError, "on_failure is 'stop', and can be 'fail' or"),
        (lambda: p.not_null("x"), bulkio.SchemaError, 'there is no column "x"'),
        (lambda: p.unique("list"), bulkio.SchemaError, 'column "list" is list<.*, whose values unique cannot compare'),
        (lambda: p.accepted("id", ["a"]), bulkio.SchemaError, r"column \"id\" is int64, which does not hold \['a'\]"),
        (lambda: p.fresh("id", within=timedelta(1)), bulkio.SchemaError, 'column "id" is int64, and fresh looks at'),
        (
            lambda: p.check_sql("select id from input"),
            bulkio.SchemaError,
            "first column of the check's result must be bo",
        ),
        (lambda: p.check_sql("select x from input"), bulkio.ConfigError, "DuckDB: Binder Error: "),
    ],
)
def test_a_check_that_cannot_be_made(check: Callable[[], object], error: type[Exception], message: str) -> None:
    """It is refused before the run."""
    schema = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us")), ("list", pa.list_(pa.int8()))])
    with pytest.raises(error, match=message):
        check().plan(schema)
