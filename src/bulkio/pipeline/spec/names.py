"""Names in texts that are no SQL: ``{name}`` in paths and names. In SQL they are literals (`bulkio.sql`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from bulkio.errors import ConfigError
from bulkio.options import PLACEHOLDERS, Param, param_text
from bulkio.show import did_you_mean, show_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Values", "fill_template", "fill_text", "names_in_text", "unknown_name", "whole_names_in_text"]

Values: TypeAlias = "Mapping[str, Param]"

_PLACE = re.compile(r"\{\{|\}\}|\{(?P<name>[A-Za-z_]\w*)(?::(?P<format>[^{}]*))?\}|(?P<wrong>[{}])")


def fill_text(text: str, values: Values) -> str:
    """Fill in the names of a text that is no SQL; doubled braces are braces. What follows a colon is a format.

    >>> from datetime import date
    >>> fill_text("in/{day}/{logical_date:%Y%m}-{{x}}.csv", {"day": "mon", "logical_date": date(2026, 3, 1)})
    'in/mon/202603-{x}.csv'

    Raises:
        ConfigError: a name is not there, or a brace stands alone.
    """

    def filled(match: re.Match[str]) -> str:
        if match["name"] is None:
            return match.group()[0]
        value = _value(match["name"], values)
        if match["format"] is None:
            return param_text(value) or ""
        try:
            return format(value, match["format"])
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{match.group()} cannot be filled in with {show_value(value)}: {error}") from None

    list(names_in_text(text))  # a brace alone
    return _PLACE.sub(filled, text)


def fill_template(text: str, values: Values) -> str:
    """Fill in the text of an added column, which is filled in once more, for each row: its own names stay.

    >>> fill_template("{file} of {day}", {"day": "{mon}"})
    '{file} of {{mon}}'
    """

    def filled(match: re.Match[str]) -> str:
        if match["name"] is None or match["name"] in PLACEHOLDERS:
            return match.group()
        return fill_text(match.group(), values).replace("{", "{{").replace("}", "}}")

    list(names_in_text(text))
    return _PLACE.sub(filled, text)


def _value(name: str, values: Values) -> Param:
    if name not in values:
        raise unknown_name(f"{{{name}}}", name, values)
    return values[name]


def unknown_name(shown: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a name that is not there."""
    near = did_you_mean(name, known)
    there = ", ".join(sorted(known)) or "none"
    return ConfigError(f"{shown} is not known{'; ' + near if near else f': names here are {there}'}")


def whole_names_in_text(text: str) -> set[str]:
    """Return the names whose whole value is in the text, and not what a format leaves of it."""
    return {match["name"] for match in _PLACE.finditer(text) if match["name"] and match["format"] is None}


def names_in_text(text: str) -> Iterator[str]:
    """Yield the names that a text uses. Raises `ConfigError` for a brace that stands alone."""
    for match in _PLACE.finditer(text):
        if match["wrong"]:
            raise ConfigError(f"{show_value(text)} has a {match['wrong']} that is no part of a name: double it")
        if match["name"]:
            yield match["name"]
