"""Does the server store what the codec was given? Every pair of types goes in by COPY and is read back as text.

The text that is expected is made here, without the codec and without Arrow's own conversions.
"""

from __future__ import annotations

import json
import math
import random
import struct
import uuid
from decimal import Decimal

import pyarrow as pa
import pytest

from bulkio.errors import EncodeError
from bulkio.pgcopy import Encoder, Field
from bulkio.types import base_type, cast_to_pg
from pgcopy import codec_build as arrays
from pgcopy import codec_cases as cases

# --- what the server must show ------------------------------------------------------------------


def show_date(days: int) -> tuple[str, str]:
    """Write a day, counted from 1970-01-01, in the proleptic Gregorian calendar; and the era's suffix."""
    # days since 0000-03-01, in eras of 400 years (H. Hinnant, chrono-compatible low-level date algorithms)
    era, of_era = divmod(days + 719468, 146097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year = era * 400 + year_of_era + (month <= 2)
    return f"{year if year > 0 else 1 - year:04}-{month:02}-{day:02}", "" if year > 0 else " BC"


def show_time(us: int) -> str:
    """Write the time of a day."""
    seconds, fraction = divmod(us, 1_000_000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text + (f".{fraction:06}".rstrip("0") if fraction else "")


def show_instant(us: int, zone: str) -> str:
    """Write a timestamp of microseconds from 1970."""
    days, of_day = divmod(us, 86_400_000_000)
    date, era = show_date(days)
    return f"{date} {show_time(of_day)}{zone}{era}"


def agrees(pg, expected, text: str | None) -> bool:
    """Compare the server's text with a value, in the terms of the cases' `expect`."""
    if expected is None or text is None:
        return expected is None and text is None
    return _AGREES.get(pg.codec, lambda _, value, shown: str(value) == shown)(pg, expected, text)


def _float_agrees(pg, expected, text):
    value = float(text)
    width = 4 if pg.codec == "float4" else 8
    if expected == "nan" or arrays.nan_or_bits(expected, width) == "nan":
        return math.isnan(value)
    return int.from_bytes(struct.pack("<f" if width == 4 else "<d", value), "little") == expected


def _numeric_agrees(pg, expected, text):
    if pg.precision is None or not Decimal(expected).is_finite():
        return text == expected
    shown = Decimal(text)
    return shown == Decimal(expected) and -shown.as_tuple().exponent == max(pg.scale, 0)


_AGREES = {
    "bool": lambda _pg, value, text: text == str(value).lower(),
    "float4": _float_agrees,
    "float8": _float_agrees,
    "numeric": _numeric_agrees,
    "bytea": lambda _pg, value, text: text == "\\x" + value.hex(),
    "uuid": lambda _pg, value, text: text == str(uuid.UUID(bytes=value)),
    "jsonb": lambda _pg, value, text: json.loads(text) == json.loads(value),
    "date": lambda _pg, value, text: text == "".join(show_date(value)),
    "time": lambda _pg, value, text: text == show_time(value),
    "timestamp": lambda _pg, value, text: text == show_instant(value, ""),
    "timestamptz": lambda _pg, value, text: text == show_instant(value, "+00"),
}


# --- all pairs ----------------------------------------------------------------------------------


def _rows(case: cases.Case, count: int) -> list:
    edges = case.edge_rows()
    if case.pg.name == "name":  # 63 bytes; the server refuses longer ones
        edges = [v for v in edges if v is None or len(v.encode()) < 64]
    return (edges * count)[:count]


def _as_text(case: cases.Case, column: str) -> str:
    if case.layout is not None:
        elements = f"ARRAY(SELECT e::text FROM unnest({column}) WITH ORDINALITY AS u (e, n) ORDER BY n)"
        return f"CASE WHEN {column} IS NOT NULL THEN {elements} END"
    # a cast from char to text drops the blanks at the end
    return f"convert_from(bpcharsend({column}), 'UTF8')" if case.pg.name == "bpchar" else f"{column}::text"


def _load(connection, table: str, fields: list[Field], batch: pa.RecordBatch) -> None:
    """Create the table and COPY the batch in."""
    connection.execute(f"CREATE TABLE {table} ({', '.join(f'{f.name} {f.cast.pg.sql}' for f in fields)})")
    encoder = Encoder(fields)
    with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        for block in encoder.encode(batch):
            copy.write(bytes(block))
        copy.write(bytes(encoder.finish()))


@pytest.mark.parametrize("group", ["FLAT", "LISTS", "NULL"])
def test_the_server_stores_what_it_was_given(group, dsn, connect):
    """Every pair of types, with every edge: the server's text is the value's."""
    connection = connect(dsn)
    connection.execute("SET timezone = 'UTC'")
    chosen = getattr(cases, group)
    count = max(len(case.edge_rows()) for case in chosen)
    names = [f"c{i}" for i in range(len(chosen))]
    fields = [Field("n", cast_to_pg(pa.int64(), base_type("int8")))]
    fields += [Field(name, cast_to_pg(c.arrow, c.pg)) for name, c in zip(names, chosen, strict=True)]
    rows = [_rows(case, count) for case in chosen]
    columns = [case.array(cells) for case, cells in zip(chosen, rows, strict=True)]
    _load(connection, "t", fields, pa.record_batch([pa.array(range(count)), *columns], ["n", *names]))
    wrong = []
    for i, case in enumerate(chosen):
        shown = [row[0] for row in connection.execute(f"SELECT {_as_text(case, names[i])} FROM t ORDER BY n")]
        assert len(shown) == count
        for expected, text in zip(case.expected(rows[i]), shown, strict=True):
            if case.layout is None:
                good = agrees(case.pg, expected, text)
            elif expected is None or text is None:
                good = expected is text
            else:
                good = len(expected) == len(text)
                good = good and all(agrees(case.pg.element, e, t) for e, t in zip(expected, text, strict=True))
            if not good:
                wrong.append(f"{case.id}: {expected!r} is shown as {text!r}")
    assert wrong == []


def test_seconds_with_a_typmod_are_stored_unchanged(dsn, connect):
    """What the encoder lets into timestamp(p) and time(p) the server does not round; what it would round is refused."""
    connection = connect(dsn)
    connection.execute("SET timezone = 'UTC'")
    rng = random.Random(5)  # noqa: S311  # repeatable on purpose
    for places in range(7):
        grain = 10 ** (6 - places)
        for arrow, name in (
            (pa.timestamp("us"), "timestamp"),
            (pa.timestamp("us", "UTC"), "timestamptz"),
            (pa.time64("us"), "time"),
        ):
            pg = base_type(name, places)
            field = Field("c", cast_to_pg(arrow, pg))
            most = 86_400_000_000 // grain - 1
            good = [rng.randint(0 if name == "time" else -most, most) * grain for _ in range(20)]
            table = f"{name}_{places}"
            _load(connection, table, [field], pa.record_batch([arrays.by_integer(good, arrow)], ["c"]))
            shown = [row[0] for row in connection.execute(f"SELECT c::text FROM {table}")]
            assert [agrees(pg, v, text) for v, text in zip(good, shown, strict=True)] == [True] * 20
            if grain > 1:
                with pytest.raises(EncodeError, match="would be rounded"):
                    list(Encoder([field]).encode(pa.record_batch([arrays.by_integer([good[0] + 1], arrow)], ["c"])))


# --- numeric(p, s), against the server's own judgement --------------------------------------------

#: What the server makes of a number in a type: its text, or NULL where it is out of range.
_JUDGE = """
CREATE FUNCTION judge(number text, type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE made text;
BEGIN
    EXECUTE format('SELECT %L::%s', number, type) INTO made;
    RETURN made;
EXCEPTION WHEN numeric_value_out_of_range THEN
    RETURN NULL;
END $$
"""


def _typmods(rng: random.Random) -> list[tuple[int, int]]:
    """Draw precisions and scales; negative scales and those above the precision among them."""
    fixed = [
        (1, 0),
        (38, 0),
        (38, 38),
        (1, 1),
        (3, 5),
        (2, 20),
        (5, -2),
        (1, -10),
        (76, 38),
        (1000, 500),
        (4, 4),
        (8, 4),
    ]
    return fixed + [(rng.randint(1, 45), rng.randint(-12, 50)) for _ in range(40)]


def _unscaled_near(rng: random.Random, source_scale: int, most: int, precision: int, scale: int) -> int:
    """Draw an unscaled integer near the column's limits, with zeros at the end about where its scale cuts."""
    digits = rng.randint(0, max(1, precision + 2))
    zeros = max(0, source_scale - scale + rng.choice((-1, 0, 0, 0, 1)))
    value = rng.choice((rng.randint(0, 10**digits), 10**digits, 10**digits - 1)) * 10 ** min(zeros, 80)
    return rng.choice((1, -1)) * (value if value <= most else rng.randint(0, most))


def _accepts(array: pa.Array, pg) -> bool:
    try:
        list(Encoder([Field("c", cast_to_pg(array.type, pg))]).encode(pa.record_batch([array], ["c"])))
    except EncodeError as error:
        assert "out of range" in str(error) or "would be rounded" in str(error)  # noqa: PT017  # one of two outcomes
        return False
    return True


def _candidates(rng: random.Random, precision: int, scale: int) -> list[tuple[pa.Array, str]]:
    """Draw values of several Arrow types, each with its exact text."""
    out: list[tuple[pa.Array, str]] = []
    for _ in range(14):
        width, digits = rng.choice(((pa.decimal32, 9), (pa.decimal64, 18), (pa.decimal128, 38), (pa.decimal256, 76)))
        arrow = width(digits, rng.randint(-6, digits))
        value = _unscaled_near(rng, arrow.scale, 10**digits - 1, precision, scale)
        shown = arrays.show_unscaled(value, arrow.scale)
        out.append((arrays.by_unscaled([value], arrow), shown))
        exponent = rng.randint(-5, 5)
        text = rng.choice(
            (shown, f"{value}e{-arrow.scale}", f"{value * 10 ** max(exponent, 0)}E{-arrow.scale - max(exponent, 0)}")
        )
        out.append((pa.array([text]), shown))
        whole = _unscaled_near(rng, 0, (1 << 63) - 1, precision, scale)
        out.append((pa.array([whole], pa.int64()), str(whole)))
    return out


def test_numeric_typmods_as_the_server_judges_them(dsn, connect):
    """The encoder accepts exactly what numeric(p, s) stores unchanged; and stored it is, with the column's places."""
    connection = connect(dsn)
    connection.execute(_JUDGE)
    rng = random.Random(11)  # noqa: S311  # repeatable on purpose
    wrong, accepted, refused = [], 0, 0
    for precision, scale in _typmods(rng):
        pg = base_type("numeric", cases.numeric_typmod(precision, scale))
        candidates = _candidates(rng, precision, scale)
        texts = [text for _, text in candidates]
        judged = connection.execute(
            "SELECT judge(v, %s) FROM unnest(%s::text[]) WITH ORDINALITY AS u (v, n) ORDER BY n", [pg.sql, texts]
        ).fetchall()
        going: list[tuple[pa.Array, str]] = []
        for (array, text), (made,) in zip(candidates, judged, strict=True):
            unchanged = made is not None and Decimal(made) == Decimal(text)
            if _accepts(array, pg) != unchanged:
                wrong.append(f"{array.type} {text} -> {pg.sql}: the server makes {made}")
            elif unchanged:
                going.append((array, made))
        accepted += len(going)
        refused += len(candidates) - len(going)
        fields = [Field(f"c{i}", cast_to_pg(array.type, pg)) for i, (array, _) in enumerate(going)]
        if fields:
            table = f"t_{precision}_{scale}".replace("-", "m") + f"_{accepted}"
            _load(connection, table, fields, pa.record_batch([array for array, _ in going], [f.name for f in fields]))
            (row,) = connection.execute(
                f"SELECT {', '.join(f'{f.name}::text' for f in fields)} FROM {table}"
            ).fetchall()
            wrong += [
                f"{array.type} -> {pg.sql}: stored {stored}, not {made}"
                for stored, (array, made) in zip(row, going, strict=True)
                if stored != made
            ]
    assert wrong == []
    assert accepted > 500
    assert refused > 500
