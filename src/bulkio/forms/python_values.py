"""Python values -> Arrow columns, for rows that are dicts. Pure; no value is changed.

pyarrow's own conversion is careless: a datetime loses its time in a date, an aware datetime its zone in a timestamp, a
dict the unknown keys in a struct, and True becomes 1.0 in a float. So each value is checked first. If the type that a
column goes into is known, it decides what the column becomes: there is a `Form` for each type that takes these values
as they are. If it is not known, or has no such form, the values are what Arrow infers, all of one type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast
from uuid import UUID

import pyarrow as pa

from bulkio.errors import EncodeError
from bulkio.show import show_type, show_value
from bulkio.types import ARRAY, arrow_kind
from bulkio.types.arrow_json import json_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkio.types import Cast

__all__ = ["Form", "column_form", "to_array"]


class _Unfit(Exception):  # noqa: N818 - never leaves this module
    """A value that is not of a form."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of one column become Arrow's."""

    arrow: pa.DataType
    #: function from a value to what pyarrow takes for it; raises `_Unfit`
    convert: Callable[[object], object]


def column_form(values: Sequence[object], target: Cast | None, *, name: str) -> Form:
    """Choose the form of a column: the one of its target's type, or what the values are themselves.

    `target` is how the column would be exported, None where nothing is known of it.

    Raises:
        EncodeError: the values are of several types, which do not all go into the target.
    """
    if target is not None:
        form = _form_of(target)
        unfit = [index for index, value in enumerate(values) if value is not None and not _is_of(form, value)]
        if not unfit:
            return form
        if len(unfit) < sum(value is not None for value in values):
            why = f"{_shown(values[unfit[0]])} does not go into {show_type(target.pg.sql)}, although other values do"
            raise EncodeError(why, row=unfit[0] + 1, column=name)
    firsts = _first_of_each_family(values, name)
    if len(firsts) > 1:
        first, index = list(firsts.values())[:2]
        what = f"{_shown(values[index])} is of another type than {_shown(values[first])} in row {first + 1}"
        raise EncodeError(f"{what}: make all of one type", row=index + 1, column=name)
    return next((_INFERRED[family](values) for family in firsts), Form(pa.null(), _as_it_is))


def _first_of_each_family(values: Sequence[object], name: str) -> dict[str, int]:
    """Return the families that values are of, each with the index of its first one."""
    firsts: dict[str, int] = {}
    seen: set[tuple[type, bool]] = set()  # what tells a family, but for nanoseconds, which `to_array` refuses
    for index, value in enumerate(values):
        mark = type(value), getattr(value, "tzinfo", None) is None
        if value is not None and mark not in seen:
            seen.add(mark)
            firsts.setdefault(_family(value, row=index + 1, name=name), index)
    return firsts


def to_array(values: Sequence[object], form: Form, *, name: str, first_row: int) -> pa.Array:
    """Make a column of values whose form was chosen by these and others. Raises EncodeError."""
    storage = form.arrow.storage_type if isinstance(form.arrow, pa.BaseExtensionType) else form.arrow
    converted: list[object] = []
    for index, value in enumerate(values):
        try:
            converted.append(None if value is None else form.convert(_plain(value)))
        except _Unfit as exc:
            raise EncodeError(f"{_shown(value)} {exc}", row=first_row + index, column=name) from None
    try:
        array = pa.array(converted, storage)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        raise _located(values, converted, storage, name, first_row) from None
    return array if storage is form.arrow else pa.ExtensionArray.from_storage(form.arrow, array)


def _located(
    values: Sequence[object], converted: Sequence[object], arrow: pa.DataType, name: str, first_row: int
) -> EncodeError:
    """Return the error of the first value that pyarrow refuses."""
    for index, value in enumerate(converted):
        try:
            pa.array([value], arrow)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as exc:
            why = f"{_shown(values[index])} does not go into Arrow's {show_type(arrow)}: {str(exc).splitlines()[0]}"
            return EncodeError(why, row=first_row + index, column=name)
    return EncodeError(f"the values do not go into Arrow's {show_type(arrow)}", row=first_row, column=name)


