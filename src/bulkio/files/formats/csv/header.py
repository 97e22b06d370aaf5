"""The names of a CSV's columns: from the header, from the user, or made up as PostgreSQL does it for VALUES."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bulkio.errors import CsvError
from bulkio.protocols import made_up_names
from bulkio.show import printable, show_name, show_no_header, show_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkio.files.formats.csv.options import CsvOptions
    from bulkio.files.formats.csv.parser import Parser

__all__ = ["column_names", "header_notes"]

_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")

_DELIMITERS = ",;\t|"


def column_names(parser: Parser, options: CsvOptions) -> tuple[str, ...]:
    """Return the names, after the parser has met the first record or the end. Raises `CsvError`."""
    if options.has_header:
        if parser.header is None:
            raise CsvError("it is empty: it has no header", path=parser.name)
        return options.header_names or _header(parser, options)
    if options.header_names is None and not parser.width:
        raise CsvError("it is empty, so that nothing tells its columns", path=parser.name)
    return options.header_names or made_up_names(parser.width)


def header_notes(names: Sequence[str], options: CsvOptions, path: str) -> tuple[str, ...]:
    """Return what there is to say of the names: one that is a number may be the first row of a file without any."""
    numbers = [name for name in names if _NUMBER.fullmatch(name)]
    if not numbers or not options.has_header or options.header_names is not None:
        return ()
    mend = f"if the file has no header, say so ({show_no_header()})"
    return (f"{printable(path)}: {show_name(numbers[0])} in its header is a number: {mend}",)


def _header(parser: Parser, options: CsvOptions) -> tuple[str, ...]:
    names = parser.header or ()
    line = options.skip_lines + 1
    if parser.header_is_plain:
        _refuse_other_delimiter(names[0], options, parser.name, line)
    for i, name in enumerate(names):
        if not name:
            raise CsvError("a column without a name in the header", path=parser.name, line=line, number=i + 1)
        if name in names[:i]:
            message = f"the name {show_name(name)} occurs twice in the header, first as column {names.index(name) + 1}"
            raise CsvError(message, path=parser.name, line=line, number=i + 1)
    return names


def _refuse_other_delimiter(name: str, options: CsvOptions, path: str, line: int) -> None:
    """Refuse a lonely name that looks like several: reading it as one would surely be wrong."""
    if name.lower().startswith("sep="):
        message = "this line tells a spreadsheet the delimiter, and is not the header: skip it, and give the delimiter"
        raise CsvError(message, path=path, line=line)
    likely = max(_DELIMITERS, key=name.count)
    if likely in name:
        count = name.count(likely)
        message = (
            f"the header is a single column, {show_value(name)}, in which {show_value(likely)} stands {count}"
            f" time{'s' * (count > 1)}: give that as the delimiter, which is {show_value(options.delimiter)} now"
        )
        raise CsvError(message, path=path, line=line)
