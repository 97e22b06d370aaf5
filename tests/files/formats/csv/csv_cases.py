"""Small CSVs: what they hold, or what is wrong with them and where."""

from __future__ import annotations

from dataclasses import dataclass, field

from bulkio.files.formats.csv.options import CsvOptions


@dataclass(frozen=True)
class Good:
    """A CSV that can be read."""

    id: str
    data: bytes
    names: list[str]
    rows: list[list[str | None]]
    options: CsvOptions = field(default_factory=CsvOptions)


@dataclass(frozen=True)
class Bad:
    """A CSV that is refused. `column` is the error's attribute."""

    id: str
    data: bytes
    #: what the message begins with after the name, and what it holds further on
    place: str
    reason: str
    column: str | None = None
    options: CsvOptions = field(default_factory=CsvOptions)


AB = ["a", "b"]
NO_HEADER = CsvOptions(header=False)

GOOD = [
    Good("plain", b"a,b\n1,2\n", AB, [["1", "2"]]),
    Good("no last line end", b"a,b\n1,2", AB, [["1", "2"]]),
    Good("crlf", b"a,b\r\n1,2\r\n", AB, [["1", "2"]]),
    Good("cr", b"a,b\r1,2\r", AB, [["1", "2"]]),
    Good("cr, no last line end", b"a,b\r1,2", AB, [["1", "2"]]),
    Good("header only", b"a,b\n", AB, []),
    Good("header only, no line end", b"a,b", AB, []),
    Good("header only, cr", b"a,b\r", AB, []),
    Good("null and empty", b'a,b\n,""\n', AB, [[None, ""]]),
    Good("last field is null at the end", b"a,b\n1,", AB, [["1", None]]),
    Good("last field is empty at the end", b'a,b\n1,""', AB, [["1", ""]]),
    Good("quotes", b'a,b\n"x, y","say ""hi"""\n', AB, [["x, y", 'say "hi"']]),
    Good("quotes alone", b'a,b\n"""",""""""\n', AB, [['"', '""']]),
    Good("line ends in quotes", b'a,b\n"1\n2","3\r\n4\r5"\n', AB, [["1\n2", "3\r\n4\r5"]]),
    Good("other line ends in quotes than outside", b'a,b\r\n"1\n2",3\r\n', AB, [["1\n2", "3"]]),
    Good("blanks are kept", b"a,b\n 1 , 2\t\n", AB, [[" 1 ", " 2\t"]]),
    Good("blank line of one column", b"a\n1\n\n2\n", ["a"], [["1"], [None], ["2"]]),
    Good("blank last line of one column", b"a\n\n", ["a"], [[None]]),
    Good("quoted header", b'"a,1","b"\n1,2\n', ["a,1", "b"], [["1", "2"]]),
    Good("quoted header that looks like several", b'"a;b"\n1\n', ["a;b"], [["1"]]),
    Good("null text in the header", b"NULL,b\nNULL,2\n", ["NULL", "b"], [[None, "2"]], CsvOptions(null="NULL")),
    Good("null text", b'a,b\nNULL,"NULL"\n,""\n', AB, [[None, "NULL"], ["", ""]], CsvOptions(null="NULL")),
    Good("null text not as a part", b"a,b\nNULLS,NUL\n", AB, [["NULLS", "NUL"]], CsvOptions(null="NULL")),
    Good("null text beyond ASCII", "a,b\nø,oø\n".encode(), AB, [[None, "oø"]], CsvOptions(null="ø")),
    Good("blank line is the empty string", b"a\n\n", ["a"], [[""]], CsvOptions(null="NULL")),
    Good("semicolons", b"a;b\n1,5;2\n", AB, [["1,5", "2"]], CsvOptions(delimiter=";")),
    Good("tabs", b"a\tb\n1\t\n", AB, [["1", None]], CsvOptions(delimiter="\t")),
    Good("other quote", b"a,b\n'it''s',\"x\n", AB, [["it's", '"x']], CsvOptions(quote="'")),
    Good("escape", b'a,b\n"\\"x\\"","a\\\\b\\c"\n', AB, [['"x"', "a\\b\\c"]], CsvOptions(escape="\\")),
    Good("escape outside of quotes", b"a,b\n\\\\,\\x\n", AB, [["\\\\", "\\x"]], CsvOptions(escape="\\")),
    Good("no header", b"1,2\n3,4\n", ["column1", "column2"], [["1", "2"], ["3", "4"]], NO_HEADER),
    Good("no header, one row without a line end", b"1,2", ["column1", "column2"], [["1", "2"]], NO_HEADER),
    Good("names given", b"1,2\n", ["x", "y"], [["1", "2"]], CsvOptions(header_names=("x", "y"))),
    Good("names given, empty", b"", ["x", "y"], [], CsvOptions(header_names=("x", "y"))),
    Good("names replaced", b"a,b\n1,2\n", ["x", "y"], [["1", "2"]], CsvOptions(header=True, header_names=("x", "y"))),
    Good(
        "blank and repeated names replaced",
        b"a,a\n1,2\n",
        ["x", "y"],
        [["1", "2"]],
        CsvOptions(header=True, header_names=("x", "y")),
    ),
    Good("lines skipped", b'sep=;\n"\r\nx\ra,b\n1,2\n', AB, [["1", "2"]], CsvOptions(skip_lines=3)),
    Good(
        "lines skipped, no header",
        b"x\n1,2\n",
        ["x", "y"],
        [["1", "2"]],
        CsvOptions(skip_lines=1, header_names=("x", "y")),
    ),
    Good("byte order mark", b"\xef\xbb\xbfa,b\n1,2\n", AB, [["1", "2"]]),
    Good("byte order mark before a quote", b'\xef\xbb\xbf"a",b\n1,2\n', AB, [["1", "2"]]),
    Good("byte order mark within", b"a,b\n\xef\xbb\xbf1,2\n", AB, [["\ufeff1", "2"]]),
    Good("utf-8-sig", b"\xef\xbb\xbfa,b\n1,2\n", AB, [["1", "2"]], CsvOptions(encoding="utf-8-sig")),
    Good("utf-16", "a,b\nä,🐘\n".encode("utf-16"), AB, [["ä", "🐘"]], CsvOptions(encoding="utf-16")),
    Good("utf-16-le", "a,b\nä,🐘\n".encode("utf-16-le"), AB, [["ä", "🐘"]], CsvOptions(encoding="utf-16-le")),
    Good("utf-16-be, marked", "\ufeffa,b\nä,2".encode("utf-16-be"), AB, [["ä", "2"]], CsvOptions(encoding="utf-16-be")),
    Good("latin-1", b"a,b\n\xe9,2\n", AB, [["é", "2"]], CsvOptions(encoding="latin-1")),
    Good("cp1252", b"a,b\n\x80,2\n", AB, [["€", "2"]], CsvOptions(encoding="cp1252")),
    Good("shift_jis", "a,b\n表,2\n".encode("shift_jis"), AB, [["表", "2"]], CsvOptions(encoding="shift_jis")),
    Good("no end mark in quotes", b'a\n"\\."\n', ["a"], [["\\."]]),
    Good("no end mark with more on the line", b"a\n\\.x\n\\\n", ["a"], [["\\.x"], ["\\"]]),
    Good("no end mark among columns", b"a,b\n\\.,\\.\n", AB, [["\\.", "\\."]]),
    Good("many bytes a character", "a,b\nä€🐘,ß\n".encode(), AB, [["ä€🐘", "ß"]]),
]