def _is_of(form: Form, value: object) -> bool:
    try:
        form.convert(_plain(value))
    except _Unfit:
        return False
    return True


def _plain(value: object) -> object:
    """Return numpy's numbers and texts as Python's; not its dates, which with nanoseconds become mere numbers."""
    if type(value).__module__ == "numpy" and type(value).__name__ not in ("datetime64", "timedelta64", "ndarray"):
        return cast("object", value.item())  # type: ignore[attr-defined]
    return value


def _shown(value: object) -> str:
    return f"{show_value(value)} ({type(value).__name__})"


# --- What a value can be -------------------------------------------------------------------------------------


def _as_it_is(value: object) -> object:
    return value


def _of(*kinds: type, but: tuple[type, ...] = ()) -> Callable[[object], object]:
    """Return a check that a value is of these types, and of none of the others, which are subclasses of theirs."""

    def convert(value: object) -> object:
        if not isinstance(value, kinds) or isinstance(value, but):
            raise _Unfit("is of another type")
        return value

    return convert


_integer = _of(int, but=(bool,))
_number = _of(float, int, but=(bool,))
_exact_number = _of(Decimal, int, but=(bool,))
_text = _of(str)
_bytes = _of(bytes, bytearray, memoryview)
_day = _of(date, but=(datetime,))
_unique = _of(UUID)


def _naive(value: object) -> object:
    if getattr(value, "tzinfo", None) is not None:
        raise _Unfit("has a zone")
    return _of_microseconds(value)


def _aware(value: object) -> object:
    if getattr(value, "tzinfo", None) is None:
        raise _Unfit("has no zone")
    return _of_microseconds(value)


def _of_microseconds(value: object) -> object:
    """Refuse nanoseconds, which pandas' Timestamp and Timedelta have and pyarrow drops."""
    if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
        raise _Unfit("has nanoseconds")
    return value


