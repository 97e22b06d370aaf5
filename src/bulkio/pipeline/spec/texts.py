"""The texts of a step: which of them are SQL, what names they use, and the texts as they are for one run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from bulkio.errors import ConfigError
from bulkio.options import PLACEHOLDERS
from bulkio.pipeline.spec.names import fill_template, fill_text, names_in_text, unknown_name
from bulkio.show import show_name, show_value
from bulkio.sql import begins_query, bind_names, names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from bulkio.pipeline.spec.models import Step
    from bulkio.pipeline.spec.names import Values

__all__ = ["BUILT_IN", "WINDOW", "check_names", "filled", "is_filled_key", "is_sql_key"]


class _HasSql(Protocol):
    @property
    def sql_keys(self) -> frozenset[str]: ...


#: names that every step has, with what they stand for
BUILT_IN = {
    "pipeline": "the pipeline's name",
    "run": "the run's id",
    "step": "the step's id",
    "logical_date": "the local date of the run's tick, or of its beginning",
    "logical_time": "the time of the run's tick, or of its beginning, in the schedule's zone",
}
#: names of the file of an incremental export: its window, and the ends of that
WINDOW = ("window", "window_start", "window_end")
#: keys whose texts are never filled in: names of the file itself, and settings
_AS_THEY_ARE = frozenset({"id", "needs", "connection", "for_each", "retries", "retry_for", "timeout", "on_failure"})
#: keys whose text is SQL if it begins as a query does
_NAME_OR_QUERY = frozenset({"export", "query"})


def is_sql_key(step: _HasSql, key: str, text: str) -> bool:
    """Tell whether a text of a step, or of a kind of steps, is SQL."""
    return key in step.sql_keys or (key in _NAME_OR_QUERY and begins_query(text))


def is_filled_key(key: str) -> bool:
    """Tell whether a key's texts are filled in with names, where they are no SQL."""
    return key == "for_each" or key not in _AS_THEY_ARE


def filled(step: Step, values: Values) -> dict[str, Any]:
    """Return the keys that a step has, with their texts filled in.

    Raises:
        ConfigError: a text uses a name that is not there.
    """
    keys = [key for key in said_keys(step) if key not in _AS_THEY_ARE]
    return {key: _mapped(getattr(step, key), partial(_fill, step, key, values)) for key in keys}


def said_keys(step: Step) -> list[str]:
    """Return the keys that the file has for a step."""
    return [key for key in type(step).model_fields if key in step.model_fields_set]


def _fill(step: Step, key: str, values: Values, text: str) -> str:
    if is_sql_key(step, key, text):
        return bind_names(text, values)
    filled_in = (fill_template if key == "add" else fill_text)(text, values)
    if is_sql_key(step, key, filled_in):
        raise ConfigError(
            f"step {show_name(step.id)}: key {show_name(key)}: {show_value(text)} is a table's name, but the values"
            " make a query of it: a query stands in the file itself, with values as $name"
        )
    return filled_in


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case list():
            return [_mapped(each, change) for each in value]
        case dict():
            return {name: _mapped(each, change) for name, each in value.items()}
    return value


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _texts(each)
        case dict():
            yield from _texts(list(value.values()))


def check_names(step: Step, params: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the names in a step's texts: the key, and the message."""
    known = [*BUILT_IN, *params, *(["item"] if step.for_each is not None else [])]
    for key in said_keys(step):
        names = {"to": [*known, *WINDOW] if getattr(step, "incremental", None) else known}.get(key, known)
        if key == "for_each":
            names = [*BUILT_IN, *params]
        elif key in _AS_THEY_ARE:
            continue
        for text in _texts(getattr(step, key)):
            try:
                _check(step, key, text, names)
            except ConfigError as error:
                yield key, str(error)


def _check(step: Step, key: str, text: str, known: Iterable[str]) -> None:
    if is_sql_key(step, key, text):
        if "${" in text:
            raise ConfigError("${…} does not go into SQL: name it in [params], and use it as $name")
        for name in sorted(names_in(text)):
            if name not in known:
                raise unknown_name(f"${name}", name, known)
        return
    for name in names_in_text(text):
        if name not in known and not (key == "add" and name in PLACEHOLDERS):
            raise unknown_name(f"{{{name}}}", name, known)
