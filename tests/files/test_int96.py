"""INT96 timestamps of Parquet: days and nanoseconds, which reach further than any one unit of Arrow's."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulkio
from bulkio.errors import EncodeError
from bulkio.files import open_source
from older_pyarrow import NULL_LISTS, needs_pyarrow
from servers import fetch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: the Julian day number of 1970-01-01
EPOCH_JULIAN = 2_440_588
DAY_NS = 86_400_000_000_000
YEAR_9999 = datetime(9999, 12, 31, 23, 59, 59, 999999)


def write(path: Path, columns: dict[str, pa.Array], **options: object) -> Path:
    """Write timestamps as Spark and Impala do."""
    pq.write_table(pa.table(columns), path, use_deprecated_int96_timestamps=True, **options)
    return path


def write_raw(path: Path, values: Sequence[tuple[int, int]]) -> Path:
    """Write INT96 values of (days since 1970, nanoseconds) that no library writes: its own are replaced in the file."""
    marks = pa.array(range(1, len(values) + 1), pa.timestamp("us"))
    write(path, {"t": marks}, compression="none", use_dictionary=False, write_statistics=False)
    data = path.read_bytes()
    for mark, (days, ns) in enumerate(values, 1):
        old = (1000 * mark).to_bytes(8, "little") + EPOCH_JULIAN.to_bytes(4, "little")
        assert data.count(old) == 1
        data = data.replace(old, ns.to_bytes(8, "little") + (EPOCH_JULIAN + days).to_bytes(4, "little"))
    path.write_bytes(data)
    return path


def read(path: object, **options: object) -> pa.Table:
    """Read all that a source gives."""
    source = open_source(path, **{"batch_rows": 3, **options})
    return pa.Table.from_batches(list(source.batches()), source.schema)


def test_the_year_9999_stays_what_it_is(tmp_path: Path) -> None:
    """Nanoseconds of 64 bits end in 2262: 9999-12-31 became 1816 before anyone saw it."""
    values = [YEAR_9999, None, datetime(1, 1, 1), datetime(2020, 2, 29, 1, 2, 3, 4)] * 5
    table = read(write(tmp_path / "x.parquet", {"id": pa.array(range(20)), "t": pa.array(values, pa.timestamp("us"))}))
    assert table.schema.field("t").type == pa.timestamp("us")
    assert table["t"].to_pylist() == values


def test_the_year_9999_arrives_in_the_table(one_dsn: str, tmp_path: Path) -> None:
    """All the way, into a new table."""
    bulkio.load(write(tmp_path / "x.parquet", {"t": pa.array([YEAR_9999], pa.timestamp("us"))}), "t", one_dsn)
    assert fetch(one_dsn, "SELECT t::text FROM t") == [("9999-12-31 23:59:59.999999",)]


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (pa.list_, [YEAR_9999, None, YEAR_9999]),
        (pa.large_list, [YEAR_9999]),
        (lambda leaf: pa.list_(leaf, 2), [YEAR_9999, YEAR_9999]),
        (lambda leaf: pa.struct([("a", leaf), ("b", pa.int64())]), {"a": YEAR_9999, "b": 1}),
        (lambda leaf: pa.map_(pa.string(), leaf), [("k", YEAR_9999)]),
        (lambda leaf: pa.list_(pa.struct([("l", pa.list_(leaf))])), [{"l": [YEAR_9999]}]),
    ],
)
def test_nested_values_are_read_in_full(tmp_path: Path, make, value) -> None:
    """In lists, structs and maps at any depth, across batches."""
    if pa.types.is_fixed_size_list(make(pa.int64())):
        needs_pyarrow(26, NULL_LISTS)
    values = [value, None, value, value, None] * 3
    table = read(write(tmp_path / "x.parquet", {"c": pa.array(values, make(pa.timestamp("us")))}, row_group_size=4))
    assert table["c"].to_pylist() == values


def test_nanoseconds_follow_their_own_rule(tmp_path: Path) -> None:
    """Exact microseconds only, or the rest is dropped towards the past where the user allows it."""
    path = write_raw(tmp_path / "x.parquet", [(0, 5000), (2_932_896, 7_001), (1, 2)])
    with pytest.raises(
        EncodeError, match=r'row 2, column "t": 9999-12-31 00:00:00\.000007001 .* microseconds'
    ) as error:
        read(path)
    assert (error.value.row, error.value.column) == (2, "t")
    assert read(path, allow_lossy=True)["t"].cast(pa.int64()).to_pylist() == [
        5,
        2_932_896 * 86_400_000_000 + 7,
        DAY_NS // 1000,
    ]


def test_nanoseconds_before_1970(tmp_path: Path) -> None:
    """The rest counts from the past upwards, as everywhere."""
    path = write_raw(tmp_path / "x.parquet", [(-1, DAY_NS - 1)])
    with pytest.raises(EncodeError, match=r"1969-12-31 23:59:59\.999999999"):
        read(path)
    assert read(path, allow_lossy=True)["t"].cast(pa.int64()).to_pylist() == [-1]


@pytest.mark.parametrize(
    ("days", "date"), [(200_000_000, "549551-05-28"), (4_294_967_295 - EPOCH_JULIAN, "11754508-12-13")]
)
def test_years_past_microseconds_are_refused_by_their_true_date(tmp_path: Path, days: int, date: str) -> None:
    """Microseconds of 64 bits end in 294247: what lies past them must not come round again."""
    path = write_raw(tmp_path / "x.parquet", [(0, 1000), (days, 1000)])
    with pytest.raises(EncodeError, match=rf'row 2, column "t": {date} 00:00:00\.000001000 is past'):
        read(path, allow_lossy=True)


def test_the_first_days_of_all(one_dsn: str, tmp_path: Path) -> None:
    """Julian day 0 is the first that PostgreSQL has; of that one pyarrow makes 1970-01-01, before anyone can see it."""
    bulkio.load(write_raw(tmp_path / "x.parquet", [(1 - EPOCH_JULIAN, 0)]), "t", one_dsn)
    assert fetch(one_dsn, "SELECT t::text FROM t") == [("4714-11-25 00:00:00 BC",)]


def test_rows_count_over_all_files(one_dsn: str, tmp_path: Path) -> None:
    """The row in the error is the load's, and nothing is loaded."""
    write_raw(tmp_path / "1.parquet", [(0, 1000)] * 1)
    write_raw(tmp_path / "2.parquet", [(0, 1000), (0, 1001)])
    with pytest.raises(EncodeError, match=r'row 3, column "t"'):
        bulkio.load(tmp_path, "t", one_dsn)
    assert bulkio.load(tmp_path, "t", one_dsn, allow_lossy=True).rows == 3


def test_a_recorded_zone_is_kept(one_dsn: str, tmp_path: Path) -> None:
    """What pyarrow wrote from instants are instants."""
    column = pa.array([datetime(9999, 1, 1)], pa.timestamp("us", "Europe/Berlin"))
    path = write(tmp_path / "x.parquet", {"t": column, "l": pa.array([[1]], pa.list_(pa.timestamp("us", "UTC")))})
    table = read(path)
    assert table.schema.field("t").type == column.type
    assert table.schema.field("l").type == pa.list_(pa.timestamp("us", "UTC"))
    assert table["t"].combine_chunks().equals(column)


def test_only_the_chosen_columns_are_checked(tmp_path: Path) -> None:
    """Columns that are not read cost nothing and fault nothing; others keep their order."""
    path = tmp_path / "x.parquet"
    rows = {"a": pa.array([1, 2], pa.timestamp("ns")), "b": pa.array(["x", "y"]), "c": pa.array([1, 2])}
    write(path, rows)
    assert read(path, columns=["c", "b"]).to_pylist() == [{"c": 1, "b": "x"}, {"c": 2, "b": "y"}]
    with pytest.raises(EncodeError, match=r"00:00:00\.000000001"):
        read(path, columns=["c", "a"])
