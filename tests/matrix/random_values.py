"""Hypothesis strategies of the values of each type: SQL expressions, without the cast to the type.

Every strategy mixes edges with values drawn at random. Owns no type that a database makes itself: see `random_tables`.
"""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

__all__ = ["LETTERS", "Scalar", "quote", "scalars", "texts"]

#: of names and texts: what is hard to quote, and what UTF-8 writes in one to four bytes
LETTERS = "ab Z09éß😀\t\n\r\"'\\,(){}[]<>%&\x01"
_WORDS = ("", "NULL", "null", "\\N", "\\.", "  x  ", "{}", "()", '""', "infinity", "NaN")


@dataclass(frozen=True)
class Scalar:
    """A type and its values."""

    values: SearchStrategy[str]
    #: the extension that brings it
    extension: str = ""
    #: bulkio has no codec for it: the server writes and parses its text
    as_text: bool = False


def quote(value: str) -> str:
    """Write a literal."""
    return "E'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def literals(values: SearchStrategy) -> SearchStrategy[str]:
    """Return the values as literals."""
    return values.map(lambda value: quote(str(value)))


def texts(max_size: int = 30, *, min_size: int = 0) -> SearchStrategy[str]:
    """Return any text that PostgreSQL can hold, and such as is hard to quote."""
    anything = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.one_of(
        st.text(st.sampled_from(LETTERS), min_size=min_size, max_size=max_size),
        st.text(anything, min_size=min_size, max_size=max_size),
        st.sampled_from([word for word in _WORDS if min_size <= len(word) <= max_size]),
    )


def digits(count: int, base: str = "0123456789abcdef") -> SearchStrategy[str]:
    """Return so many digits."""
    return st.text(st.sampled_from(base), min_size=count, max_size=count)


# --- Numbers --------------------------------------------------------------------------------------------------


def integers(bits: int, *, signed: bool = True) -> SearchStrategy[str]:
    """Return integers of all sizes, with the extremes."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return literals(st.integers(low, high) | st.sampled_from((low, high, low + 1, high - 1)))


def floats(width: int, **limits: bool) -> SearchStrategy[str]:
    """Return floats: -0, subnormals, and where allowed NaN and the infinities."""
    return st.floats(width=width, **limits).map(repr)


def decimals(precision: int, scale: int, *specials: str) -> SearchStrategy[str]:
    """Return numbers of all sizes, with the extremes of numeric(precision, scale)."""
    top = 10**precision - 1
    plain = st.integers(-top, top) | st.sampled_from((top, -top, 1, -1, 10**scale, 10**4, -(10**4)))
    scaled = st.builds(_shift, plain, st.integers(0, scale))
    return literals(st.one_of(scaled, scaled, st.sampled_from((*specials, "0"))))


def _shift(number: int, places: int) -> str:
    whole, part = divmod(abs(number), 10**places)
    return f"{'-' if number < 0 else ''}{whole}" + (f".{part:0{places}}" if places else "")


#: what numeric without a typmod can hold at most
_HUGE = ("9" * 131072 + "." + "9" * 16383, "1e131071", "-1e-16383", "0." + "0" * 16383)
_NUMERICS = ("NaN", "Infinity", "-Infinity", "0.000", "-0.00010", "10000", "9999.9999")


# --- Dates and times ------------------------------------------------------------------------------------------

#: days from 2000-01-01 to the first that PostgreSQL has, to its last date, and to Arrow's last full day of timestamps
_FIRST_DAY, _LAST_DATE, _LAST_DAY = -2451545, 2145031948, 106741033


def days(last: int) -> SearchStrategy[str]:
    """Return dates, BC and far ones too."""
    near = st.integers(-800_000, 3_000_000)
    edges = st.sampled_from((0, -10957, -10958, -730_119, -730_120, _FIRST_DAY, last))
    return (near | st.integers(_FIRST_DAY, last) | edges).map("(date '2000-01-01' + ({}))".format)


def clocks(last: dt.time = dt.time.max) -> SearchStrategy[str]:
    """Return times of day, without 24:00."""
    return (st.times(max_value=last) | st.sampled_from((dt.time(0), last))).map(lambda t: t.strftime("%H:%M:%S.%f"))


def stamps(*, infinity: bool, zone: str = "") -> SearchStrategy[str]:
    """Return timestamps, BC and far ones too; with infinity, or Arrow's last instant, which is its sentinel."""
    local = st.builds("({} + time '{}')".format, days(_LAST_DAY), clocks())
    if zone:
        local = local.map(f"({{}} AT TIME ZONE '{zone}')".format)
    last = ("'infinity'", "'-infinity'") if infinity else (f"'294247-01-10 04:00:54.775806{zone}'",)
    return local | st.sampled_from(last)


