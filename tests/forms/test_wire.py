"""What rows and CSV make of a load's values is what the codec makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from bulkio.drivers.conninfo import parse_conninfo
from bulkio.errors import DecodeError
from bulkio.forms import rows
from bulkio.forms.times import timetz_fields
from bulkio.forms.wire import wire_fields
from bulkio.pgcopy import Field
from bulkio.protocols import CopyTarget
from bulkio.types import INTERVAL_STRUCT, Cast, array_of, base_type, cast_from_pg, cast_to_pg
from cells import csv_of, decode, encode, read_cells, wired, write_cells
from sessions import open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import psycopg

I32, I64 = 2**31 - 1, 2**63 - 1
SPANS = [(1, -2, 3), (-I32 - 1, I32, 9223372036854775), (0, 0, -9223372036854775), (0, 0, 0)]
POINT = pa.struct([("x", pa.float64()), ("y", pa.float64())])
COLUMNS = {
    "interval": pa.array([None, *((m, d, us * 1000) for m, d, us in SPANS)], pa.month_day_nano_interval()),
    "interval ": pa.array([None, *(dict(zip(INTERVAL_STRUCT.names, s, strict=True)) for s in SPANS)], INTERVAL_STRUCT),
    "interval  ": pa.array([None, 1, -86_400_000_000_001, I64], pa.duration("us")),
    "interval   ": pa.array([None, 1000, -(10**12)], pa.duration("ns")),
    "timetz": pa.array([None, "24:00:00+00", "12:34Z", "01:02:03.000001-15:59:59", "01:02:03+0530"]),
    "oid": pa.array([None, 0, 2**32 - 1], pa.uint32()),
    "uuid": pa.array([None, "{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11"]),
}
BY_CSV = {
    "point": pa.array(
        [None, {"x": 1.5, "y": -0.0}, {"x": float("nan"), "y": float("inf")}, {"x": 5e-324, "y": 0.1}], POINT
    ),
    "xid8": pa.array([None, 2**64 - 1], pa.uint64()),
    "inet": pa.array([None, "::ffff:1.2.3.4/100"]),
    "varbit": pa.array([None, "", "0101"]),
    "macaddr8": pa.array([None, "08002b01:02030405"]),
    "pg_lsn": pa.array([None, "a/0b"]),
    "jsonpath": pa.array([None, '$."a,b"']),
}
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def field_for(column: pa.Array, name: str, *, listed: bool = False) -> Field:
    pg = base_type(name.strip())
    how = cast_to_pg(column.type, array_of(pg) if listed else pg)
    assert how is not None
    return Field("c", how)


def lists(column: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(column), len(column)], pa.int32()), column)


@pytest.mark.parametrize("name", [*COLUMNS, *BY_CSV])
def test_csv_stores_what_the_codec_stores(name: str, dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Scalars and lists of them."""
    conn = connect(dsn)
    column = {**COLUMNS, **BY_CSV}[name]
    for values, listed in ((column, False), (lists(column), True)):
        field = field_for(values, name, listed=listed)
        expected = encode(values, field.cast)
        write_cells(conn, name.strip() + "[]" * listed, [])
        with conn.cursor() as cursor, cursor.copy("COPY cell (c) FROM STDIN (FORMAT csv)") as copy:
            copy.write(csv_of(values, field.cast))
        assert read_cells(conn, "SELECT c FROM cell ORDER BY id") == expected


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("name", COLUMNS)
async def test_rows_store_and_read_what_the_codec_does(
    name: str, driver: str, dsn: str, connect: Callable[[str], psycopg.Connection]
) -> None:
    """Through both drivers, there and back."""
    conn = connect(dsn)
    for values, listed in ((COLUMNS[name], False), (lists(COLUMNS[name]), True)):
        field = field_for(values, name, listed=listed)
        assert rows.unsupported(field.cast) is None
        write_cells(conn, name.strip() + "[]" * listed, [])
        back = Field("c", cast_from_pg(field.cast.pg))
        async with open_session(parse_conninfo(dsn), driver) as session:

            async def batches(values: pa.Array = values, field: Field = field) -> AsyncIterator[object]:
                for batch in wired(values, field.cast):
                    yield rows.to_rows(batch, wire_fields([field]))

            target = CopyTarget("public", "cell", ("c",), (field.cast.pg.oid,))
            await session.copy_in_records(target, batches())
            shapes = ", array_dims(c)" if listed else ""
            fetched = await session.fetch(f"SELECT c{shapes} FROM cell ORDER BY id")
        expected = encode(values, field.cast)
        assert read_cells(conn, "SELECT c FROM cell ORDER BY id") == expected
        if name == "interval  ":  # past Arrow's nanoseconds
            continue
        batch = rows.from_rows(fetched, [back], pa.schema([("c", back.cast.arrow)]))
        assert batch.column(0).to_pylist() == decode(expected, back.cast).to_pylist()


def test_rows_refuse_what_arrow_cannot_hold() -> None:
    """In the words of the codec."""
    how = cast_from_pg(base_type("interval"))
    struct = Cast("interval_struct", INTERVAL_STRUCT, base_type("interval"))
    for value, wanted, message in (
        ((I32, I32, I64), how, "an infinity or NaN in interval"),
        ((-I32 - 1, -I32 - 1, -I64 - 1), struct, "an infinity or NaN in interval"),
        ((0, 0, 9223372036854776), how, "outside what Arrow's month_day_nano_interval can hold"),
    ):
        with pytest.raises(DecodeError, match=f'row 2, column "c": .*{message}'):
            rows.from_rows([(None,), (value,)], [Field("c", wanted)], pa.schema([("c", wanted.arrow)]))
    batch = rows.from_rows([((1, 2, I64),), (None,)], [Field("c", struct)], pa.schema([("c", INTERVAL_STRUCT)]))
    assert batch.column(0).to_pylist() == [{"months": 1, "days": 2, "microseconds": I64}, None]


def test_what_rows_cannot_carry() -> None:
    """Each says so, and so do lists of it."""
    for name in ("inet", "cidr", "macaddr", "varbit", "pg_lsn", "jsonpath", "point", "money", "xid", "xid8"):
        for pg in (base_type(name), array_of(base_type(name))):
            assert rows.unsupported(cast_from_pg(pg)) is not None


def test_timetz_fields_refuses_other_text() -> None:
    """It takes only what the codec lets through."""
    with pytest.raises(ValueError, match="no time with a zone"):
        timetz_fields("12:34")
