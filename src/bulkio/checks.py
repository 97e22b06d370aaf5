"""Checks of what callers pass as options: a slip is an error where it is made, not another meaning later on."""

from __future__ import annotations

from typing import get_args

from bulkio.errors import ConfigError

__all__ = ["check_choice", "check_number"]


def check_choice(name: str, value: object, choices: object) -> None:
    """Refuse a value that is none of a Literal's words.

    >>> from typing import Literal
    >>> check_choice("mode", "replace", Literal["append", "create"])
    Traceback (most recent call last):
    ...
    bulkio.errors.ConfigError: mode is 'replace', and can be 'append' or 'create'
    """
    words = get_args(choices)
    if value not in words:
        *most, last = map(repr, words)
        raise ConfigError(f"{name} is {value!r}, and can be {', '.join(most)} or {last}")


def check_number(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number between `least` and `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        span = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ConfigError(f"{name} is {value!r}, and must be a whole number, {span}")
