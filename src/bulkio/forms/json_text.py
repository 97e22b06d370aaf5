r"""Arrow columns of any type -> JSON texts, one for each row: the form of nested columns in json and jsonb. Pure.

pyarrow's kernels convert whole columns; only rare values (control characters, years that pyarrow cannot spell, JSON
inside JSON) are handled one by one. The result:

| Arrow | JSON |
|---|---|
| struct, map | an object; a map's string keys stay as they are, other keys become their text |
| lists of every layout | an array |
| integers, decimals, floats | a number with all its digits; for a float, the fewest digits that give the same float |
| bool, null | true, false, null; a NULL inside a value is null, a NULL outside stays NULL |
| strings | a string |
| dates, times, timestamps | a string, ISO 8601 with all digits; years outside 1 to 9999 as PostgreSQL spells them |
| timestamps with a zone | the same instant in UTC, ending in Z |
| durations, intervals | a string, ISO 8601 as PostgreSQL reads it: P1Y2M3DT4.5S |
| binaries | a string, \x and hex, as PostgreSQL writes bytea |
| unions | the form of each value; which of the types it had is lost |
| arrow.uuid, arrow.json, arrow.bool8 | a string, the JSON itself, true or false |
| other extension types | as their storage |

NaN, infinities (including those of dates and times: the extreme integers), NUL characters, keys that are NULL or occur
twice, and text inside arrow.json that is not JSON are errors. -0.0 keeps its sign, and is refused on its way into
jsonb, which has no such zero (`pgcopy.jsonbtext`). jsonb does not keep the order of keys.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, NoReturn, cast

import pyarrow as pa
import pyarrow.compute as pc

from bulkio.errors import EncodeError, SchemaError
from bulkio.forms.layouts import map_entries, texts_where, without_run_ends
from bulkio.forms.times import date_text, timestamp_text
from bulkio.show import show_name, show_type, show_value
from bulkio.types.arrow_json import is_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["json_texts"]

_TEXT = pa.large_string()


#: days of 0001-01-01 and 9999-12-31 since 1970-01-01: pyarrow spells these dates, and those in between, by ISO 8601
_PLAIN_DAYS = (-719162, 2932896)


_DAY_MS = 86_400_000


_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


#: characters that cannot stand in a JSON string as they are (RFC 8259, 7)
_UNSAFE = r'[\x00-\x1f"\\]'


def json_texts(column: pa.Array, *, name: str, first_row: int) -> pa.Array:
    """Make the JSON text of every row, as large_string; a NULL row stays NULL.

    `name` and `first_row` (from 1) are for messages.

    Raises:
        EncodeError: with column and row, for a value that JSON or jsonb cannot hold.
        SchemaError: with the column, for a type that has no JSON form.

    >>> json_texts(pa.array([{"a": 1, "b": [None, "x"]}, None]), name="c", first_row=1).to_pylist()
    ['{"a":1,"b":[null,"x"]}', None]
    """
    try:
        return _texts(column)
    except _Fault as fault:
        row = first_row + fault.index
        raise EncodeError(str(fault), column=name, row=row) from None
    except _NoForm as exc:
        raise SchemaError(f"column {show_name(name)}: {exc}", columns=(name,)) from None
    except pa.ArrowInvalid as exc:  # such as text that is no UTF-8; it does not say where
        row = first_row + next(i for i in range(len(column)) if _fails(column.slice(i, 1)))
        raise EncodeError(str(exc), column=name, row=row) from None


def _fails(one: pa.Array) -> bool:
    try:
        _texts(one)
    except pa.ArrowInvalid:
        return True
    return False


class _Fault(Exception):  # noqa: N818 - never leaves this module
    """A value at `index` of its array that JSON cannot hold."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


class _NoForm(Exception):  # noqa: N818 - never leaves this module
    """A type that has no JSON form."""


