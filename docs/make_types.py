"""Make docs/types.md from the code's own tables of types: `python docs/make_types.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.types import ARRAY, BASE_TYPES, base_type, cast_from_pg, pg_type_for
from bulkio.types.pgtypes import EXTENSION_CODECS, SERVER_TEXT, PgType, array_of, numeric_typmod
from bulkio.types.to_pg import _LOSSY, _NESTED, _PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD = """\
# Types

<!-- made by docs/make_types.py from the code's tables: change those -->

A value arrives unchanged, or an error names its row and column. What would change a value exists only as a policy that
you set. Each exported field records its PostgreSQL type, so that a load into a new table makes the same column again.
"""

NOTES = """\
## Policies

Each is an argument of the API and an option of the command line; the default is an error.

| Policy | Export | Load |
|---|---|---|
| `infinity` | infinite dates and timestamps, and 24:00:00: `null`, or `sentinel`, the Arrow type's extreme \
| `sentinel`: that extreme becomes infinity again |
| `nan` | NaN and infinity of numeric(p,s), which a decimal cannot hold: `null` | |
| `bounds` | arrays whose lower bound is not 1: `drop` it | |
| `nul` | | NUL characters in text: `strip` or `replace` them |
| `dimensions` | `COLUMN=N`: the array has N dimensions | the same |
| `numeric` | numeric without precision: a `string`, or `decimal(p,s)`, in which all must fit, or `float64`, rounded | |
| `allow_lossy` | | lets the pairs marked so round |

## Notes

- char(n) is padded with blanks, as PostgreSQL stores it; varchar(n) never loses a character, not even a blank.
- A type that is not in the first table travels as the text that the server itself writes. A load into one, and a string
  into a type for which bulkio has no parser, travels as CSV text, which the server parses in the same transaction: the
  whole load then does, with the same policies and the same refusals.
- A string goes in only where all of it is kept: a float gives its digits back, a timestamp without zone has none in its
  text, and so in each part of an array, composite or range. What bulkio cannot be sure of is refused, such as a
  year of two digits: ISO 8601 is safe.
- The method `records` sends rows through the driver, and `cursor` reads them so: a column that either cannot carry is
  refused before anything is read or written, with its name.
- Parquet cannot hold Arrow's intervals: there they are structs of months, days and microseconds, which load back.
- Domains are their base types in Arrow. Enums, composites, and domains without constraint or default, that the database
  does not have are made by the load; where a recorded type cannot be had, the report and a warning say what came
  instead.
- `types` asks for the type of a new table's column, such as jsonb, or a composite for a struct; a union becomes jsonb
  only so, for json does not tell which of its types a value had.
- A domain's constraints, defaults, collations and generated columns are not recorded: their text is SQL.
- xml inside arrays and composites loses its declaration, as it does in pg_dump; a column of its own keeps it.
- Most types take the codec 3 to 10 ns a value (`make codec-bench` measures each). Slower by an order of magnitude are
  numeric past 38 digits, for its 256-bit arithmetic, and types that Arrow has as text only, parsed and written here:
  numeric without precision, inet, macaddr, bit, pg_lsn. Slower still, because each value passes through Python, are
  nested values into json and jsonb where no kernel of pyarrow's does it, strings into arrays and composites that the
  server parses, and the methods csv and records for intervals, arrays, composites, ranges, bytea and far dates.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join(
        [
            HEAD,
            _section("PostgreSQL to Arrow", ("PostgreSQL", "Arrow"), _exports()),
            _section("Arrow to a new table's column", ("Arrow", "PostgreSQL"), _new_columns()),
            _section("Arrow to an existing column", ("Arrow", "PostgreSQL", "Codec"), _existing()),
            NOTES,
        ]
    )


