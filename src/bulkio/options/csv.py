"""How a CSV is written: the options of `bulkio.csv`, of the command line's flags, and of a pipeline's steps."""

# Without `from __future__ import annotations`: the annotations are read at run time.

from dataclasses import dataclass
from typing import Annotated

from bulkio.options.option import Option

__all__ = ["EXPORT_ONLY", "LOAD_ONLY", "CsvFields"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFields:
    """The options; the defaults are PostgreSQL's, with a header."""

    delimiter: Annotated[str, Option("The character between fields.", metavar="CHAR")] = ","
    quote: Annotated[str, Option("The character around a field.", metavar="CHAR")] = '"'
    escape: Annotated[
        str | None,
        Option("The character before a quote, or before another escape.", metavar="CHAR", default="the quote"),
    ] = None
    null: Annotated[str, Option("The unquoted text that is NULL.", metavar="TEXT")] = ""
    header: Annotated[
        bool | None,
        Option("Whether the first record holds the columns' names.", default="it does, unless header_names are given"),
    ] = None
    header_names: Annotated[
        tuple[str, ...] | None,
        Option(
            "The columns' names, for a file without a header; with skip_lines 1, instead of those in it.",
            metavar="NAME,...",
            default="the header's",
        ),
    ] = None
    skip_lines: Annotated[int, Option("Lines to skip before the header.", least=0)] = 0
    encoding: Annotated[
        str,
        Option("A Python text encoding: utf-16, latin-1, cp1252, ...; a byte order mark is skipped.", metavar="NAME"),
    ] = "utf-8"
    decimal_comma: Annotated[bool, Option("Numbers are written as 1234,50.")] = False
    date_format: Annotated[
        str | None, Option("How dates are written, such as DD.MM.YYYY.", metavar="FORMAT", default="ISO's")
    ] = None
    timezone: Annotated[
        str | None,
        Option("The zone of times that name none, such as Europe/Berlin.", metavar="ZONE", default="they are an error"),
    ] = None
    infer: Annotated[bool, Option("Read it twice; a new table's columns get types, not text.")] = False
    bom: Annotated[bool, Option("Begin with a byte order mark, for spreadsheets.")] = False


#: options of a file that is read, and of one that is written
LOAD_ONLY = ("header_names", "skip_lines", "encoding", "decimal_comma", "date_format", "timezone", "infer")
EXPORT_ONLY = ("bom",)
