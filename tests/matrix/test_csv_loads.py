"""Each type exported as CSV: the server's own COPY, byte for byte, and loaded back into a table of that type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cases import CASES, Case
from test_types_matrix import fill, missing

import bulkio
from bulkio import sql
from gaps import lacking

if TYPE_CHECKING:
    from pathlib import Path

    from matrix_check import Place


def server_csv(place: Place, table: str) -> bytes:
    """Let the server itself write the table under the settings of bulkio's sessions."""
    with place.conn.transaction():
        for statement in (*sql.session_pins(export=True), sql.OWN_PATH, sql.PLAIN_MONEY):
            place.conn.execute(statement)
        with place.conn.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT csv, HEADER)") as copy:
            return b"".join(map(bytes, copy))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_there_and_back(case: Case, place: Place, tmp_path: Path) -> None:
    """The file is what the server writes, and its rows are those that were, compared in binary."""
    if (wanting := missing(place, case)) is not None:
        lacking(wanting)
    file = tmp_path / "t.csv"
    with place.schema() as schema:
        fill(place, case)
        table = f"{schema}.t"
        rows = place.rows(table)
        bulkio.export(table, file, place.dsn)
        assert file.read_bytes() == server_csv(place, table)
        place.conn.execute(f"TRUNCATE {table}")
        bulkio.load(file, table, place.dsn)
        assert place.rows(table) == rows