def offsets() -> SearchStrategy[str]:
    """Return offsets from UTC as timetz has them."""
    part = st.integers(0, 59)
    return st.builds("{}{:02}:{:02}:{:02}".format, st.sampled_from("+-"), st.integers(0, 15), part, part)


def spans(microseconds: int) -> SearchStrategy[str]:
    """Return intervals; not the three extremes at once, which are infinity since PostgreSQL 17."""
    months = st.integers(-(2**31) + 1, 2**31 - 2) | st.integers(-20, 20)
    of_days = st.integers(-(2**31), 2**31 - 1) | st.integers(-40, 40)
    return st.builds(
        "'{} months {} days {} microseconds'".format,
        months,
        of_days,
        st.integers(-microseconds, microseconds) | st.integers(-(10**7), 10**7),
    )


# --- Documents, addresses, shapes -----------------------------------------------------------------------------


def documents() -> SearchStrategy[str]:
    """Return JSON, as Python writes it and as it does not."""
    plain = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    word = texts(12)
    nested = st.recursive(
        plain | word, lambda d: st.lists(d, max_size=3) | st.dictionaries(word, d, max_size=3), max_leaves=5
    )
    odd = (' {"b": 1, "a":2, "a": 3} ', "1e400", '"\\u0041"', "[1 ,2.50]", '{"":null}', "\t[]\n", "-0.00")
    return literals(st.builds(json.dumps, nested, ensure_ascii=st.booleans()) | st.sampled_from(odd))


