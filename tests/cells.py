"""What the codec's tests share: single cells through encoder and decoder, whole columns through a server."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.forms.copy_csv import csv_block
from bulkio.forms.wire import wire_batches, wire_fields
from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.pgcopy.encoder import HEADER, TRAILER
from bulkio.types import Cast, PgType, cast_from_pg, cast_to_pg

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

NULL = struct.pack("!i", -1)


def stream(cells: Iterable[bytes | None]) -> bytes:
    """Return the COPY BINARY stream of one column."""
    fields = (NULL if cell is None else struct.pack("!i", len(cell)) + cell for cell in cells)
    return HEADER + b"".join(b"\0\1" + field for field in fields) + TRAILER


def cells_of(data: bytes) -> list[bytes | None]:
    """Take such a stream apart."""
    assert data.startswith(HEADER)
    assert data.endswith(TRAILER)
    cells: list[bytes | None] = []
    at = len(HEADER)
    while at < len(data) - len(TRAILER):
        count, size = struct.unpack_from("!hi", data, at)
        assert count == 1
        at += 6
        cells.append(None if size < 0 else data[at : at + size])
        at += max(size, 0)
    return cells


def encode(values: pa.Array, pg: PgType | Cast) -> list[bytes | None]:
    """Encode an array; raises EncodeError. A type stands for the cast that the table of pairs chooses."""
    how = pg if isinstance(pg, Cast) else cast_to_pg(values.type, pg)
    assert how is not None
    encoder = Encoder([Field("c", how)])
    blocks = list(encoder.encode(pa.record_batch([values], names=["c"])))
    return cells_of(b"".join(bytes(block) for block in [*blocks, encoder.finish()]))


def encode_text(text: str, pg: PgType) -> bytes:
    """Encode one string."""
    cell = encode(pa.array([text]), pg)[0]
    assert cell is not None
    return cell


def decode(cells: Iterable[bytes | None], pg: PgType | Cast, *, chunk_bytes: int | None = None) -> pa.Array:
    """Decode cells; raises DecodeError. The array is checked as Arrow's own validation does."""
    how = pg if isinstance(pg, Cast) else cast_from_pg(pg)
    schema = pa.schema([("c", how.arrow)])
    data = stream(cells)
    decoder = Decoder([Field("c", how)], schema)
    for start in range(0, len(data), chunk_bytes or len(data)):
        decoder.feed(data[start : start + (chunk_bytes or len(data))])
    batches = [pa.record_batch(batch) for batch in decoder.finish()]
    column = pa.chunked_array([batch.column(0) for batch in batches], how.arrow).combine_chunks()
    column.validate(full=True)
    return column


def csv_of(column: pa.Array, how: Cast) -> bytes:
    """Return a column as the method csv sends it."""
    return b"".join(csv_block(batch, wire_fields([Field("c", how)])) for batch in wired(column, how))


def wired(column: pa.Array, how: Cast) -> list[pa.RecordBatch]:
    """Return a column as the methods csv and records meet it."""
    field = Field("c", how)
    encoder = Encoder([field])
    blocks = [*encoder.encode(pa.record_batch([column], names=["c"])), encoder.finish()]
    return list(wire_batches(blocks, wire_fields([field]), batch_rows=len(column)))


def read_cells(conn: psycopg.Connection, query: str) -> list[bytes | None]:
    """Return the cells that the server sends for a query of one column."""
    with conn.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy:
        return cells_of(b"".join(bytes(part) for part in copy))


def write_cells(conn: psycopg.Connection, sql_type: str, cells: Iterable[bytes | None]) -> None:
    """Make the table `cell` anew, with `id` from 1 and the column `c` of these cells."""
    conn.execute(f"DROP TABLE IF EXISTS cell; CREATE TABLE cell (id serial, c {sql_type})")
    with conn.cursor() as cursor, cursor.copy("COPY cell (c) FROM STDIN (FORMAT binary)") as copy:
        copy.write(stream(cells))


def agree_on_parsing(conn: psycopg.Connection, sql_type: str, pg: PgType, texts: Sequence[str]) -> None:
    """Hold that the server reads each text as the encoder does."""
    write_cells(conn, sql_type, encode(pa.array(texts, pa.string()), pg))
    rows = conn.execute(
        f"SELECT t, format('%%s', c), format('%%s', t::{sql_type}) FROM cell JOIN unnest(%s::text[])"
        " WITH ORDINALITY AS given (t, id) USING (id) ORDER BY id",
        [list(texts)],
    ).fetchall()
    assert len(rows) == len(texts)
    assert [row for row in rows if row[1] != row[2]] == []


def agree_on_printing(conn: psycopg.Connection, sql_type: str, pg: PgType, texts: Sequence[str]) -> list[str | None]:
    """Hold that the decoder writes what the server's own output function does; give it."""
    values = (
        f"SELECT c FROM (SELECT t::{sql_type} AS c, n FROM unnest({_literal(texts)}) WITH ORDINALITY AS u(t, n)) AS v"
    )
    decoded = decode(read_cells(conn, f"{values} ORDER BY n"), pg).to_pylist()
    printed = [row[0] for row in conn.execute(f"SELECT format('%s', c) FROM ({values} ORDER BY n) AS w")]
    assert decoded == printed
    return decoded


def _literal(texts: Sequence[str]) -> str:
    return "ARRAY[" + ",".join("'" + text.replace("'", "''") + "'" for text in texts) + "]::text[]"
