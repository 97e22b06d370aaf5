"""Each type as the server's own COPY TO (FORMAT csv) writes it, read as text and loaded into a table of that type.

Once with dates, times and booleans left to the server, and once with bulkio's parsers of ISO's spelling.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from cases import CASES, Case
from test_types_matrix import fill, missing

import bulkio
from bulkio.files.formats.csv.reader import CsvStream
from bulkio.types import to_pg
from bulkio.types.isotexts import ISO_CODECS
from gaps import lacking

if TYPE_CHECKING:
    from matrix_check import Place


def check(case: Case, place: Place) -> None:
    """Copy a table of the type out as CSV, load that back into it, and compare the rows in binary."""
    if (wanting := missing(place, case)) is not None:
        lacking(wanting)
    with place.schema() as schema:
        fill(place, case)
        table = f"{schema}.t"
        rows = place.rows(table)
        with place.conn.cursor().copy(f"COPY {table} TO STDOUT (FORMAT csv, HEADER)") as copy:
            source = CsvStream(io.BytesIO(b"".join(map(bytes, copy))))
        place.conn.execute(f"TRUNCATE {table}")
        bulkio.load(pa.RecordBatchReader.from_batches(source.schema, source.batches()), table, place.dsn)
        assert place.rows(table) == rows


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_type(case: Case, place: Place) -> None:
    """What a server writes of any type is loaded again as it was."""
    check(case, place)


@pytest.mark.parametrize(
    "case", [case for case in CASES if re.match("bool|date|time", case.type)], ids=lambda case: case.id
)
def test_iso_texts(case: Case, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is where bulkio parses the dates, times and booleans itself."""
    for name, codec in ISO_CODECS.items():
        monkeypatch.setitem(to_pg._ENCODERS, ("text", name), codec)
    check(case, place)
