"""What is wrong with a CSV, and where: the one error that parsing raises, and its texts."""

from __future__ import annotations

from bulkio.errors import FileError
from bulkio.text import show_name

__all__ = ["OF_LINES", "CsvError", "fault_text"]


class CsvError(FileError):
    """A CSV whose rows are not certain. Nothing that is not certain is read.

    `line` counts the lines of the file from 1, as an editor does. `row` counts the rows of data from 1; it is None in
    the header. `column` is the column's name, or its number where it has none, or None where the whole line is meant.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str,
        line: int | None = None,
        row: int | None = None,
        number: int | None = None,
        column: str | None = None,
    ) -> None:
        place = [] if line is None else [f"line {line}"]
        if line is None and row is not None:
            place = [f"row {row}"]
        if number is not None:
            place.append(f"column {number}" + ("" if column is None else f" {show_name(column)}"))
        super().__init__(f"{path}: {', '.join(place)}{': ' if place else ''}{message}", path=path)
        self.line = line
        self.row = row
        self.column = column if column is not None or number is None else str(number)


#: faults of a line as a whole, not of one field in it
OF_LINES = frozenset({"ragged", "blank_line", "end_mark"})

_TEXTS = {
    "never_closed": "the quote that opens here never closes",
    "quote_inside": "a quote inside a field that does not begin with one; such a field is quoted as a whole, "
    "and the quotes in it are doubled",
    "text_after_quote": "text after a closing quote; a quote inside a quoted field is doubled",
    "nul_byte": "a NUL byte, which no text of PostgreSQL holds; if the file is UTF-16, give that as its encoding",
    "end_mark": r"a line of \. alone, which ends the data for PostgreSQL before 18 and is data after; quote it",
    "too_long": "a field of more than 1 GiB, which no PostgreSQL stores; is there a quote that never closes?",
}


def fault_text(fault: str, found: int, width: int, line_ends: str) -> str:
    """Tell what is wrong with a line of `found` fields, among lines that have `width` and end with `line_ends`.

    >>> fault_text("ragged", 2, 3, "")
    '2 fields, where there are 3 columns'
    """
    if fault == "ragged":
        doubt = "; is it the right delimiter?" if found == 1 else ""
        return f"{found} field{'s' * (found != 1)}, where there are {width} column{'s' * (width != 1)}{doubt}"
    if fault == "blank_line":
        return (
            f"a blank line, where there are {width} columns" if width > 1 else "a blank line, where names should stand"
        )
    if fault == "mixed_ends":
        return f"a line end of another kind; the lines before end with {line_ends.encode('unicode_escape').decode()}"
    return _TEXTS[fault]
