"""The options of `bulkio.load` and `bulkio.export` as fields of operators: their signature and their values.

A field has its option's name, but where Airflow has that name already.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import bulkio
from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import BaseOperator

__all__ = ["Fields"]

F = TypeVar("F", bound="Callable[..., None]")

#: options that the connection, or Airflow itself, takes care of
_NOT_FIELDS = ("dsn", "password", "connection", "progress", "on_step", "retries")
#: words for a flag, as a template renders them, in lower case
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


class Fields:
    """The fields of one operator."""

    def __init__(self, function: Literal["load", "export", "run_pipeline"], *, params: str, **defaults: object) -> None:
        """Take a function's options; `params` names the field of its own: Airflow's operators have another one."""
        options = [each for each in bulkio.options_of(function) if each.name not in _NOT_FIELDS]
        #: options by the field's name
        self.options = {params if each.name == "params" else each.name: each for each in options}
        self._defaults = defaults

    def default(self, name: str) -> object:
        """Return a field's default; `inspect.Parameter.empty` if it has none."""
        return self._defaults.get(name, self.options[name].default)

    def declared(self, init: F) -> F:
        """Let an operator's `__init__` show the fields beside its own: Airflow takes names and defaults from there."""
        own = inspect.signature(init)
        kind = inspect.Parameter.KEYWORD_ONLY
        fields = [
            inspect.Parameter(name, kind, default=self.default(name), annotation=option.hint)
            for name, option in self.options.items()
        ]
        rest = list(own.parameters.values())
        rest[1:1] = fields
        init.__signature__ = own.replace(parameters=rest)  # type: ignore[attr-defined]
        return init

    def keep(self, operator: BaseOperator, kwargs: dict[str, Any]) -> None:
        """Move the fields' values out of what an operator was called with, as they are, into its attributes."""
        for name in self.options:
            setattr(operator, name, kwargs.pop(name, self.default(name)))

    def values(self, operator: BaseOperator) -> dict[str, Any]:
        """Return an operator's rendered fields as the options of the function.

        Raises:
            ConfigError: a template's text is not what the option takes.
        """
        return {option.name: _converted(name, getattr(operator, name), option) for name, option in self.options.items()}


def _converted(name: str, value: object, option: Any) -> object:
    """Return a value whose numbers and flags may be texts, since they come from templates, as the option has it."""
    kinds = get_args(option.kind) or (option.kind,)
    if isinstance(value, str) and bool in kinds:
        return _flag(name, value)
    if isinstance(value, str) and int in kinds:
        return _number(name, value, strict=str not in kinds)
    if isinstance(value, Mapping) and kinds[-1] is int:
        return {key: _number(name, each, strict=True) for key, each in value.items()}
    return None if value in ("", "None") and option.default is None else value


def _flag(name: str, text: str) -> bool:
    if text.strip().lower() not in _FLAGS:
        raise ConfigError(f"{name} is {text!r}, and must be true or false")
    return _FLAGS[text.strip().lower()]


def _number(name: str, value: object, *, strict: bool) -> object:
    if not isinstance(value, str):
        return value
    if value.strip().lstrip("-").isdecimal():
        return int(value)
    if strict:
        raise ConfigError(f"{name} is {value!r}, and must be a whole number")
    return value