BAD = [
    Bad("empty", b"", "", "no header"),
    Bad("empty but for a mark", b"\xef\xbb\xbf", "", "no header"),
    Bad("empty, no header", b"", "", "nothing tells its columns", options=NO_HEADER),
    Bad("all lines skipped", b"a,b\n1,2\n", "", "no header", options=CsvOptions(skip_lines=2)),
    Bad("more lines skipped than there are", b"a,b\n", "", "no header", options=CsvOptions(skip_lines=5)),
    Bad("blank header", b"\n1,2\n", "line 1: ", "a blank line, where names"),
    Bad("too few", b"a,b\n1,2\n3\n", "line 3: ", "1 field, where there are 2 columns"),
    Bad("too many", b"a,b\n1,2,3,4\n", "line 2: ", "4 fields, where there are 2 columns"),
    Bad("too many, one column", b"a\n1,2\n", "line 2: ", "2 fields, where there are 1 column"),
    Bad(
        "too many for the names",
        b"1,2,3\n",
        "line 1: ",
        "3 fields, where there are 2",
        options=CsvOptions(header_names=("x", "y")),
    ),
    Bad("ragged after broken lines", b'a,b\n"1\n\n\n2",3\n4\n', "line 6: ", "1 field"),
    Bad("blank line", b"a,b\n1,2\n\n3,4\n", "line 3: ", "a blank line, where there are 2 columns"),
    Bad("blank last line", b"a,b\n1,2\n\n", "line 3: ", "a blank line"),
    Bad("never closed", b'a,b\n1,2\n3,"x\n4,5\n6,7\n', 'line 3, column 2 "b": ', "never closes", "b"),
    Bad(
        "never closed, after an escape",
        b'a,b\n1,"x\\',
        'line 2, column 2 "b": ',
        "never closes",
        "b",
        CsvOptions(escape="\\"),
    ),
    Bad("never closed in the header", b'a,"b\n1,2\n', "line 1, column 2: ", "never closes", "2"),
    Bad("quote inside", b'a,b\n1,2\n3,x"y"\n', 'line 3, column 2 "b": ', "a quote inside a field", "b"),
    Bad("blank before a quote", b'a,b\n1, "2"\n', 'line 2, column 2 "b": ', "a quote inside a field", "b"),
    Bad("text after a quote", b'a,b\n"x"y,2\n', 'line 2, column 1 "a": ', "text after a closing quote", "a"),
    Bad("blank after a quote", b'a,b\n"x" ,2\n', 'line 2, column 1 "a": ', "text after a closing quote", "a"),
    Bad(
        "quote after a quote", b'a,b\n"x""y",2\n', 'line 2, column 1 "a": ', "text after", "a", CsvOptions(escape="\\")
    ),
    Bad("lf after crlf", b"a,b\r\n1,2\n", 'line 2, column 2 "b": ', r"end with \r\n", "b"),
    Bad("cr after crlf", b"a,b\r\n1,2\r3,4\r\n", 'line 2, column 2 "b": ', r"end with \r\n", "b"),
    Bad("cr after crlf, at the end", b"a,b\r\n1,2\r", 'line 2, column 2 "b": ', r"end with \r\n", "b"),
    Bad("crlf after lf", b"a,b\n1,2\r\n", 'line 2, column 2 "b": ', r"end with \n", "b"),
    Bad("lf after cr", b"a,b\r1,2\n", 'line 2, column 2 "b": ', r"end with \r", "b"),
    Bad("nul", b"a,b\n1,\0\n", 'line 2, column 2 "b": ', "a NUL byte", "b"),
    Bad("nul in quotes", b'a,b\n1,"\0"\n', 'line 2, column 2 "b": ', "a NUL byte", "b"),
    Bad("nul after a quote", b'a,b\n1,""\0\n', 'line 2, column 2 "b": ', "text after", "b"),
    Bad("end mark", b"a\n1\n\\.\n2\n", "line 3: ", r"a line of \. alone"),
    Bad("end mark at the end", b"a\n1\n\\.", "line 3: ", r"a line of \. alone"),
    Bad("end mark for a header", b"\\.\n1\n", "line 1: ", r"a line of \. alone"),
    Bad(
        "end mark that is the null text", b"a\n\\.\n", "line 2: ", r"a line of \. alone", options=CsvOptions(null="\\.")
    ),
    Bad("not utf-8", b"a,b\n1,2\n3,\xe9\n", 'line 3, column 2 "b": ', "bytes e9 are not valid utf-8", "b"),
    Bad("cut character", b"a,b\n1,\xc3", 'line 2, column 2 "b": ', "bytes c3 are not valid utf-8", "b"),
    Bad("surrogate", b"a,b\n1,\xed\xa0\x80", 'line 2, column 2 "b": ', "not valid utf-8", "b"),
    Bad("utf-16 taken for utf-8", "a,b\n".encode("utf-16"), "line 1, column 1: ", "as UTF-16 does", "1"),
    Bad(
        "utf-16 without its mark",
        "a,b\n".encode("utf-16-le"),
        "line 1, column 1: ",
        "give utf-16-le or",
        "1",
        CsvOptions(encoding="utf-16"),
    ),
    Bad(
        "utf-16, cut",
        "a,b\n1,2".encode("utf-16")[:-1],
        'line 2, column 2 "b": ',
        "truncated data",
        "b",
        CsvOptions(encoding="utf-16"),
    ),
    Bad(
        "not cp1252", b"a,b\n1,\x81\n", 'line 2, column 2 "b": ', "not valid cp1252", "b", CsvOptions(encoding="cp1252")
    ),
    Bad(
        "not ascii",
        b"a,b\n1,\xc3\xa4\n",
        'line 2, column 2 "b": ',
        "not valid ascii",
        "b",
        CsvOptions(encoding="ascii"),
    ),
    Bad("semicolons", b"a;b;c\n1;2;3\n", "line 1: ", "';' stands 2 times: give that as the delimiter"),
    Bad("a line for spreadsheets", b"sep=;\na;b\n", "line 1: ", "tells a spreadsheet the delimiter"),
    Bad("tabs", b"a\tb\n1\t2\n", "line 1: ", r"'\t' stands 1 time"),
    Bad("pipes", b"a|b\n1|2\n", "line 1: ", "'|' stands 1 time"),
    Bad("commas", b"a,b\n1,2\n", "line 1: ", "',' stands 1 time", options=CsvOptions(delimiter=";")),
    Bad("a name twice", b"a,b,a\n", "line 1, column 3: ", 'the name "a" occurs twice', "3"),
    Bad("no name", b"a,,c\n", "line 1, column 2: ", "a column without a name", "2"),
    Bad("no name, quoted", b'a,""\n', "line 1, column 2: ", "a column without a name", "2"),
    Bad("cut gzip", b"\x1f\x8b\x08\x00", "", "cannot be read: "),
]
