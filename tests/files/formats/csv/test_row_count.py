"""Rows of CSV are counted as a reader would, wherever the pieces are cut."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from bulkio.files.formats.csv.row_count import RowCount

TEXTS = st.text(st.sampled_from('a,"\\\n'), max_size=5)


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=3), max_size=8), st.booleans(), st.integers(1, 7), st.booleans())
def test_rows_are_counted(rows: list[list[str]], doubled: bool, size: int, has_header: bool) -> None:
    """As many as were written, line ends in fields or not, with doubled quotes or another escape."""
    out = io.StringIO()
    marks = {"doublequote": True} if doubled else {"doublequote": False, "escapechar": "\\"}
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL, **marks).writerows(rows)
    data = out.getvalue().encode()
    count = RowCount(quote=b'"', escape=b'"' if doubled else b"\\", has_header=has_header)
    for at in range(0, len(data), size):
        count.feed(data[at : at + size])
    assert count.rows == max(0, len(rows) - has_header)
