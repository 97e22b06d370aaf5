"""What can be wrong with a CSV, as the texts of `CsvError`."""

from __future__ import annotations

__all__ = ["OF_LINES", "fault_text"]


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
