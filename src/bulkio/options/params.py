"""A query's parameters: Python values as the text that PostgreSQL reads as the same value.

They travel as literals of unknown type, so that the context decides the type, as with psql's variables. The session's
TimeZone is UTC: a datetime with a zone is told in UTC, so that it is the same instant even where a timestamp without
a zone is wanted, which would drop an offset in silence.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Param", "check_params", "param_text"]

Param: TypeAlias = str | int | float | Decimal | date | time | timedelta | UUID | bytes | None

#: PostgreSQL's words for what float and Decimal each write in their own way
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "infinity": "Infinity", "-inf": "-Infinity", "-infinity": "-Infinity"}


def check_params(_name: str, values: object) -> None:
    """Refuse a query's parameters that no text stands for exactly. Raises ConfigError."""
    for number, value in enumerate(values if isinstance(values, tuple) else (), 1):
        param_text(value, number)


def param_text(value: object, name: int | str = 1) -> str | None:
    r"""Return the text of a parameter, None for NULL; messages call it by its name or number.

    >>> param_text(True), param_text(0.1), param_text(timedelta(days=1)), param_text(b"\0")
    ('true', '0.1', '86400000000 microseconds', '\\x00')

    Raises:
        ConfigError: the value is of a type that has no one text.
    """
    if type(value).__module__ == "numpy" and type(value).__name__ not in ("datetime64", "timedelta64", "ndarray"):
        value = value.item()  # type: ignore[attr-defined]  # numpy's numbers and texts as Python's
    if value is None or isinstance(value, str):
        return None if value is None else str.__str__(value)
    for kind, text in _TEXTS:
        if isinstance(value, kind):
            return text(value)
    raise ConfigError(
        f"parameter ${name} is {value!r}: give a number, a date or time, a text, bytes or None; anything else as the"
        " text that the server is to read"
    )


def _number(value: float | Decimal) -> str:
    text = repr(value) if isinstance(value, float) else str(value)
    return _NOT_FINITE.get(text.lower(), text)


def _instant(value: datetime) -> str:
    return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat(" ")


# Subclasses come before their bases: a bool is an int, a datetime is a date.
_TEXTS: tuple[tuple[type, Callable[..., str]], ...] = (
    (bool, lambda value: "true" if value else "false"),
    (int, int.__repr__),
    (float, _number),
    (Decimal, _number),
    (datetime, _instant),
    (date, date.isoformat),
    (time, time.isoformat),
    # Its days are of 24 hours each, which an interval's are not.
    (timedelta, lambda value: f"{value // timedelta(microseconds=1)} microseconds"),
    (UUID, str),
    (bytes, lambda value: "\\x" + value.hex()),
)
