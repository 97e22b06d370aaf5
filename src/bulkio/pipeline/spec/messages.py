"""What pydantic finds in a file, in bulkio's words: with the step and the key, and the name that may be meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from bulkio.pipeline.spec.models import KINDS, STEPS, Schedule, Spec
from bulkio.show import did_you_mean, show_name, show_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

__all__ = ["Place", "Raw"]

#: keys and positions that lead to a value of the file; pydantic's have kinds of steps and of types in between
Place: TypeAlias = "tuple[str | int, ...]"


class Raw:
    """A file as it was read: messages show its values, not what the environment has made of them."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.said = said

    def value(self, place: Place) -> Any:
        """Return the value at a place; what is no key of the file is passed over."""
        found: Any = self.said
        for key in place:
            if isinstance(found, Mapping):
                found = found.get(key, found)
            elif isinstance(found, list) and isinstance(key, int):
                found = found[key]
        return found

    def name(self, place: Place) -> str:
        """Name the step and the key of a place.

        >>> Raw({"step": [{"id": "a", "load": "x"}]}).name(("step", 0, "into"))
        'step "a": key "into"'
        """
        match place:
            case ("step", int(number), *rest):
                step = self.value(place[:2])
                named = isinstance(step, Mapping) and isinstance(step.get("id"), str)
                where = f"step {show_name(step['id'])}" if named else f"step {number + 1}"
                return f"{where}: {_keys(rest)}" if rest else where
        return _keys(place)

    def _plain(self, place: Place) -> Place:
        """Take the kind of a step out of a place of pydantic's."""
        match place:
            case ("step", int(), str(), *rest):
                return (*place[:2], *rest)
        return place

    def message(self, error: ErrorDetails) -> str:
        """Say what is wrong."""
        place = self._plain(error["loc"])
        where = self.name(place)
        match error["type"]:
            case "extra_forbidden":
                *above, key = place
                where = self.name(tuple(above))
                unknown = _unknown(str(key), error["loc"])
                return f"{where}: {unknown}" if where else unknown
            case "missing":
                return f"{where} is missing"
            case "union_tag_invalid" | "union_tag_not_found":
                return f"{where} has none of the keys that tell its kind: {', '.join(KINDS)}{self._near_kind(place)}"
            case "literal_error":
                words = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
                value = self.value(place)
                must = f"must be one of {', '.join(words)}{_near(str(value), words)}"
                return f"{where} is {show_value(value)}, and {must}"
            case "string_pattern_mismatch":
                return f"{where} is {show_value(self.value(place))}, and must match {error['ctx']['pattern']}"
            case "value_error":
                return f"{where}: {error['ctx']['error']}"
            case "too_short":
                return f"{where} is empty"
        if error["type"] in _MUST_BE:
            return f"{where} must be {_MUST_BE[error['type']].format_map(error.get('ctx', {}))}"
        return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}"

    def _near_kind(self, place: Place) -> str:
        step = self.value(place)
        found = (_near(key, KINDS) for key in step if key != "id") if isinstance(step, Mapping) else ()
        return next(filter(None, found), "")


#: what a value must be, by the type of pydantic's error
_MUST_BE = {
    "string_type": "a text, in quotes",
    "list_type": 'a list, such as ["a", "b"]',
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a table, such as {{ a = 1 }}",
    "greater_than_equal": "at least {ge}",
}


def _unknown(key: str, place: Place) -> str:
    """Say that a key is not known where it stands, and where it is."""
    match place:
        case ("step", int(), str(kind), _) if key in KINDS:
            return f"key {show_name(key)} does not go with {show_name(kind)}: that is another step"
        case ("step", int(), _, _):
            kinds = [each for each in KINDS if key in STEPS[each].model_fields]
            if kinds:
                return f"key {show_name(key)} goes with steps of another kind: {', '.join(kinds)}"
    return f"unknown key {show_name(key)}{_near(key, _known_keys(place))}"


def _near(name: str, known: Sequence[str]) -> str:
    near = did_you_mean(name, known)
    return f"; {near}" if near else ""


def _keys(place: Sequence[str | int]) -> str:
    """Name a key as TOML does, such as ``schedule.cron``; of pydantic's names of types none is a key."""
    names = [key for key in place if isinstance(key, str)]
    while len(names) > 1 and ("[" in names[-1] or "(" in names[-1] or names[-1] in _TYPES):
        names.pop()
    return f"key {show_name('.'.join(names))}" if names else ""


_TYPES = frozenset({"str", "int", "float", "bool", "date", "datetime", "time", "constrained-str"})


def _known_keys(place: Place) -> list[str]:
    match place:
        case ("step", int(), str(kind), _):
            return list(STEPS[kind].model_fields)
        case ("schedule", _):
            return list(Schedule.model_fields)
    return list(Spec.model_fields)
