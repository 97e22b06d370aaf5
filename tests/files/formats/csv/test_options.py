"""Options are checked where they are given."""

from __future__ import annotations

import pytest

from bulkio.errors import ConfigError
from bulkio.files.formats.csv.options import CsvOptions


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"delimiter": ""}, "delimiter is ''"),
        ({"delimiter": ";;"}, "one ASCII character"),
        ({"delimiter": "§"}, "one ASCII character"),
        ({"delimiter": "\n"}, "ends no line"),
        ({"delimiter": "\0"}, "delimiter is"),
        ({"delimiter": 5}, "delimiter is 5"),
        ({"quote": "\r"}, "quote is"),
        ({"quote": ""}, "quote is ''"),
        ({"escape": "ab"}, "escape is 'ab'"),
        ({"escape": ""}, "escape is ''"),
        ({"delimiter": '"'}, "delimiter and quote are both"),
        ({"delimiter": "\\", "escape": "\\"}, "delimiter and escape are both"),
        ({"null": "a,b"}, "must not hold ','"),
        ({"null": 'a"'}, "must not hold '\"'"),
        ({"null": "a\n"}, r"must not hold '\n'"),
        ({"null": "\ud800"}, "valid Unicode"),
        ({"null": None}, "null is None"),
        ({"skip_lines": -1}, "skip_lines is -1"),
        ({"header": "yes"}, "header is 'yes'"),
        ({"decimal_comma": 1}, "decimal_comma is 1"),
        ({"header_names": ()}, "header_names is ()"),
        ({"header_names": "a"}, "must be a tuple of names"),
        ({"header_names": ("a", "")}, "must be a tuple of names"),
        ({"header_names": ("a", "b", "a")}, '"a" twice'),
        ({"encoding": "nope"}, "encoding is 'nope', which is not known"),
        ({"encoding": "rot13"}, "not an encoding of text"),
        ({"encoding": "punycode"}, "not an encoding of text"),
        ({"encoding": "unicode_escape"}, "not an encoding of text"),
        ({"encoding": "base64"}, "not an encoding of text"),
        ({"encoding": "a\0b"}, "which is not known"),
        ({"encoding": None}, "encoding is None"),
        ({"date_format": "DD.MM"}, "once each, as in DD.MM.YYYY"),
        ({"date_format": "DD.MM.YY"}, "do not tell the century"),
        ({"date_format": "DD.MM.YYYY.DD"}, "once each"),
        ({"date_format": "%d.%m.%Y"}, "write DD.MM.YYYY"),
        ({"date_format": "DD Mon YYYY"}, "once each"),
        ({"date_format": ""}, "once each"),
        ({"timezone": "Mars/Olympus"}, "timezone is 'Mars/Olympus'"),
        ({"timezone": "../etc/passwd"}, "timezone is"),
        ({"timezone": ""}, "timezone is"),
    ],
)
def test_what_cannot_be_meant(options, reason):
    """A slip is an error that names the option and its value."""
    with pytest.raises(ConfigError) as caught:
        CsvOptions(**options)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("options", "has_header"),
    [
        ({}, True),
        ({"header": False}, False),
        ({"header_names": ("a",)}, False),
        ({"header_names": ("a",), "header": True}, True),
        ({"header_names": ("a",), "header": False}, False),
    ],
)
def test_whether_there_is_a_header(options, has_header):
    """Names that are given mean a file without a header, unless the user says that it has one."""
    assert CsvOptions(**options).has_header is has_header


def test_options_are_values():
    """Options are frozen, equal by value, and can be keys."""
    options = CsvOptions(delimiter=";")
    assert options == CsvOptions(delimiter=";")
    assert len({options, CsvOptions(delimiter=";")}) == 1
    with pytest.raises(AttributeError):
        options.delimiter = ","
