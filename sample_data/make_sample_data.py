"""Make the sample files. The same content every time.

    python sample_data/make_sample_data.py [FOLDER]

`orders.parquet` and `lineitem.parquet` are TPC-H at scale 0.01 (tpchgen-cli). `all_types.parquet` holds
every type that bulkio supports, as a column and as a list column: edges first, then drawn values, NULLs
everywhere and one row of nothing but NULLs. Its text fits into LATIN1, and every value is one that
PostgreSQL can store.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from decimal import Decimal, localcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROWS = 200
SEED = 20_260_101
NULL_SHARE = 0.15
#: the row in which every column is NULL
NULL_ROW = 150
TPCH_SCALE = "0.01"


@dataclass(frozen=True)
class Kind:
    """One type: its name, its edge values, and how to draw others."""

    name: str
    type: pa.DataType
    edges: Sequence[object]
    draw: Callable[[random.Random], object]
    #: whether a list of it is a type of its own (a layout of strings is not)
    listed: bool = True


def numbers() -> list[Kind]:
    """Return booleans, integers and floats."""
    kinds = [Kind("bool", pa.bool_(), (True, False), lambda rng: rng.random() < 0.5)]
    for bits in (8, 16, 32, 64):
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        edges = (low, low + 1, -1, 0, 1, high - 1, high)
        kinds.append(Kind(f"int{bits}", getattr(pa, f"int{bits}")(), edges, _between(low, high)))
    for bits in (8, 16, 32, 64):
        high = (1 << bits) - 1
        edges = (0, 1, high // 2, high // 2 + 1, high - 1, high)
        kinds.append(Kind(f"uint{bits}", getattr(pa, f"uint{bits}")(), edges, _between(0, high)))
    # The smallest subnormal, the smallest normal and the largest value of each width.
    for name, arrow_type, limits in (
        ("float16", pa.float16(), (2.0**-24, 2.0**-14, 65504.0)),
        ("float32", pa.float32(), (2.0**-149, 2.0**-126, float.fromhex("0x1.fffffep127"))),
        ("float64", pa.float64(), (5e-324, 2.0**-1022, sys.float_info.max)),
    ):
        edges = (0.0, -0.0, 1.0, -1.5, float("nan"), *limits, *(-limit for limit in limits))
        kinds.append(Kind(name, arrow_type, edges, lambda rng: rng.randint(-2048, 2048) / 16))
    kinds.append(
        Kind(
            "float64_exact",
            pa.float64(),
            (0.1, 1 / 3, 1e15 + 0.3, 1e-7),
            lambda rng: rng.gauss(0, 1e6),
            listed=False,
        )
    )
    return kinds


def _between(low: int, high: int) -> Callable[[random.Random], object]:
    return lambda rng: rng.randint(low, high)


def decimals() -> list[Kind]:
    """Return decimals with trailing zeros, none and all of the digits, and next to base-10000 boundaries."""
    kinds = []
    for width, precision, scale in (
        (128, 5, 2),
        (128, 18, 6),
        (128, 38, 0),
        (128, 38, 38),
        (256, 50, 10),
        (256, 76, 0),
        (256, 76, 38),
    ):
        arrow_type = getattr(pa, f"decimal{width}")(precision, scale)
        name = f"decimal{width}_{precision}_{scale}"
        kinds.append(Kind(name, arrow_type, _decimal_edges(precision, scale), _decimal_draw(precision, scale)))
    return kinds


def _decimal_edges(precision: int, scale: int) -> list[object]:
    most = 10**precision - 1
    units = [0, 1, 10, 100, 1230, 9999, 10000, 10001, 99_999_999, 100_000_000, 10 ** (precision - 1), most]
    fitting = [unit for unit in units if unit <= most]
    return [_scaled(sign * unit, scale) for unit in fitting for sign in (1, -1)]


def _decimal_draw(precision: int, scale: int) -> Callable[[random.Random], object]:
    def draw(rng: random.Random) -> object:
        digits = rng.randint(1, precision)
        return _scaled(rng.randint(-(10**digits) + 1, 10**digits - 1), scale)

    return draw


def _scaled(units: int, scale: int) -> Decimal:
    with localcontext(prec=100):
        return Decimal(units).scaleb(-scale)


#: what breaks CSV, COPY text, SQL literals, markup and terminals; all of it in LATIN1
TEXT_EDGES = (
    "",
    " ",
    "  leading and trailing  ",
    "NULL",
    "\\N",
    "\\.",
    '"',
    '""',
    "'",
    ",",
    "\t",
    "\n",
    "\r\n",
    "a\nb\\nc",
    "\\",
    "{}",
    "{NULL}",
    "%s %(x)s {0}",
    "[red]markup[/red]",
    "\x01\x1b[31m\x7f",
    "Ünïcödé ÿ þ ß é ¿ ½ ÷ \xa0",
    "Smørrebrød på Ærø",
    "x" * 5000,
    "é" * 300,
)
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,;'\"\\äöüßéèñçÀÅ"
BINARY_EDGES = (b"", b"\x00", b"\x00\x01\x02\xff", b"\\x00", b"'", b"\xff" * 300, bytes(range(256)))
LABELS = ("", "new", "in progress", "done", "zurückgestellt", "it's")


def texts() -> list[Kind]:
    """Return the layouts of text, and of bytes."""
    kinds = [
        Kind(name, arrow_type, TEXT_EDGES, _draw_text, listed=listed)
        for name, arrow_type, listed in (
            ("string", pa.string(), True),
            ("large_string", pa.large_string(), True),
            ("string_view", pa.string_view(), False),
        )
    ]
    kinds.append(
        Kind(
            "dictionary",
            pa.dictionary(pa.int32(), pa.string()),
            LABELS,
            lambda rng: rng.choice(LABELS),
            listed=False,
        )
    )
    kinds += [
        Kind(name, arrow_type, BINARY_EDGES, _draw_bytes, listed=listed)
        for name, arrow_type, listed in (
            ("binary", pa.binary(), True),
            ("large_binary", pa.large_binary(), True),
            ("binary_view", pa.binary_view(), False),
        )
    ]
    fixed = (b"\x00" * 5, b"\xff" * 5, b"\\x001", b"12345")
    kinds.append(Kind("fixed_binary", pa.binary(5), fixed, lambda rng: rng.randbytes(5)))
    return kinds


def _draw_text(rng: random.Random) -> object:
    return "".join(rng.choices(LETTERS, k=rng.randint(0, 40)))


def _draw_bytes(rng: random.Random) -> object:
    return rng.randbytes(rng.randint(0, 40))


EPOCH = dt.datetime(1970, 1, 1)
#: years 1 to 9999, either side of 1582, of 1970 and of 2000 (PostgreSQL's own epoch)
DATE_EDGES = tuple(
    dt.date.fromisoformat(text)
    for text in (
        "0001-01-01",
        "0001-12-31",
        "1582-10-04",
        "1582-10-15",
        "1900-02-28",
        "1969-12-31",
        "1970-01-01",
        "1999-12-31",
        "2000-01-01",
        "2000-02-29",
        "2038-01-19",
        "9999-12-31",
    )
)
MICROSECONDS_A_DAY = 86_400_000_000


def times() -> list[Kind]:
    """Return dates, times and timestamps. Integers stand for timestamps: units since 1970."""
    last = (dt.date(9999, 12, 31) - EPOCH.date()).days
    first = (dt.date(1, 1, 1) - EPOCH.date()).days
    kinds = [
        Kind(
            "date32",
            pa.date32(),
            DATE_EDGES,
            lambda rng: dt.date.fromordinal(rng.randint(1, dt.date.max.toordinal())),
        ),
        Kind("time32_ms", pa.time32("ms"), (0, 1, 43_200_000, 86_399_999), _between(0, 86_399_999)),
        Kind(
            "time64_us",
            pa.time64("us"),
            (0, 1, 43_200_000_000, MICROSECONDS_A_DAY - 1),
            _between(0, MICROSECONDS_A_DAY - 1),
        ),
    ]
    for name, unit, zone in (
        ("timestamp_ms", "ms", None),
        ("timestamp_us", "us", None),
        ("timestamptz_us", "us", "UTC"),
        ("timestamptz_ms_berlin", "ms", "Europe/Berlin"),
    ):
        a_day = MICROSECONDS_A_DAY // (1000 if unit == "ms" else 1)
        # Python cannot show an instant whose local time leaves the years 1 to 9999.
        spare = 0 if zone in (None, "UTC") else a_day
        low, high = first * a_day + spare, (last + 1) * a_day - 1 - spare
        at_2000 = (dt.date(2000, 1, 1) - EPOCH.date()).days * a_day
        edges = (low, low + 1, -1, 0, 1, at_2000 - 1, at_2000, at_2000 + 1, high - 1, high)
        kinds.append(Kind(name, pa.timestamp(unit, zone), edges, _between(low, high)))
    return kinds


JSON_EDGES = (
    "null",
    "true",
    "0",
    "-1.50",
    '""',
    "[]",
    "{}",
    ' { "b" : 1 , "a" : [ null, {} ] , "b" : 2 } ',
    '{"text": "é \\" \\\\ \\u00e9 \\n"}',
    "12345678901234567890.123456789",
)


def extensions() -> list[Kind]:
    """Return arrow.uuid and arrow.json."""
    ids = (
        uuid.UUID(int=0).bytes,
        uuid.UUID(int=(1 << 128) - 1).bytes,
        uuid.UUID(int=0x0123456789ABCDEF << 64).bytes,
    )
    return [
        Kind("uuid", pa.uuid(), ids, lambda rng: rng.randbytes(16)),
        Kind(
            "json",
            pa.json_(),
            JSON_EDGES,
            lambda rng: json.dumps({"id": rng.randint(0, 99), "tags": ["a", None]}),
        ),
    ]


def column(kind: Kind, rng: random.Random) -> pa.Array:
    """Return the column of one kind: its edges, then drawn values and NULLs."""
    return _array(kind.type, [_cell(row, kind.edges, kind.draw, rng) for row in range(ROWS)])


def list_column(kind: Kind, rng: random.Random) -> pa.Array:
    """Return the list column of one kind: empty, of NULL, of all edges, then drawn."""
    edges = ([], [None], list(kind.edges), [None, kind.edges[0], None], [kind.edges[-1]], [None, None, None])

    def draw(source: random.Random) -> object:
        return [None if source.random() < NULL_SHARE else kind.draw(source) for _ in range(source.randint(0, 4))]

    cells = [_cell(row, edges, draw, rng) for row in range(ROWS)]
    flat: list[object] = []
    offsets: list[int] = []
    for cell in cells:
        offsets.append(len(flat))
        flat += cell if isinstance(cell, list) else []
    ends = pa.array([*offsets, len(flat)], pa.int32())
    mask = pa.array([cell is None for cell in cells])
    # Not pa.array(cells, …): it cannot make lists of extension types.
    return pa.ListArray.from_arrays(ends, _array(kind.type, flat), mask=mask)


def _cell(row: int, edges: Sequence[object], draw: Callable[[random.Random], object], rng: random.Random) -> object:
    if row == NULL_ROW:
        return None
    if row < len(edges):
        return edges[row]
    return None if rng.random() < NULL_SHARE else draw(rng)


def _array(arrow_type: pa.DataType, values: list[object]) -> pa.Array:
    if isinstance(arrow_type, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(arrow_type, pa.array(values, arrow_type.storage_type))
    return pa.array(values, arrow_type)


#: columns whose names must be quoted, escaped or cut nowhere
NAMES = ("order", "Mixed Case", 'a "quoted" name', "it's; -- a trap", "50% {of} %s", "größe", "n" * 63)


def all_types() -> pa.Table:
    """Return the table of all types."""
    rng = random.Random(SEED)  # noqa: S311
    kinds = [*numbers(), *decimals(), *texts(), *times(), *extensions()]
    columns = {kind.name: column(kind, rng) for kind in kinds}
    columns |= {f"{kind.name}_list": list_column(kind, rng) for kind in kinds if kind.listed}
    columns["int64_large_list"] = columns["int64_list"].cast(pa.large_list(pa.int64()))
    triples = [_cell(row, ([1, None, 3], [None] * 3), lambda _: [1, 2, 3], rng) for row in range(ROWS)]
    columns["int32_fixed_list"] = pa.array(triples, pa.list_(pa.int32(), 3))
    for number, name in enumerate(NAMES):
        columns[name] = pa.array([None if row == NULL_ROW else row * 10 + number for row in range(ROWS)], pa.int32())
    return pa.table(columns)


def tpch(folder: Path) -> None:
    """Write the TPC-H files."""
    beside = Path(sys.executable).with_name("tpchgen-cli")
    program = str(beside) if beside.exists() else shutil.which("tpchgen-cli")
    if program is None:
        raise SystemExit("tpchgen-cli is missing: pip install tpchgen-cli")
    options = [
        "-s",
        TPCH_SCALE,
        "-T",
        "orders,lineitem",
        "-n",
        "1",
        "-o",
        str(folder),
        "--overwrite",
        "--quiet",
        "-c",
        "ZSTD(12)",
    ]
    subprocess.run([program, "parquet", *options], check=True)


def main() -> None:
    """Write the three files into the folder named, else beside this script."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    tpch(folder)
    pq.write_table(all_types(), folder / "all_types.parquet", compression="zstd")


if __name__ == "__main__":
    main()