def _section(title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"## {title}\n", _line(heads), "|" + "---|" * len(heads), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _arrow(type_: pa.DataType) -> str:
    return (
        str(type_).replace("extension<", "").replace(">", "") if isinstance(type_, pa.BaseExtensionType) else str(type_)
    )


def _made(name: str, codec: str, **more: object) -> PgType:
    return replace(PgType(name, 0, 0, codec, "public"), **more)  # type: ignore[arg-type]


def _exports() -> Iterable[tuple[str, str]]:
    rows: dict[str, list[str]] = {}
    known = [(row.name, row) for row in BASE_TYPES]
    numerics = ((10, 2), (39, 0), (77, 0), (5, -2), (3, 5))
    known += [(f"numeric({p},{s})", base_type("numeric", numeric_typmod(p, s))) for p, s in numerics]
    known += [(f"{name} ({extension})", _made(name, codec)) for (extension, name), codec in EXTENSION_CODECS.items()]
    known += [("vector(3) (vector)", _made("vector", "vector", typmod=3)), ("enum", _made("e", "enum"))]
    int4 = base_type("int4")
    known += [("int4[], and so any array", array_of(int4)), ("composite (a int4, b text)", _composite())]
    known += [("int4range, and so any range", _made("r", "range", element=int4))]
    known += [
        ("int4multirange, and so any multirange", _made("m", "multirange", element=_made("r", "range", element=int4)))
    ]
    known += [("all else", _made("x", SERVER_TEXT))]
    for name, pg in known:
        found = "geoarrow.wkb (binary)" if pg.codec in ("geometry", "geography") else _arrow(cast_from_pg(pg).arrow)
        rows.setdefault(found, []).append(name)
    return [(", ".join(names), f"`{arrow}`") for arrow, names in rows.items()]


def _composite() -> PgType:
    return _made("c", "composite", fields=(("a", base_type("int4")), ("b", base_type("text"))))


_SAMPLES = (
    pa.bool_(),
    pa.bool8(),
    pa.int8(),
    pa.int16(),
    pa.uint8(),
    pa.int32(),
    pa.uint16(),
    pa.int64(),
    pa.uint32(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.decimal32(9, 2),
    pa.decimal64(18, 2),
    pa.decimal128(10, -3),
    pa.decimal256(76, 10),
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.binary(16),
    pa.date32(),
    pa.date64(),
    pa.time32("s"),
    pa.time64("ns"),
    pa.timestamp("ns"),
    pa.timestamp("us", "UTC"),
    pa.duration("us"),
    pa.month_day_nano_interval(),
    pa.uuid(),
    pa.json_(),
    pa.null(),
    pa.run_end_encoded(pa.int32(), pa.string()),
    pa.list_(pa.int32()),
    pa.large_list(pa.int32()),
    pa.list_(pa.int32(), 3),
    pa.list_view(pa.int32()),
    pa.list_(pa.list_(pa.int32())),
    pa.struct([("a", pa.int32())]),
    pa.map_(pa.string(), pa.string()),
    pa.dense_union([pa.field("a", pa.int32())]),
)


def _new_columns() -> Iterable[tuple[str, str]]:
    rows: dict[str, list[str]] = {}
    for arrow in _SAMPLES:
        pg = pg_type_for(arrow)
        rows.setdefault(pg.sql if pg else "refused", []).append(f"`{_arrow(arrow)}`")
    return [(", ".join(arrows), sql) for sql, arrows in rows.items()]


def _columns(codecs: Iterable[str]) -> str:
    wanted = set(codecs)
    names = [row.name for row in BASE_TYPES if row.codec in wanted]
    names += [name for (_, name), codec in EXTENSION_CODECS.items() if codec in wanted and name not in names]
    return ", ".join(names + sorted(wanted & {"enum", "composite", "range", "multirange", ARRAY}))


_SERVER_PARTS = {
    "list": "an array whose elements the server parses",
    "struct": "a composite of which the server parses a part",
}


def _existing() -> Iterable[tuple[str, str, str]]:
    rows = [(kind, _columns(codecs), encoder) for (kind, codecs), encoder in _PAIRS.items()]
    rows += [
        (kind, _SERVER_PARTS[kind] if codec == SERVER_TEXT else _columns([codec]), "by its parts")
        for kind, codec in _NESTED
    ]
    rows += [
        (kind, _columns([codec]), f"{encoder}, only with allow_lossy") for (kind, codec), encoder in _LOSSY.items()
    ]
    return [*rows, ("text", "all else", "the server parses it")]


if __name__ == "__main__":
    Path(__file__).with_name("types.md").write_text(page())