def _both(first: Callable[[object], object], then: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: then(first(value))


_span = _both(_of(timedelta), _of_microseconds)


def _number_text(value: object) -> object:
    """Spell a number as numeric keeps it, with its display scale."""
    number = _exact_number(value)
    if isinstance(number, int):
        return str(number)
    decimal = cast("Decimal", number)
    return format(decimal, "f") if decimal.is_finite() else str(decimal)


def _json_text(value: object) -> object:
    """Spell a value as JSON; a text is JSON already, as in every other source."""
    if isinstance(value, str):
        return value
    _refuse_odd_keys(value)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise _Unfit(f"is not JSON: {exc}") from None


def _refuse_odd_keys(value: object) -> None:
    """Raise `_Unfit` for keys that json.dumps would make texts of: 1, True and None."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            if not isinstance(key, str):
                raise _Unfit(f"has the key {key!r}, and JSON's keys are texts")
            _refuse_odd_keys(member)
    elif isinstance(value, list | tuple):
        for member in value:
            _refuse_odd_keys(member)


# --- The form of a target's type -----------------------------------------------------------------------------

_DECIMALS = frozenset({"numeric_text", "decimal", "money"})

#: forms by the family of the Arrow type that the column would be exported as; all others take only texts
_BY_KIND: dict[str, Form] = {
    "bool": Form(pa.bool_(), _of(bool)),
    "int": Form(pa.int64(), _integer),
    "float32": Form(pa.float64(), _number),
    "float64": Form(pa.float64(), _number),
    "binary": Form(pa.binary(), _both(_bytes, lambda value: bytes(cast("bytes", value)))),
    "date": Form(pa.date32(), _day),
    "time": Form(pa.time64("us"), _both(_of(time), _naive)),
    "timestamp": Form(pa.timestamp("us"), _both(_of(datetime), _naive)),
    "instant": Form(pa.timestamp("us", "UTC"), _both(_of(datetime), _aware)),
    "interval": Form(pa.month_day_nano_interval(), _span),
    "uuid": Form(pa.string(), _both(_unique, str)),
    "json": Form(pa.string(), _json_text),
}


def _form_of(target: Cast) -> Form:
    """Return the form of the values that a column takes as they are."""
    if target.codec in _DECIMALS:
        return Form(pa.string(), _number_text)
    if target.codec == "timetz":
        return Form(pa.string(), _both(_both(_of(time), _aware), lambda value: cast("time", value).isoformat()))
    if target.codec == ARRAY:
        return _list_form(_form_of(target.children[0]))
    if target.codec == "composite":
        names = [name for name, _ in target.pg.fields]
        return _struct_form(dict(zip(names, map(_form_of, target.children), strict=True)))
    return _BY_KIND.get(arrow_kind(target.arrow), Form(pa.string(), _text))


def _list_form(item: Form) -> Form:
    def convert(value: object) -> object:
        members = cast("list[object]", _of(list, tuple)(value))
        return [None if member is None else item.convert(_plain(member)) for member in members]

    return Form(pa.list_(item.arrow), convert)


def _struct_form(members: Mapping[str, Form]) -> Form:
    def convert(value: object) -> object:
        given = cast("Mapping[str, object]", _of(Mapping)(value))
        if odd := [key for key in given if key not in members]:
            raise _Unfit(f"has the key {odd[0]!r}, which the type has no field for")
        return {
            name: None if member is None else members[name].convert(_plain(member)) for name, member in given.items()
        }

    return Form(pa.struct([(name, form.arrow) for name, form in members.items()]), convert)


# --- The form of values without a target ---------------------------------------------------------------------

_FAMILIES: tuple[tuple[str, Callable[[object], object]], ...] = (
    ("bool", _of(bool)),
    ("int", _integer),
    ("float", _of(float)),
    ("decimal", _of(Decimal)),
    ("text", _text),
    ("binary", _bytes),
    ("timestamp", _both(_of(datetime), _naive)),
    ("instant", _both(_of(datetime), _aware)),
    ("date", _day),
    ("time", _both(_of(time), _naive)),
    ("interval", _span),
    ("uuid", _unique),
    ("json", _of(Mapping)),
    ("list", _of(list, tuple)),
)


def _family(value: object, *, row: int, name: str) -> str:
    plain = _plain(value)
    for family, check in _FAMILIES:
        try:
            check(plain)
        except _Unfit:
            continue
        return family
    raise EncodeError(f"{_shown(value)} is of a type that no column holds: give it as text", row=row, column=name)


def _decimal_form(values: Sequence[object]) -> Form:
    """Return the narrowest decimal that holds all; text where none does, or one has no digits."""
    try:
        return Form(pa.array(values).type, _as_it_is)
    except (pa.ArrowException, ValueError, OverflowError):
        return Form(pa.string(), _number_text)


def _inferred_list(values: Sequence[object]) -> Form:
    """Return a list of what all members are; JSON where they are lists or dicts, or of several kinds."""
    members = [member for value in values if value is not None for member in cast("list[object]", value)]
    try:
        item = column_form(members, None, name="")
    except EncodeError:
        return _JSON
    return _JSON if item is _JSON or pa.types.is_list(item.arrow) else _list_form(item)


def _always(form: Form) -> Callable[[Sequence[object]], Form]:
    return lambda _: form


_JSON = Form(json_type(), _json_text)
_INFERRED: dict[str, Callable[[Sequence[object]], Form]] = {
    "bool": _always(_BY_KIND["bool"]),
    "int": _always(_BY_KIND["int"]),
    "float": _always(_BY_KIND["float64"]),
    "decimal": _decimal_form,
    "text": _always(Form(pa.string(), _text)),
    "binary": _always(_BY_KIND["binary"]),
    "timestamp": _always(_BY_KIND["timestamp"]),
    "instant": _always(_BY_KIND["instant"]),
    "date": _always(_BY_KIND["date"]),
    "time": _always(_BY_KIND["time"]),
    "interval": _always(_BY_KIND["interval"]),
    "uuid": _always(Form(pa.uuid(), _both(_unique, lambda value: cast("UUID", value).bytes))),
    "json": _always(_JSON),
    "list": _inferred_list,
}
