"""Compare bulkio's reading of CSV with COPY FROM (FORMAT csv) of real servers.

THE INVARIANT: whatever bytes come, cut wherever, and whatever the options are, bulkio either refuses them, or gives the
rows that every server gives. What a server refuses is refused.

    python tests/fuzz/fuzz_csv.py --count 100000 --seed 1

The same seed gives the same inputs. A failure prints the seed, the number of the input, its options and its bytes. A
byte order mark at the beginning, which bulkio skips and COPY reads as text, is kept from the servers.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/, where pytest finds it by itself

import servers
from bulkio.errors import FileError
from bulkio.files.formats.csv.options import CsvOptions
from bulkio.files.formats.csv.reader import CsvStream

if TYPE_CHECKING:
    from collections.abc import Sequence

Rows = list[tuple[str | None, ...]]

WIDTHS = (1, 2, 3)
#: inputs whose rows are fetched at once
ROUND = 250
_BOM = b"\xef\xbb\xbf"
#: what differs between refusals for one reason
_PLACE = re.compile(r"^stdin: (line \d+)?(, column \d+)?( \"c\d\")?(: )?")
#: what a mutation puts in: all that the grammar knows, and text of one to four bytes a character
_TOKENS = (
    *(
        b",",
        b";",
        b'"',
        b"'",
        b"\\",
        b"\n",
        b"\r",
        b"\r\n",
        b"\\.",
        b"\\.\n",
        b'""',
        b'"\n',
        b'\n"',
        b'",',
        b',"',
        b"\t",
    ),
    *(
        b"NULL",
        b"\\N",
        b" ",
        b"a",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xa4",
        b"\xe2\x80\xa8",
        b"\xf0\x9f\x90\x98",
        _BOM,
        b"\xed\xa0\x80",
    ),
)
_TEXTS = (
    "",
    "",
    "a",
    "1",
    "ä",
    "NULL",
    "\\N",
    "x y",
    "\\.",
    ".",
    "🐘",
    "a,b",
    'say "x"',
    "two\nlines",
    "c\r\nd",
    "\r",
    "\\",
    "'",
    ";",
)


@dataclass(frozen=True)
class Input:
    """One CSV, and how it is read."""

    options: CsvOptions
    data: bytes

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.options.header_names or ())


@dataclass
class Result:
    """How many inputs ended how."""

    outcomes: Counter[str] = field(default_factory=Counter)
    #: why bulkio alone refused
    reasons: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    seconds: float = 0.0


def draw(rng: random.Random) -> Input:
    """Draw options, write rows by them, and damage what was written."""
    width = rng.choice(WIDTHS)
    escape = rng.choice((None, None, None, "\\", "'"))
    options = CsvOptions(
        delimiter=rng.choice((",", ",", ",", ";", "\t", "|")),
        quote=rng.choice(('"', '"', '"', "'")) if escape != "'" else '"',
        escape=escape,
        null=rng.choice(("", "", "", "NULL", "\\N", "a")),
        header=rng.random() < 0.2,
        header_names=tuple(f"c{i + 1}" for i in range(width)),
    )
    data = bytearray(_write(rng, options, width))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        _damage(rng, data)
    return Input(options, bytes(data))


def _write(rng: random.Random, options: CsvOptions, width: int) -> bytes:
    end = rng.choice(("\n", "\n", "\r\n", "\r"))
    lines = [
        options.delimiter.join(_field(rng, options) for _ in range(width))
        for _ in range(rng.randint(0, 4) + options.has_header)
    ]
    text = end.join(lines) + (end if rng.random() < 0.8 else "")
    return (_BOM if rng.random() < 0.03 else b"") + text.encode()


def _field(rng: random.Random, options: CsvOptions) -> str:
    text = rng.choice(_TEXTS)
    if rng.random() < 0.6 and not set(text) & {options.delimiter, options.quote, "\n", "\r"}:
        return text
    escape = options.escape or options.quote
    escaped = "".join(escape + c if c in (options.quote, escape) else c for c in text)
    return options.quote + escaped + options.quote


def _damage(rng: random.Random, data: bytearray) -> None:
    at = rng.randint(0, len(data))
    kind = rng.randrange(6)
    if kind < 3:
        data[at:at] = rng.choice(_TOKENS)
    elif kind == 3:
        token = rng.choice(_TOKENS)
        data[at : at + len(token)] = token
    elif kind == 4:
        del data[at : at + rng.randint(1, 3)]
    else:
        start = rng.randint(0, len(data))
        data[at:at] = data[start : start + rng.randint(1, 12)]


class _Pieces:
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = data
        self._step = step
        self._at = 0

    def read(self, size: int, /) -> bytes:
        start = self._at
        self._at = min(len(self._data), start + min(size, self._step))
        return self._data[start : self._at]


def read(item: Input, *, step: int, batch_rows: int) -> Rows | str:
    """Read an input in this process; give why, where it is refused."""
    try:
        stream = CsvStream(_Pieces(item.data, step), item.options, batch_rows=batch_rows)
        batches = list(stream.batches())
    except FileError as exc:
        return _PLACE.sub("", str(exc))
    for batch in batches:
        batch.validate(full=True)
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


class Oracle:
    """One server's COPY, through one connection. Rows are fetched once for many inputs."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        for width in WIDTHS:
            columns = ", ".join(f"c{i + 1} text" for i in range(width))
            connection.execute(f"CREATE TEMP TABLE t{width} ({columns}, place bigserial)")

    def read(self, items: Sequence[Input]) -> list[Rows | None]:
        """Return the rows of each input, None where the server refuses it."""
        counts = [self._copy(item) for item in items]
        rows = {width: iter(self._fetch(width)) for width in WIDTHS}
        given = [
            None if count is None else [next(rows[item.width]) for _ in range(count)]
            for item, count in zip(items, counts, strict=True)
        ]
        assert not any(list(rest) for rest in rows.values()), "the server has rows that it did not count"
        return given

    def _copy(self, item: Input) -> int | None:
        options = item.options
        query = sql.SQL(
            "COPY {} ({}) FROM STDIN (FORMAT csv, DELIMITER {}, QUOTE {}, ESCAPE {}, NULL {}, HEADER {})"
        ).format(
            sql.Identifier(f"t{item.width}"),
            sql.SQL(", ").join(map(sql.Identifier, options.header_names or ())),
            options.delimiter,
            options.quote,
            options.escape or options.quote,
            options.null,
            sql.SQL(str(options.has_header)),
        )
        cursor = self._connection.cursor()
        try:
            with cursor.copy(query) as copy:
                copy.write(item.data.removeprefix(_BOM))
        except psycopg.Error:
            return None
        return cursor.rowcount

    def _fetch(self, width: int) -> Rows:
        names = ", ".join(f"c{i + 1}" for i in range(width))
        rows = self._connection.execute(f"SELECT {names} FROM t{width} ORDER BY place").fetchall()
        self._connection.execute(f"TRUNCATE t{width}")
        return rows