def _texts(column: pa.Array) -> pa.Array:
    """Return the JSON texts of one node. A null stays null: the node above writes it."""
    arrow = column.type
    special = _extension_form(arrow)
    if special is not None:
        return special(column)
    if isinstance(arrow, pa.BaseExtensionType):
        return _texts(column.storage)
    for test, form in _FORMS:
        if test(arrow):
            return form(column)
    raise _NoForm(f"Arrow's {arrow} has no JSON form: cast it in the source first")


def _extension_form(arrow: pa.DataType) -> Callable[[pa.Array], pa.Array] | None:
    if isinstance(arrow, pa.UuidType):
        return lambda column: _each(column.storage, lambda value: f'"{uuid.UUID(bytes=cast("bytes", value))}"')
    if is_json(arrow):
        return _embedded
    if isinstance(arrow, pa.Bool8Type):
        return lambda column: _texts(pc.not_equal(column.storage, 0))
    return None


def _join(*parts: pa.Array | str) -> pa.Array:
    """Join columns and constants to one column; null where any part is."""
    return pc.binary_join_element_wise(
        *(pa.scalar(part, _TEXT) if isinstance(part, str) else part for part in parts), pa.scalar("", _TEXT)
    )


def _each(column: pa.Array, form: Callable[[object], str]) -> pa.Array:
    """Form the values one by one, for what no kernel does."""
    return pa.array([None if value is None else form(value) for value in column.to_pylist()], _TEXT)


def _first(mask: pa.Array) -> int | None:
    """Return the index of the first true one."""
    index = pc.index(mask, True).as_py()
    return None if index < 0 else int(index)


def _refuse(column: pa.Array, mask: pa.Array, what: str) -> None:
    index = _first(mask)
    if index is not None:
        raise _Fault(index, what.format(value=_shown(column[index])))


def _shown(scalar: pa.Scalar) -> str:
    try:
        return show_value(scalar.as_py())
    except (ValueError, ArithmeticError):
        return "the value"


def _or_null(texts: pa.Array) -> pa.Array:
    return pc.coalesce(texts, pa.scalar("null", _TEXT)) if texts.null_count else texts


def _masked(texts: pa.Array, column: pa.Array) -> pa.Array:
    """Make null what is null in `column`."""
    return texts_where(column.is_valid(), texts) if column.null_count else texts


def _as_text(column: pa.Array) -> pa.Array:
    return column.cast(_TEXT)


def _quoted_text(column: pa.Array) -> pa.Array:
    return _join('"', column.cast(_TEXT), '"')


def _floats(column: pa.Array) -> pa.Array:
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    _refuse(column, pc.invert(pc.is_finite(column)), "{value} cannot stand in JSON")
    texts = column.cast(_TEXT)
    # as an integer, -0 is 0 to many that read JSON
    return pc.if_else(pc.equal(texts, "-0"), pa.scalar("-0.0", _TEXT), texts)


def _strings(column: pa.Array) -> pa.Array:
    return _join('"', _escaped(column.cast(_TEXT)), '"')


def _escaped(texts: pa.Array) -> pa.Array:
    unsafe = pc.match_substring_regex(texts, _UNSAFE)
    if not pc.any(unsafe).as_py():
        return texts
    _refuse(texts, pc.match_substring(texts, "\0"), "{value} contains a NUL character, which jsonb cannot store")
    for char, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        texts = pc.replace_substring(texts, char, escape)
    if pc.any(pc.match_substring_regex(texts, r"[\x00-\x1f]")).as_py():
        return _each(texts, lambda text: "".join(c if c >= " " else f"\\u{ord(c):04x}" for c in cast("str", text)))
    return texts


def _binaries(column: pa.Array) -> pa.Array:
    return _each(column, lambda value: f'"\\\\x{cast("bytes", value).hex()}"')


def _embedded(column: pa.Array) -> pa.Array:
    texts = column.storage.cast(_TEXT)
    for index, text in enumerate(texts.to_pylist()):
        if text is not None:
            _check_json(index, text)
    return texts


