"""An option: what stands beside its type in a request, and what can be told from both."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from bulkio.choices import check_choice, check_flag, check_number
from bulkio.errors import ConfigError
from bulkio.show import show_option

__all__ = ["GROUPS", "Option", "OptionField", "fields_of"]

#: sections of a long help, in their order
GROUPS = ("Source", "Table and mode", "Values", "Rejects", "Transactions", "Format and CSV", "Connection", "Output")


@dataclass(frozen=True, slots=True)
class Option:
    """What an option is about. Its words and its shape are told by the type beside it, and are checked by that."""

    #: text for help() and --help, one paragraph; a backslash followed by b has no meaning here
    help: str
    #: shape of a value on the command line, if the type does not tell it
    metavar: str | None = None
    #: meaning of None, if that is the default
    default: str | None = None
    #: advice for words that other tools use instead of the option's own, by word in lower case
    advice: Mapping[str, str] | None = None
    #: smallest number that is allowed
    least: int | None = None
    #: check of what the type does not tell; raises `ConfigError`
    check: Callable[[str, object], object] | None = None
    #: True if it is a flag on the command line
    is_flag: bool = True
    #: True if each of several values is a text of any kind, such as SQL; a single one needs no list around it
    is_text: bool = False
    #: section of help in which it stands, one of `GROUPS`; "" for commands that have few options
    group: str = ""
    #: True if the ledger records it, besides source, table and mode: it changes what a load stores
    is_recorded: bool = True


@dataclass(frozen=True, slots=True)
class OptionField:
    """One field of a request."""

    name: str
    #: type without None
    kind: object
    #: type as signatures show it
    hint: object
    #: default value; `inspect.Parameter.empty` if there is none
    default: object
    is_keyword: bool
    option: Option

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it takes; none where it is not a choice."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def shape(self) -> object:
        """The type without its parameters, such as Mapping or bool."""
        return get_origin(self.kind) or self.kind

    def kept(self, value: object) -> object:
        """Check a value; return it as the request keeps it: what another hand could change is copied.

        Raises:
            ConfigError: it is not one that this option takes.
        """
        if value is None and self.default is None and self.shape is not Mapping:
            return None
        if self.words:
            check_choice(self.name, value, self.kind)
        elif self.shape is bool:
            check_flag(self.name, value)
        elif self.option.least is not None:
            check_number(self.name, value, self.option.least)
        elif self.shape is Mapping:
            value = _mapping(self.name, value)
        elif self.shape is Sequence and value is not None:
            value = (_texts if self.option.is_text else _sequence)(self.name, value)
        if self.option.check is not None and value is not None:
            self.option.check(self.name, value)
        return value


def _mapping(name: str, value: object) -> object:
    if not isinstance(value, Mapping | None):
        raise ConfigError(f"{show_option(name)} is {value!r}, and must be a mapping whose keys are columns")
    return dict(value or {})


def _texts(name: str, value: object) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else _sequence(name, value)
    for text in texts:
        if not isinstance(text, str):
            raise ConfigError(f"{show_option(name)} has {text!r}, and must be a text, or a list of texts")
    return texts


def _sequence(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):  # it would be one item for each letter
        raise ConfigError(f"{show_option(name)} is one text, {value!r}: give a list of them")
    if isinstance(value, Mapping | Set):
        raise ConfigError(f"{show_option(name)} is a {type(value).__name__}, which has no order: give a list")
    return tuple(value)  # type: ignore[arg-type]  # what cannot be iterated over raises a TypeError that says so


@cache
def fields_of(request: Callable[..., object]) -> tuple[OptionField, ...]:
    """Return the options of a request: what must be given first, then its own, then those it shares with others."""
    kind = cast("type[Any]", request)
    hints = get_type_hints(kind, include_extras=True)
    fields = {each.name: each for each in dataclasses.fields(kind)}
    first = [name for name, each in fields.items() if not each.kw_only]
    keywords = [name for base in inspect.getmro(kind) for name in inspect.get_annotations(base) if name in fields]
    return tuple(_field(fields[name], hints[name]) for name in dict.fromkeys(first + keywords))


def _field(field: dataclasses.Field[object], annotated: object) -> OptionField:
    if get_origin(annotated) is not Annotated:
        raise TypeError(f"{field.name}: an option of a request is Annotated[type, Option(...)]")
    hint, option = get_args(annotated)
    default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
    return OptionField(field.name, _without_none(hint), hint, default, bool(field.kw_only), option)


def _without_none(hint: object) -> object:
    if get_origin(hint) not in (Union, UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 else hint
