"""What a server's own COPY TO (FORMAT csv) writes is read back: the same texts, NULL and the empty string apart."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from bulkio.files.formats.csv.options import CsvOptions
from bulkio.files.formats.csv.reader import CsvStream

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

TEXTS = [
    "",
    "a",
    "NULL",
    "\\N",
    "\\.",
    "\\",
    '"',
    '""',
    "'",
    "a,b",
    "a;b",
    "x\ty",
    "1\n2",
    "1\r\n2",
    "\r",
    "\n",
    " ",
    "ä🐘",
    '\\"',
]
OPTIONS = {
    "the server's own": CsvOptions(),
    "semicolons": CsvOptions(delimiter=";"),
    "tabs and a null text": CsvOptions(delimiter="\t", null="\\N"),
    "a quote and an escape": CsvOptions(quote="'", escape="\\", null="NULL"),
    "an escape": CsvOptions(escape="\\"),
    "no header": CsvOptions(header=False),
}


def copy_out(conn: psycopg.Connection, options: CsvOptions, more: str) -> bytes:
    """Let the server write the table as the options say."""
    query = sql.SQL("COPY t TO STDOUT (FORMAT csv, DELIMITER {}, QUOTE {}, ESCAPE {}, NULL {}, HEADER {}" + more + ")")
    header = sql.SQL(str(options.has_header))
    values = (options.delimiter, options.quote, options.escape or options.quote, options.null, header)
    with conn.cursor().copy(query.format(*values)) as copy:
        return b"".join(map(bytes, copy))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("width", [1, 3])
def test_what_a_server_writes(
    dsn: str, connect: Callable[[str], psycopg.Connection], options: CsvOptions, width: int
) -> None:
    """Each text goes there and back, alone in its row or not, all fields quoted or only those that need it."""
    draw = random.Random(width)  # noqa: S311 - repeatable on purpose
    rows = [[draw.choice([None, *TEXTS]) for _ in range(width)] for _ in range(500)]
    conn = connect(dsn)
    conn.execute(f"CREATE TABLE t ({', '.join(f'c{i + 1} text' for i in range(width))})")
    with conn.cursor().copy("COPY t FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    for more in ("", ", FORCE_QUOTE *"):
        stream = CsvStream(io.BytesIO(copy_out(conn, options, more)), options)
        assert [list(row.values()) for batch in stream.batches() for row in batch.to_pylist()] == rows
        assert stream.schema.names == [f"{'c' if options.has_header else 'column'}{i + 1}" for i in range(width)]