def outcome(ours: Rows | str, theirs: Rows | None) -> str:
    """Name how the two readings agree. Other rows, and rows where the server has none, must not be."""
    if isinstance(ours, str):
        return "refused by both" if theirs is None else "refused by bulkio alone"
    if theirs is None:
        return "refused by the server alone"
    return "same rows" if ours == theirs else "OTHER ROWS"


def fuzz(connections: dict[str, psycopg.Connection], count: int, seed: int = 0) -> dict[str, Result]:
    """Compare `count` inputs with each server. Raises AssertionError with the input that breaks the invariant."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    oracles = {name: Oracle(connection) for name, connection in connections.items()}
    results = {name: Result() for name in connections}
    began = time.perf_counter()
    for first in range(0, count, ROUND):
        items = [draw(rng) for _ in range(min(ROUND, count - first))]
        ours = [read(item, step=rng.choice((1, 2, 5, 1 << 20)), batch_rows=rng.choice((1, 3, 1000))) for item in items]
        for name, oracle in oracles.items():
            for number, (item, mine, theirs) in enumerate(zip(items, ours, oracle.read(items), strict=True), first):
                found = outcome(mine, theirs)
                where = f"seed {seed}, input {number}, {item.options}\n{item.data!r}\nbulkio {mine}\n{name} {theirs}"
                assert found not in ("OTHER ROWS", "refused by the server alone"), f"{found}: {where}"
                results[name].outcomes[found] += 1
                if isinstance(mine, str):
                    results[name].reasons[mine] += theirs is not None
                else:
                    results[name].rows += len(mine)
    for result in results.values():
        result.seconds = time.perf_counter() - began
    return results


def main() -> None:
    """Run from the command line, against every server of this machine."""
    parser = argparse.ArgumentParser(description="Compare bulkio's reading of CSV with PostgreSQL's.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    fleet = servers.Fleet()
    try:
        found = {name: fleet.get(name) for name in servers.found_servers()}
        results = fuzz({name: server.admin for name, server in found.items()}, args.count, args.seed)
    finally:
        fleet.close()
    for name, result in results.items():
        ended = ", ".join(f"{what} {n:,}" for what, n in sorted(result.outcomes.items()))
        print(f"{name}: {args.count:,} inputs, seed {args.seed}: {ended}; {result.rows:,} rows; {result.seconds:.0f} s")  # noqa: T201
        for reason, n in result.reasons.most_common():
            if n:
                print(f"    bulkio alone {n:>6,}: {reason}")  # noqa: T201


if __name__ == "__main__":
    main()