def addresses() -> SearchStrategy[str]:
    """Return addresses with their masks."""

    def masked(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> SearchStrategy[str]:
        return st.integers(0, address.max_prefixlen).map(f"{address}/{{}}".format)

    return st.ip_addresses().flatmap(masked)


def network(address: str) -> str:
    """Return the network that an address with its mask lies in."""
    return str(ipaddress.ip_network(address, strict=False))


def _number() -> SearchStrategy[str]:
    return st.integers(-99_999, 99_999).map(lambda n: f"{n / 1000}")


def shaped(pattern: str, strategy: Callable[[], SearchStrategy[str]] = _number) -> SearchStrategy[str]:
    """Fill each pair of braces of a pattern with a number."""
    return literals(st.builds(pattern.format, *(strategy() for _ in range(pattern.count("{}")))))


def vectors(width: int, sizes: tuple[int, int]) -> SearchStrategy[str]:
    """Return vectors of pgvector, which has no NaN and no infinity."""
    numbers = st.floats(width=width, allow_nan=False, allow_infinity=False)
    return literals(st.lists(numbers, min_size=sizes[0], max_size=sizes[1]).map(repr))


def dictionaries() -> SearchStrategy[str]:
    """Return hstores."""

    def word(text: str | None) -> str:
        return "NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    found = st.dictionaries(texts(8), st.none() | texts(8), max_size=3)
    return literals(found.map(lambda pairs: ",".join(f"{word(k)}=>{word(v)}" for k, v in pairs.items())))


def _lexemes() -> SearchStrategy[str]:
    lexeme = st.builds("'{}':{}".format, digits(4), st.integers(1, 16383))
    return literals(st.lists(lexeme, max_size=3).map(" ".join))


# --- All of them ----------------------------------------------------------------------------------------------


@functools.cache
def scalars(*, parquet: bool, infinity: bool) -> dict[str, Scalar]:
    """Return every type's values, by its name.

    Arrow's own interval ends at 2^63 nanoseconds, the struct that Parquet gets does not. With `infinity` dates and
    times have the values that become sentinels; then those that equal a sentinel are left out.
    """
    found = {name: Scalar(values) for name, values in {**_numbers(), **_strings(), **_others()}.items()}
    found |= {name: Scalar(values) for name, values in _times(parquet=parquet, infinity=infinity).items()}
    found |= {name: Scalar(values, extension) for name, (values, extension) in _extensions().items()}
    return found | {name: Scalar(values, extension, True) for name, (values, extension) in _texts_of_server().items()}


def _numbers() -> dict[str, SearchStrategy[str]]:
    money = st.integers(-(2**63), 2**63 - 1).map(lambda n: _shift(n, 2))
    return {
        "bool": st.sampled_from(("false", "true")),
        "int2": integers(16),
        "int4": integers(32),
        "int8": integers(64),
        "oid": integers(32, signed=False),
        "xid": integers(32, signed=False),
        "xid8": integers(64, signed=False),
        "float4": literals(floats(32)),
        "float8": literals(floats(64)),
        "numeric": decimals(90, 40, *_NUMERICS) | literals(st.sampled_from(_HUGE)),
        "numeric(9,3)": decimals(9, 3, "0.000", "-999999.999").map(_fitting(9, 3)),
        "numeric(38,10)": decimals(38, 10, "0.0000000000").map(_fitting(38, 10)),
        "numeric(38,38)": decimals(38, 38).map(_fitting(38, 38)),
        "numeric(60,20)": decimals(60, 20).map(_fitting(60, 20)),
        "numeric(76,76)": decimals(76, 76).map(_fitting(76, 76)),
        "numeric(200,50)": decimals(200, 50, "NaN").map(_fitting(200, 50)),
        "money": literals(money),
    }


def _fitting(precision: int, scale: int) -> Callable[[str], str]:
    """Return a function that takes a literal down to what numeric(precision, scale) holds."""
    return f"(({{}})::numeric % 1e{precision - scale}::numeric)".format


def _strings() -> dict[str, SearchStrategy[str]]:
    text = literals(texts())
    return {
        "text": text | st.just("repeat('é', 9000)"),
        "varchar": text,
        "varchar(30)": text,
        "char(30)": text,
        "bpchar": text,
        "name": literals(texts(15)) | st.just(f"'{'n' * 63}'"),
        "bytea": literals(st.binary(max_size=40).map(lambda b: "\\x" + b.hex())) | st.just("'\\x" + "5c00" * 999 + "'"),
    }


def _times(*, parquet: bool, infinity: bool) -> dict[str, SearchStrategy[str]]:
    infinite = st.sampled_from(("'infinity'", "'-infinity'")) if infinity else st.nothing()
    midnight = st.just("'24:00'") if infinity else st.nothing()
    local, instant = stamps(infinity=infinity), stamps(infinity=infinity, zone="UTC")
    seconds = 2**63 - 1 if parquet else (2**63 - 1) // 1000
    return {
        "date": days(_LAST_DATE) | infinite,
        # the last time is the sentinel of 24:00
        "time": literals(clocks(dt.time(23, 59, 59, 999_998) if infinity else dt.time.max)) | midnight,
        "time(2)": literals(clocks().map(lambda c: c[:-4])) | midnight,
        "timetz": literals(st.builds("{}{}".format, clocks() | st.just("24:00"), offsets())),
        "timetz(3)": literals(st.builds("{:02}:00:59.125{}".format, st.integers(0, 23), offsets())),
        "timestamp": local,
        "timestamp(0)": local.map("date_trunc('second', {}::timestamp)".format),
        "timestamptz": instant,
        "timestamptz(3)": instant.map("date_trunc('second', {}::timestamptz)".format),
        "interval": spans(seconds),
        "interval(3)": spans(10**15),
        "interval day to second(2)": spans(10**15),
        "interval year to month": spans(10**15),
    }


def _others() -> dict[str, SearchStrategy[str]]:
    lsn = st.integers(0, 2**64 - 1).map(lambda n: f"{n >> 32:X}/{n & 0xFFFFFFFF:X}")
    paths = ("$", "strict $.a[*] ? (@ > 1)", '$."é"', "$.a3[0 to 2].*")
    points = st.floats() | st.integers(-9, 9).map(float)
    return {
        "uuid": literals(digits(32)),
        "json": documents(),
        "jsonb": documents(),
        "inet": literals(addresses()),
        "cidr": literals(addresses().map(network)),
        "macaddr": literals(digits(12)),
        "macaddr8": literals(digits(16)),
        "bit(11)": literals(digits(11, "01")),
        "bit": literals(digits(1, "01")),
        "varbit": literals(st.text(st.sampled_from("01"), max_size=40)),
        "varbit(20)": literals(st.text(st.sampled_from("01"), max_size=20)),
        "pg_lsn": literals(lsn),
        "jsonpath": literals(st.sampled_from(paths)),
        "point": literals(st.builds("({!r},{!r})".format, points, points)),
    }


def _extensions() -> dict[str, tuple[SearchStrategy[str], str]]:
    shapes = ("POINT({} {})", "LINESTRING(0 0,{} {})", "POINT EMPTY", "MULTIPOINT({} {},1 1)", "POINT ZM({} {} {} {})")
    flat = st.sampled_from(("", "SRID=4326;")).flatmap(lambda srid: st.one_of(*(shaped(srid + s) for s in shapes)))

    def degrees() -> SearchStrategy[str]:
        return st.integers(-90_000, 90_000).map(lambda n: f"{n / 1000}")

    labels = st.lists(st.text(st.sampled_from("aZ0_"), min_size=1, max_size=3), max_size=4)
    return {
        "citext": (literals(texts()), "citext"),
        "hstore": (dictionaries(), "hstore"),
        "ltree": (literals(labels.map(".".join)), "ltree"),
        "vector": (vectors(32, (1, 4)), "vector"),
        "vector(3)": (vectors(32, (3, 3)), "vector"),
        "halfvec": (vectors(16, (1, 4)), "vector"),
        "geometry": (flat, "postgis"),
        "geometry(Point,4326)": (shaped("SRID=4326;POINT({} {})"), "postgis"),
        "geography": (shaped("POINT({} {})", degrees) | shaped("LINESTRING(0 0,{} {})", degrees), "postgis"),
    }


def _texts_of_server() -> dict[str, tuple[SearchStrategy[str], str]]:
    return {
        "box": (shaped("({},{}),({},{})"), ""),
        "circle": (shaped("<({},{}),5>"), ""),
        "path": (shaped("[({},{}),({},{})]") | shaped("(({},{}))"), ""),
        "polygon": (shaped("(({},{}),({},{}),(0,1))"), ""),
        "tsvector": (_lexemes(), ""),
        "tsquery": (literals(st.sampled_from(("", "'a' & !'b'", "'a':*AB | 'é'"))), ""),
        '"char"': (literals(digits(1)) | st.sampled_from(("''", "'\\377'")), ""),
        "regtype": (literals(st.sampled_from(("int4", "text[]", "uuid"))), ""),
        "cube": (shaped("({},{})") | shaped("({},{}),({},{})"), "cube"),
        "sparsevec": (st.sampled_from(("'{1:2}/3'", "'{}/1'")), "vector"),
    }
