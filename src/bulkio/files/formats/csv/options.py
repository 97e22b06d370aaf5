"""What a user may say about a CSV. Checked when it is said; nothing is read here, and nothing is guessed."""

from __future__ import annotations

import codecs
import zoneinfo
from dataclasses import dataclass, fields

from bulkio.choices import check_number
from bulkio.errors import ConfigError
from bulkio.forms.dates import DateFormat
from bulkio.options.csv import CsvFields
from bulkio.protocols import CsvForm, Spelling
from bulkio.show import show_name, show_value

__all__ = ["CsvOptions"]

_LINE_ENDS = "\r\n"
#: encodings of names and of source code, which change or interpret what they read
_NOT_OF_FILES = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions(CsvFields):
    """How a CSV is written, checked. The defaults are PostgreSQL's, with a header.

    Raises `ConfigError` for what cannot be meant.

    >>> CsvOptions(delimiter=";", encoding="cp1252", decimal_comma=True).delimiter
    ';'
    """

    def __post_init__(self) -> None:
        """Check each value, and all together."""
        if isinstance(self.header_names, list):
            object.__setattr__(self, "header_names", tuple(self.header_names))
        _check_byte("delimiter", self.delimiter)
        _check_byte("quote", self.quote)
        if self.escape is not None:
            _check_byte("escape", self.escape)
        if self.delimiter in (self.quote, self.escape):
            other = "quote" if self.delimiter == self.quote else "escape"
            raise ConfigError(f"delimiter and {other} are both {show_value(self.delimiter)}, and must differ")
        _check_null(self)
        check_number("skip_lines", self.skip_lines, 0)
        for name in ("decimal_comma", "infer", "bom"):
            _check_flag(name, getattr(self, name))
        if self.header is not None:
            _check_flag("header", self.header)
        _check_names(self.header_names)
        _check_encoding(self.encoding)
        if self.date_format is not None:
            DateFormat(self.date_format)
        if self.timezone is not None:
            _check_timezone(self.timezone)

    @property
    def spelling(self) -> Spelling:
        """Tell how numbers, dates and times are written."""
        return Spelling(self.decimal_comma, self.date_format, self.timezone)

    @property
    def form(self) -> CsvForm:
        """Tell the server how to write.

        Raises:
            ConfigError: an option is for reading alone.
        """
        reading = ("header_names", "skip_lines", "encoding", "decimal_comma", "date_format", "timezone", "infer")
        given = [name for name in reading if getattr(self, name) != _DEFAULTS[name]]
        if given:
            raise ConfigError(f"{' and '.join(given)}: is for reading a CSV; the server writes it as it is, in UTF-8")
        return CsvForm(self.has_header, self.delimiter, self.quote, self.escape or self.quote, self.null)

    @property
    def has_header(self) -> bool:
        """Tell whether the first record holds names."""
        return self.header_names is None if self.header is None else self.header

    @property
    def is_utf8(self) -> bool:
        """Tell whether the file's own bytes are UTF-8, so that its offsets are those of the text."""
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig", "ascii")


_DEFAULTS = {field.name: field.default for field in fields(CsvOptions)}


def _check_byte(name: str, value: object) -> None:
    if not isinstance(value, str) or len(value) != 1 or not value.isascii() or value in _LINE_ENDS or value == "\0":
        raise ConfigError(f"{name} is {value!r}, and must be one ASCII character that ends no line")


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r}, and must be true or false")


def _check_null(options: CsvOptions) -> None:
    if not isinstance(options.null, str):
        raise ConfigError(f"null is {options.null!r}, and must be a text")
    bad = [c for c in (options.delimiter, options.quote, *_LINE_ENDS, "\0") if c in options.null]
    if bad:
        raise ConfigError(f"null is {options.null!r}, and must not hold {show_value(bad[0])}")
    try:
        options.null.encode()
    except UnicodeEncodeError as exc:
        raise ConfigError(f"null is {options.null!r}, and must be valid Unicode") from exc


def _check_names(names: object) -> None:
    if names is None:
        return
    if not isinstance(names, tuple) or not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"header_names is {names!r}, and must be a tuple of names")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"header_names has {', '.join(map(show_name, twice))} twice")


def _check_encoding(encoding: str) -> None:
    try:
        info = codecs.lookup(encoding)
    except (LookupError, ValueError, TypeError) as exc:
        raise ConfigError(f"encoding is {encoding!r}, which is not known; utf-8, utf-16, latin-1, cp1252 are") from exc
    if not info._is_text_encoding or info.incrementaldecoder is None or info.name in _NOT_OF_FILES:
        raise ConfigError(f"encoding is {encoding!r}, which is not an encoding of text that can be read in parts")


def _check_timezone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as exc:
        message = f"timezone is {name!r}, which is not a zone that is known; give a name such as Europe/Berlin"
        raise ConfigError(message) from exc
