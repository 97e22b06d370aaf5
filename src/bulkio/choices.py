"""The words that options take, and the checks of them: a slip is an error where it is made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from bulkio.errors import ConfigError
from bulkio.quote import NAME_BYTES
from bulkio.show import show_option

__all__ = [
    "LEDGER_SCHEMA",
    "MAX_DELETE",
    "MODE_ADVICE",
    "BoundsPolicy",
    "Commit",
    "DriverChoice",
    "DriverName",
    "Duplicates",
    "ExportMethod",
    "IfEmpty",
    "InfinityPolicy",
    "LoadInfinity",
    "LoadMethod",
    "Mode",
    "NanPolicy",
    "NulPolicy",
    "byte_count",
    "check_choice",
    "check_flag",
    "check_load_id",
    "check_number",
    "check_schema",
    "check_share",
    "check_values",
    "check_workers",
    "days",
    "milliseconds",
    "number_of_workers",
    "share_of",
]


_REPLACING = (
    "replace puts a new table with the source's columns in the table's place; truncate keeps the table and replaces its"
    " rows"
)
_MERGING = "upsert inserts new rows and updates those whose key exists, insert-new leaves these as they are"

#: words that other tools have for a mode, with what fits here
MODE_ADVICE = {
    **dict.fromkeys(("overwrite", "full", "recreate"), _REPLACING),
    **dict.fromkeys(("merge", "update", "ignore", "insert_new", "insert-ignore"), _MERGING),
    **dict.fromkeys(("insert", "add"), "append adds rows"),
    **dict.fromkeys(("replace_where", "delete-insert", "backfill"), "replace-where replaces the rows of a condition"),
}


def check_choice(name: str, value: object, choices: object) -> None:
    """Refuse a value that is none of a Literal's words.

    >>> from typing import Literal
    >>> check_choice("mode", "fast", Literal["append", "create"])
    Traceback (most recent call last):
    ...
    bulkio.errors.ConfigError: mode is 'fast', and can be 'append' or 'create'
    """
    words = get_args(choices)
    if name == "mode" and isinstance(value, str) and (advice := MODE_ADVICE.get(value.lower())):
        raise ConfigError(f"there is no mode {value}: {advice}")
    if value not in words:
        *most, last = map(repr, words)
        raise ConfigError(f"{show_option(name)} is {value!r}, and can be {', '.join(most)} or {last}")


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False: a text, even "false", would count as True."""
    if not isinstance(value, bool):
        raise ConfigError(f"{show_option(name)} is {value!r}, and can be True or False")


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """Which columns are wanted: those that are named, in this order, or all but those.

    >>> ColumnChoice.of(["-b"]).among(["a", "b", "c"]), ColumnChoice.of(['"-b"', "a"]).names
    (('a', 'c'), ('-b', 'a'))
    """

    names: tuple[str, ...]
    excludes: bool = False

    @classmethod
    def of(cls, columns: Sequence[str]) -> ColumnChoice:
        """Read names: a minus ahead excludes; a name that begins with one itself stands in double quotes.

        Raises:
            ConfigError: some are named, and others excluded.
        """
        excluded = [name for name in columns if name.startswith("-")]
        if len(excluded) not in (0, len(columns)):
            raise ConfigError(
                f"{show_option('columns')} names some columns and excludes others ({', '.join(excluded)}): do one of"
                " both (a name that begins with a minus stands in double quotes)"
            )
        return cls(tuple(_unquoted(name.removeprefix("-")) for name in columns), excludes=bool(excluded))

    def has(self, name: str) -> bool:
        """Tell whether a column is wanted."""
        return (name in self.names) is not self.excludes

    def among(self, known: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that are wanted of those that there are."""
        return tuple(name for name in known if self.has(name)) if self.excludes else self.names


def _unquoted(name: str) -> str:
    return name[1:-1] if name.startswith('"-') and name.endswith('"') else name


def check_columns(_name: str, columns: object) -> None:
    """Refuse columns that are named and excluded at once. Raises ConfigError."""
    ColumnChoice.of([str(name) for name in columns] if isinstance(columns, Sequence) else [])


def check_names(name: str, names: object) -> None:
    """Refuse a mapping of names to what are none."""
    for old, new in names.items() if isinstance(names, Mapping) else ():
        if not (isinstance(old, str) and isinstance(new, str) and old and new):
            raise ConfigError(f"{show_option(name)} has {new!r} for {old!r}, and must map names to names")


def check_values(name: str, values: object) -> None:
    """Refuse a mapping of names to values that are no texts; a text may be empty."""
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if not (isinstance(key, str) and isinstance(value, str) and key):
            raise ConfigError(f"{show_option(name)} has {value!r} for {key!r}, and must map names to texts")


def check_number(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what is not a whole number between `least` and `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        span = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ConfigError(f"{show_option(name)} is {value!r}, and must be a whole number, {span}")


#: characters of a load's id and of a source's version; a key of the ledger's index takes 2,700 bytes
_ID_CHARS = 200


def check_load_id(name: str, value: object) -> None:
    """Refuse what is not a good name for a load, or for the version of a source.

    >>> check_load_id("load_id", "")
    Traceback (most recent call last):
    ...
    bulkio.errors.ConfigError: load_id is '', and must be 1 to 200 characters that can be printed
    """
    if not isinstance(value, str) or not 0 < len(value) <= _ID_CHARS or not value.isprintable():
        raise ConfigError(
            f"{show_option(name)} is {value!r}, and must be 1 to {_ID_CHARS} characters that can be printed"
        )


def check_schema(name: str, value: object) -> None:
    """Refuse what is not the name of a schema, spelled as the server has it: it is not folded."""
    if not isinstance(value, str) or not value or not value.isprintable() or len(value.encode()) > NAME_BYTES:
        raise ConfigError(f"{show_option(name)} is {value!r}, and must be a name of at most {NAME_BYTES} bytes")


#: The name is not just bulkio: a role of that name, such as the embedded server's, has the schema of its name first in
#: its search_path ("$user"), so the tables that it names without a schema would go there.
LEDGER_SCHEMA = "bulkio_ledger"

_DAYS = re.compile(r"(\d{1,6}) ?d")


def days(name: str, value: object) -> int:
    """Read a number of days.

    >>> days("older_than", "90d")
    90
    """
    found = _DAYS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigError(f"{show_option(name)} is {value!r}, and must be a number of days, such as '90d'")
    return int(found[1])


_SIZE = re.compile(r"(\d{1,15}) ?(|B|kB|MB|GB|KiB|MiB|GiB)")
_UNITS_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def byte_count(name: str, value: object) -> int:
    """Read a number of bytes, with or without a unit; MB is a million of them, MiB 1,048,576.

    >>> byte_count("chunk_bytes", "64MiB"), byte_count("chunk_bytes", "64 MB"), byte_count("chunk_bytes", 1)
    (67108864, 64000000, 1)
    """
    is_number = isinstance(value, int) and not isinstance(value, bool)
    found = _SIZE.fullmatch(str(value)) if is_number or isinstance(value, str) else None
    count = 0 if found is None else int(found[1]) * _UNITS_BYTES[found[2] or "B"]
    if count < 1:
        units = ", ".join(_UNITS_BYTES)
        raise ConfigError(
            f"{show_option(name)} is {value!r}, and must be a number of bytes, at least 1, with or without a unit"
            f" ({units}), such as '64MiB'"
        )
    return count


_TIME = re.compile(r"(\d{1,9}) ?(ms|s|min|m|h|d)")


_UNITS_MS = {"ms": 1, "s": 1000, "min": 60_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


#: largest number of milliseconds: PostgreSQL's settings are 32-bit integers
_MOST_MS = 2**31 - 1


def milliseconds(name: str, value: object) -> int:
    """Read a time as PostgreSQL's settings spell it; "0" means no limit.

    A number without a unit is refused: it would be milliseconds to PostgreSQL, and seconds to Python.

    >>> milliseconds("lock_timeout", "10s"), milliseconds("lock_timeout", "0")
    (10000, 0)
    """
    time = _TIME.fullmatch(value) if isinstance(value, str) else None
    limit = int(time[1]) * _UNITS_MS[time[2]] if time else -1
    if value == "0":
        return 0
    if not 0 <= limit <= _MOST_MS:
        raise ConfigError(
            f"{show_option(name)} is {value!r}, and must be a text with a unit (ms, s, m, h, d), such as '10s'"
        )
    return limit


#: share of a table's rows that a load may delete, if nobody says another
MAX_DELETE = "10%"


_SHARE = re.compile(r"(\d{1,18})|(\d{1,3}(\.\d{1,6})?)%", re.ASCII)


def check_share(name: str, value: object) -> None:
    """Refuse what is neither a number of rows nor a percentage of them."""
    match = None if isinstance(value, bool) else _SHARE.fullmatch(str(value))
    if match is None or (match[2] and Fraction(match[2]) > 100):
        raise ConfigError(f"{show_option(name)} is {value!r}, and must be a number of rows, or such as '10%' or '0.1%'")


def share_of(share: int | str, rows: int) -> int:
    """Return how many of `rows` a share is, at most.

    >>> share_of("10%", 25), share_of(7, 25), share_of("0.1%", 5000)
    (2, 7, 5)
    """
    text = str(share)
    return int(rows * Fraction(text[:-1]) / 100) if text.endswith("%") else int(text)


#: connections that one load opens, at most: each is a process of the server's
_MOST_WORKERS = 64


def check_workers(name: str, value: object) -> None:
    """Refuse what is neither a number of workers nor "auto"."""
    number_of_workers(name, value)


def number_of_workers(name: str, value: object) -> int | None:
    """Read a number of workers; None is "auto".

    >>> number_of_workers("workers", "4"), number_of_workers("workers", "auto")
    (4, None)
    """
    if value == "auto":
        return None
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= _MOST_WORKERS:
        raise ConfigError(
            f"{show_option(name)} is {value!r}, and must be a number from 1 to {_MOST_WORKERS}, or 'auto'"
        )
    return number


Commit = Literal["all", "chunk"]


DriverName = Literal["asyncpg", "psycopg"]


DriverChoice = Literal["auto", "asyncpg", "psycopg"]


LoadMethod = Literal["binary", "csv", "records"]


ExportMethod = Literal["binary", "cursor"]


Mode = Literal["append", "create", "truncate", "replace", "upsert", "insert-new", "replace-where"]


#: policy for rows of one source that have the same key
Duplicates = Literal["error", "first", "last"]


#: policy for columns of the source that the table lacks
NewColumns = Literal["error", "ignore", "add"]


#: policy for a source without rows that would empty a table
IfEmpty = Literal["error", "ok"]


InfinityPolicy = Literal["error", "null", "sentinel"]


#: policies for infinity in a load, where a sentinel alone can stand for one
LoadInfinity = Literal["error", "sentinel"]


NanPolicy = Literal["error", "null"]


NulPolicy = Literal["error", "strip", "replace"]


BoundsPolicy = Literal["error", "drop"]