def _check_json(index: int, text: str) -> None:
    """Refuse what is not JSON by RFC 8259, or would change in jsonb."""

    def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("it has a key twice")
        return found

    def no_constant(constant: str) -> NoReturn:
        raise ValueError(f"{constant} cannot stand in JSON")

    try:
        json.loads(
            text,
            object_pairs_hook=no_duplicates,
            parse_constant=no_constant,
            # only the syntax matters, and int() would refuse the long ones
            parse_int=str,
            parse_float=str,
        )
    except (ValueError, RecursionError) as exc:
        raise _Fault(index, f"{show_value(text)} is not a valid json: {exc}") from None


def _dates(column: pa.Array) -> pa.Array:
    if pa.types.is_date64(column.type):
        ms = column.cast(pa.int64())
        days = pc.divide(ms, _DAY_MS)
        _refuse(ms, pc.not_equal(pc.multiply(days, _DAY_MS), ms), "{value} ms of a date64 is not a whole day")
        if not _within(days, (-(2**31), 2**31 - 1)):
            return _each(days, lambda value: f'"{date_text(cast("int", value))}"')
        column = days.cast(pa.int32()).cast(pa.date32())
    days = column.cast(pa.int32())
    _refuse_infinite(days, 2**31 - 1)
    if _within(days, _PLAIN_DAYS):
        return _quoted_text(column)
    return _each(days, lambda value: f'"{date_text(cast("int", value))}"')


def _times(column: pa.Array) -> pa.Array:
    ticks = column.cast(pa.int32() if pa.types.is_time32(column.type) else pa.int64())
    outside = pc.or_(pc.less(ticks, 0), pc.greater_equal(ticks, 86400 * _PER_SECOND[column.type.unit]))
    _refuse(ticks, outside, f"{{value}} {column.type.unit} is not a time of day")
    return _quoted_text(column)


