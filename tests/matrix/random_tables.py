"""Random tables, checked by the round trip: `python tests/matrix/random_tables.py --count 5000`.

Owns the making of schemas and values; `matrix_check` owns the check. Each table comes from its own seed, so that one
that fails is made again by `--seed N --count 1`.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from matrix_check import Place, Way, round_trip  # noqa: E402

import servers  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = ("parquet", "arrow", "arrows")
MAX_ROWS = 12
MAX_COLUMNS = 8
_LETTERS = "ab Z09éß😀\t\n\r\"'\\,(){}[]<>%&\x01"


@dataclass
class Maker:
    """Makes types and the SQL literals of their values, from one source of chance."""

    chance: random.Random
    extensions: set[str]
    version: int
    #: DDL of the types that the table needs
    ddl: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def type(self, depth: int = 0) -> tuple[str, Callable[[], str]]:
        """Give a type, as DDL spells it, and a maker of literals (SQL expressions)."""
        if depth < 3 and self.chance.random() < 0.3:
            kind = self.chance.choice(("array", "enum", "domain", "composite", "range", "multirange"))
            self.counts[kind] += 1
            return getattr(self, f"_{kind}")(depth + 1)
        known = [n for n, (_, extension) in SCALARS.items() if not extension or extension in self.extensions]
        name = self.chance.choice(known)
        self.counts[name] += 1
        make = SCALARS[name][0]
        return name, lambda: f"{quote(make(self.chance))}::{name}"

    def value(self, make: Callable[[], str], type_: str) -> str:
        """Give a value or NULL."""
        return f"NULL::{type_}" if self.chance.random() < 0.2 else make()

    def _named(self, prefix: str) -> str:
        odd = self.chance.choice(("", " x", "É", '"q'))
        return '"' + f"{prefix}{len(self.ddl)}{odd}".replace('"', '""') + '"'

    def _array(self, depth: int) -> tuple[str, Callable[[], str]]:
        element, make = self.type(depth)
        while element.endswith("[]"):
            element, make = self.type(depth)

        def values() -> str:
            items = (self.value(make, element) for _ in range(self.chance.randrange(4)))
            return f"ARRAY[{', '.join(items)}]::{element}[]"

        return f"{element}[]", values

    def _enum(self, _: int) -> tuple[str, Callable[[], str]]:
        labels = list(dict.fromkeys(text(self.chance, 9) or "-" for _ in range(self.chance.randrange(1, 6))))
        name = self._named("e")
        self.ddl.append(f"CREATE TYPE {name} AS ENUM ({', '.join(map(quote, labels))})")
        return name, lambda: f"{quote(self.chance.choice(labels))}::{name}"

    def _domain(self, depth: int) -> tuple[str, Callable[[], str]]:
        base, make = self.type(depth)
        name = self._named("d")
        self.ddl.append(f"CREATE DOMAIN {name} AS {base}")
        return name, lambda: f"({make()})::{name}"

    def _composite(self, depth: int) -> tuple[str, Callable[[], str]]:
        fields = [self.type(depth) for _ in range(self.chance.randrange(1, 4))]
        name = self._named("c")
        columns = ", ".join(f'"f{i}" {type_}' for i, (type_, _) in enumerate(fields))
        self.ddl.append(f"CREATE TYPE {name} AS ({columns})")
        return name, lambda: f"ROW({', '.join(self.value(make, t) for t, make in fields)})::{name}"

    def _range(self, _: int) -> tuple[str, Callable[[], str]]:
        name, sub, bound = self.chance.choice(RANGES)
        return name, lambda: self._range_value(name, sub, bound)

    def _range_value(self, name: str, sub: str, bound: Callable[[random.Random], object]) -> str:
        if self.chance.random() < 0.2:
            return f"'empty'::{name}"
        low, high = sorted((bound(self.chance), bound(self.chance)))
        ends = [f"'{end}'::{sub}" if self.chance.random() < 0.8 else "NULL" for end in (low, high)]
        return f"{name}({', '.join(ends)}, '{self.chance.choice('[(')}{self.chance.choice('])')}')"

    def _multirange(self, _: int) -> tuple[str, Callable[[], str]]:
        name, sub, bound = self.chance.choice(RANGES)
        many = name.replace("range", "multirange")

        def values() -> str:
            return f"{many}({', '.join(self._range_value(name, sub, bound) for _ in range(self.chance.randrange(3)))})"

        return many, values


def quote(value: str) -> str:
    """Write a literal."""
    return "E'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def text(chance: random.Random, longest: int = 30) -> str:
    """Make a text."""
    return "".join(chance.choice(_LETTERS) for _ in range(chance.randrange(longest)))


def integer(bits: int, signed: bool = True) -> Callable[[random.Random], str]:
    """Give a maker of integers of all sizes."""

    def make(chance: random.Random) -> str:
        value = chance.getrandbits(chance.randrange(bits - signed + 1))
        return str(-value - 1 if signed and chance.random() < 0.5 else value)

    return make


def real(digits: int) -> Callable[[random.Random], str]:
    """Give a maker of floats."""

    def make(chance: random.Random) -> str:
        if chance.random() < 0.3:
            return chance.choice(("NaN", "inf", "-inf", "0", "-0"))
        return f"{chance.uniform(-10, 10):.{digits}g}e{chance.randrange(-30, 30)}"

    return make


def decimal(whole: int, places: int, *specials: str) -> Callable[[random.Random], str]:
    """Give a maker of decimals."""

    def make(chance: random.Random) -> str:
        if specials and chance.random() < 0.1:
            return chance.choice(specials)
        left, right = (str(chance.getrandbits(4 * chance.randrange(n + 1) or 1))[:n] or "0" for n in (whole, places))
        return f"{chance.choice(('', '-'))}{left}.{right}"

    return make


def day(chance: random.Random, last: int = 9999) -> str:
    """Make a date of our era."""
    year, month, date = chance.randrange(1, last), chance.randrange(1, 13), chance.randrange(1, 29)
    return f"{year:04}-{month:02}-{date:02}"


def clock(chance: random.Random) -> str:
    """Make a time of day."""
    return f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}.{chance.randrange(10**6):06}"


def dated(chance: random.Random, time: str = "") -> str:
    """Make a date, with a time where one is given; some are BC."""
    before = chance.random() < 0.2
    return f"{day(chance, 4700 if before else 9999)} {time}{' BC' if before else ''}"


def digits(chance: random.Random, count: int, base: str = "0123456789abcdef") -> str:
    """Make digits."""
    return "".join(chance.choice(base) for _ in range(count))


def json_text(chance: random.Random, depth: int = 0) -> str:
    """Make a JSON document."""
    import json

    def make(depth: int) -> object:
        kind = chance.randrange(4 if depth > 2 else 6)
        if kind < 4:
            return (None, chance.getrandbits(60), chance.uniform(-1e9, 1e9), text(chance))[kind]
        items = [make(depth + 1) for _ in range(chance.randrange(4))]
        return items if kind == 4 else {text(chance): item for item in items}

    return json.dumps(make(depth))


def network(chance: random.Random) -> str:
    """Make an address with its mask."""
    if chance.random() < 0.5:
        return ".".join(str(chance.randrange(256)) for _ in range(4)) + f"/{chance.randrange(33)}"
    return ":".join(f"{chance.randrange(65536):x}" for _ in range(8)) + f"/{chance.randrange(129)}"


def number(chance: random.Random) -> str:
    """Make a short number."""
    return f"{chance.uniform(-99, 99):.3f}"


def pairs(chance: random.Random) -> str:
    """Make an hstore."""

    def word() -> str:
        return '"' + text(chance, 8).replace("\\", "\\\\").replace('"', '\\"') + '"'

    return ",".join(f"{word()}=>{chance.choice((word(), 'NULL'))}" for _ in range(chance.randrange(4)))


#: by type: a maker of its values' texts, and the extension that it needs
SCALARS: dict[str, tuple[Callable[[random.Random], str], str]] = {
    "bool": (lambda c: c.choice("tf"), ""),
    "int2": (integer(16), ""),
    "int4": (integer(32), ""),
    "int8": (integer(64), ""),
    "oid": (integer(32, signed=False), ""),
    "xid": (integer(32, signed=False), ""),
    "xid8": (integer(64, signed=False), ""),
    "float4": (real(6), ""),
    "float8": (real(17), ""),
    "numeric": (decimal(90, 40, "NaN", "Infinity", "-Infinity"), ""),
    "numeric(9,3)": (decimal(6, 3), ""),
    "numeric(38,10)": (decimal(28, 10), ""),
    "numeric(60,20)": (decimal(40, 20), ""),
    "numeric(200,50)": (decimal(150, 50, "NaN"), ""),
    "money": (decimal(12, 2), ""),
    "text": (text, ""),
    "varchar": (text, ""),
    "varchar(30)": (text, ""),
    "char(30)": (text, ""),
    "bpchar": (text, ""),
    "name": (lambda c: text(c, 15), ""),
    "citext": (text, "citext"),
    "bytea": (lambda c: "\\x" + digits(c, 2 * c.randrange(40)), ""),
    "date": (dated, ""),
    "time": (clock, ""),
    "time(2)": (lambda c: clock(c)[:-4], ""),
    "timetz": (lambda c: f"{clock(c)}{c.choice('+-')}{c.randrange(16):02}:{c.randrange(60):02}", ""),
    "timestamp": (lambda c: dated(c, clock(c)), ""),
    "timestamp(0)": (lambda c: dated(c, clock(c)[:-7]), ""),
    "timestamptz": (lambda c: dated(c, f"{clock(c)}+{c.randrange(14):02}"), ""),
    "interval": (lambda c: f"{integer(16)(c)} months {integer(16)(c)} days {integer(52)(c)} microseconds", ""),
    "interval(3)": (lambda c: f"{integer(16)(c)} months {integer(32)(c)} milliseconds", ""),
    "uuid": (lambda c: digits(c, 32), ""),
    "json": (json_text, ""),
    "jsonb": (json_text, ""),
    "inet": (network, ""),
    "macaddr": (lambda c: digits(c, 12), ""),
    "macaddr8": (lambda c: digits(c, 16), ""),
    "bit(11)": (lambda c: digits(c, 11, "01"), ""),
    "varbit": (lambda c: digits(c, c.randrange(40), "01"), ""),
    "pg_lsn": (lambda c: f"{c.getrandbits(32):X}/{c.getrandbits(32):X}", ""),
    "jsonpath": (lambda c: f"$.a{c.randrange(9)}[*]", ""),
    "point": (lambda c: f"({number(c)},{number(c)})", ""),
    "box": (lambda c: f"({number(c)},{number(c)}),({number(c)},{number(c)})", ""),
    "circle": (lambda c: f"<({number(c)},{number(c)}),5>", ""),
    "tsvector": (lambda c: " ".join(f"'{digits(c, 4)}':{c.randrange(1, 9)}" for _ in range(c.randrange(4))), ""),
    '"char"': (lambda c: digits(c, 1), ""),
    "regtype": (lambda c: c.choice(("int4", "text[]", "uuid")), ""),
    "hstore": (pairs, "hstore"),
    "ltree": (lambda c: ".".join(digits(c, 3) for _ in range(c.randrange(5))), "ltree"),
    "cube": (lambda c: f"({c.randrange(99)},{c.randrange(99)})", "cube"),
    "vector(3)": (lambda c: f"[{number(c)},{number(c)},{number(c)}]", "vector"),
    "halfvec": (lambda c: f"[{','.join(number(c) for _ in range(c.randrange(1, 5)))}]", "vector"),
    "geometry": (lambda c: f"SRID={c.choice((0, 4326))};LINESTRING(0 0,{number(c)} {number(c)})", "postgis"),
    "geometry(Point,4326)": (lambda c: f"SRID=4326;POINT({number(c)} {number(c)})", "postgis"),
    "geography": (lambda c: f"POINT({c.uniform(-90, 90):.3f} {c.uniform(-90, 90):.3f})", "postgis"),
}

RANGES = (
    ("int4range", "int4", lambda c: c.randrange(-(10**6), 10**6)),
    ("int8range", "int8", lambda c: c.randrange(-(10**15), 10**15)),
    ("numrange", "numeric", lambda c: c.randrange(-(10**6), 10**6) / 8),
    ("daterange", "date", day),
    ("tsrange", "timestamp", lambda c: f"{day(c)} {clock(c)}"),
    ("tstzrange", "timestamptz", lambda c: f"{day(c)} {clock(c)}+00"),
)


def check_table(place: Place, seed: int) -> Counter[str]:
    """Make one table and send it round; give how often each type was in it."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, no secret
    maker = Maker(chance, place.extensions, place.server.version)
    columns = [maker.type() for _ in range(chance.randrange(1, MAX_COLUMNS))]
    with place.schema() as schema:
        for statement in maker.ddl:
            place.conn.execute(statement)
        names = [f'"{digits(chance, 3)}{i}{chance.choice(("", " É", chr(34) * 2))}"' for i in range(len(columns))]
        specs = ", ".join(f"{name} {type_}" for name, (type_, _) in zip(names, columns, strict=True))
        place.conn.execute(f"CREATE TABLE t ({specs})")
        rows = [[maker.value(make, type_) for type_, make in columns] for _ in range(chance.randrange(MAX_ROWS))]
        if rows:
            place.conn.execute("INSERT INTO t VALUES " + ", ".join(f"({', '.join(row)})" for row in rows))
        round_trip(place, f"{schema}.t", Way(FORMATS[seed % len(FORMATS)]))
    return maker.counts


def main() -> None:
    """Check many tables on every server, print the failures and the counts per type."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    fleet, counts, failed = servers.Fleet(), Counter(), 0
    places = [Place.open(fleet.get(name)) for name in servers.found_servers()]
    try:
        for seed in range(args.seed, args.seed + args.count):
            place = places[seed // len(FORMATS) % len(places)]
            try:
                counts += check_table(place, seed)
            except Exception as error:
                failed += 1
                print(f"seed {seed} on {place.server.id}: {type(error).__name__}: {str(error)[:400]}")  # noqa: T201
    finally:
        for place in places:
            place.close()
        fleet.close()
    for name, count in counts.most_common():
        print(f"{count:8,}  {name}")  # noqa: T201
    print(f"{args.count:,} tables, {failed} failed")  # noqa: T201
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