def _timestamps(column: pa.Array) -> pa.Array:
    per_second = _PER_SECOND[column.type.unit]
    zone = "" if column.type.tz is None else "Z"
    ticks = column.cast(pa.int64())
    _refuse_infinite(ticks, 2**63 - 1)
    first, last = (day * 86400 * per_second for day in (_PLAIN_DAYS[0], _PLAIN_DAYS[1] + 1))
    if _within(ticks, (first, last - 1)):
        texts = ticks.cast(pa.timestamp(column.type.unit)).cast(_TEXT)
        return _join('"', pc.replace_substring(texts, " ", "T", max_replacements=1), zone + '"')

    def spell(value: object) -> str:  # nanoseconds do not reach such years
        date_and_clock = timestamp_text(cast("int", value) * (1_000_000 // per_second))
        date, clock, *era = date_and_clock.split(" ")
        return f'"{" ".join([f"{date}T{clock}{zone}", *era])}"'

    return _each(ticks, spell)


def _refuse_infinite(numbers: pa.Array, extreme: int) -> None:
    """Refuse the extremes of a date's or timestamp's integers, by which others mean infinity (DuckDB does)."""
    if _within(numbers, (1 - extreme, extreme - 1)):
        return
    outside = pc.or_(pc.equal(numbers, extreme), pc.less_equal(numbers, -extreme))
    _refuse(numbers, outside, "{value} stands for an infinite date or time, which cannot stand in JSON")


def _within(numbers: pa.Array, bounds: tuple[int, int]) -> bool:
    span = pc.min_max(numbers)
    low, high = span["min"].as_py(), span["max"].as_py()
    return low is None or (low >= bounds[0] and high <= bounds[1])


def _durations(column: pa.Array) -> pa.Array:
    ns = 1_000_000_000 // _PER_SECOND[column.type.unit]
    return _each(column.cast(pa.int64()), lambda value: f'"PT{_seconds(cast("int", value) * ns)}S"')


def _intervals(column: pa.Array) -> pa.Array:
    def spell(value: object) -> str:
        months, days, nanoseconds = cast("tuple[int, int, int]", value)
        return f'"P{months}M{days}DT{_seconds(nanoseconds)}S"'

    return _each(column, spell)


def _seconds(nanoseconds: int) -> str:
    whole, rest = divmod(abs(nanoseconds), 1_000_000_000)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if nanoseconds < 0 else ''}{whole}{fraction}"


def _dictionary(column: pa.Array) -> pa.Array:
    try:
        return _texts(column.dictionary).take(column.indices)
    except _Fault:  # it may lie in a value that no row has
        return _texts(column.dictionary_decode())


def _struct(column: pa.Array) -> pa.Array:
    names = [field.name for field in column.type]
    if len(set(names)) != len(names):
        raise _NoForm(f"Arrow's {show_type(column.type)} has two fields of one name, of which jsonb would keep one")
    if any("\0" in name for name in names):
        raise _NoForm("a field's name contains a NUL character, which jsonb cannot store")
    parts: list[pa.Array | str] = []
    for name, child in zip(names, column.flatten(), strict=True):
        parts += [("," if parts else "{") + json.dumps(name, ensure_ascii=False) + ":", _or_null(_texts(child))]
    whole = _join(*parts, "}") if parts else pa.repeat(pa.scalar("{}", _TEXT), len(column))
    return _masked(whole, column)


def _list(column: pa.Array) -> pa.Array:
    spans = _Spans(column)
    try:
        elements = _or_null(_texts(_elements(column)))
    except _Fault as fault:
        raise _Fault(spans.owner(fault.index), str(fault)) from None
    return _masked(_join("[", spans.gather(_join(",", elements)), "]"), column)


def _elements(column: pa.Array) -> pa.Array:
    """Return the elements of all lists, one behind the other."""
    if pc.sum(pc.list_value_length(column)).as_py():
        return column.flatten()
    return column.values.slice(0, 0)  # pyarrow cannot flatten no elements of an extension type


def _map(column: pa.Array) -> pa.Array:
    pairs = map_entries(column)
    spans = _Spans(pairs)
    keys, items = _elements(pairs).flatten()
    try:
        names = _keys(keys, spans)
        members = _join(",", names, ":", _or_null(_texts(items)))
    except _Fault as fault:
        raise _Fault(spans.owner(fault.index), str(fault)) from None
    return _masked(_join("{", spans.gather(members), "}"), column)


def _keys(keys: pa.Array, spans: _Spans) -> pa.Array:
    """Return the keys as JSON strings, each only once in its map."""
    arrow = keys.type.value_type if pa.types.is_dictionary(keys.type) else keys.type
    if not any(test(arrow) for test in _KEY_TESTS):
        raise _NoForm(f"a map's keys of Arrow's {arrow} cannot be keys in JSON: cast them in the source first")
    names = _texts(keys)
    _refuse(keys, names.is_null(), "a map's key is NULL")  # an older pyarrow sees no NULL among a dictionary's values
    if any(test(arrow) for test in _BARE_TESTS):
        names = _join('"', names, '"')
    _refuse_equal_names(keys, names, spans)
    return names


def _refuse_equal_names(keys: pa.Array, names: pa.Array, spans: _Spans) -> None:
    """Refuse a name that is twice in its map: one number for each (map, name) tells."""
    encoded = names.dictionary_encode()
    codes = encoded.indices.cast(pa.int64())
    numbers = pc.add(pc.multiply(spans.owners().cast(pa.int64()), len(encoded.dictionary)), codes)
    if pc.count_distinct(numbers).as_py() == len(names):
        return
    seen = set()
    for index, number in enumerate(numbers.to_pylist()):
        if number in seen:
            raise _Fault(index, f"a map has the key {_shown(keys[index])} twice, of which jsonb would keep one")
        seen.add(number)


def _union(column: pa.Array) -> pa.Array:
    """Take each value from the child that its type code names."""
    arrow = column.type
    if column.offset:  # pyarrow's type_codes and offsets are those of the whole
        column = column.take(pa.array(range(len(column)), pa.int64()))
    codes = column.type_codes.to_pylist()
    sparse = arrow.mode == "sparse"
    places = range(len(column)) if sparse else column.offsets.to_pylist()
    children = [column.field(i) for i in range(arrow.num_fields)]
    rows: dict[int, list[int]] = {code: [] for code in arrow.type_codes}
    for row, code in enumerate(codes):
        rows[code].append(row)
    texts, order = [], []
    for code, child in zip(arrow.type_codes, children, strict=True):
        mine = rows[code]
        try:
            texts.append(_texts(child.take(pa.array([places[row] for row in mine], pa.int64()))))
        except _Fault as fault:
            raise _Fault(mine[fault.index], str(fault)) from None
        order += mine
    places_in_order = pc.sort_indices(pa.array(order, pa.int64()))
    return pa.concat_arrays([pa.array([], _TEXT), *(text.cast(_TEXT) for text in texts)]).take(places_in_order)


class _Spans:
    """Where each list of a column begins and ends in its flattened elements."""

    def __init__(self, column: pa.Array) -> None:
        lengths = pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64())
        zero = pa.array([0], pa.int64())
        self.offsets = pa.concat_arrays([zero, pc.cumulative_sum(lengths)]) if len(column) else zero
        self._lengths = lengths

    def owner(self, index: int) -> int:
        """Return the list that the element at `index` lies in."""
        return int(pc.sum(pc.less_equal(self.offsets, index)).as_py()) - 1

    def owners(self) -> pa.Array:
        """Return for each element the list that it lies in."""
        if not len(self._lengths):
            return pa.array([], pa.int64())
        indices = pa.ListArray.from_arrays(self.offsets.cast(pa.int32()), pa.nulls(self.offsets[-1].as_py()))
        return pc.list_parent_indices(indices)

    def gather(self, members: pa.Array) -> pa.Array:
        """Join the members of each list, that all begin with a comma, without the first one's.

        They lie one behind the other already: only the offsets change.
        """
        _, ends, data = members.buffers()
        if members.offset or ends is None:
            members = pa.concat_arrays([members.slice(0, 0), members])
            _, ends, data = members.buffers()
        starts = pa.Array.from_buffers(pa.int64(), len(members) + 1, [None, ends])
        chosen = starts.take(self.offsets).buffers()[1]
        joined = pa.Array.from_buffers(_TEXT, len(self._lengths), [None, chosen, data])
        return pc.utf8_slice_codeunits(joined, 1)


def _one_of(*tests: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    return lambda arrow: any(test(arrow) for test in tests)


_is_text = _one_of(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


_is_binary = _one_of(
    pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary
)


_is_list = _one_of(
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


#: types of keys whose JSON has no quotes yet
_BARE_TESTS = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_decimal)


#: types of keys whose texts differ wherever the keys do
_KEY_TESTS = (*_BARE_TESTS, _is_text, _is_binary, pa.types.is_date, pa.types.is_timestamp, pa.types.is_time)


_FORMS: Iterable[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]]] = (
    (_one_of(pa.types.is_integer, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null), _as_text),
    (pa.types.is_floating, _floats),
    (_is_text, _strings),
    (_is_binary, _binaries),
    (pa.types.is_date, _dates),
    (pa.types.is_time, _times),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_duration, _durations),
    (pa.types.is_interval, _intervals),
    (pa.types.is_dictionary, _dictionary),
    (pa.types.is_run_end_encoded, lambda column: _texts(without_run_ends(column))),
    (pa.types.is_struct, _struct),
    (pa.types.is_map, _map),
    (pa.types.is_union, _union),
    (_is_list, _list),
)
