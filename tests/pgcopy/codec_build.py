"""Arrow arrays from plain values, bit by bit: floats by their bits, decimals by their unscaled integers.

Owns the building and the reading back; `codec_cases` owns which types and values. Nothing here goes through
a conversion of Arrow's that could hide a changed bit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Values = list[Any]

_UNSIGNED = {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}
_SIGNED = {32: pa.int32(), 64: pa.int64()}
#: Enough for the unscaled integers of decimal256.
_EXACT = Context(prec=200)


def bitmap(bits: Sequence[bool]) -> pa.Buffer:
    """Pack booleans, least significant bit first."""
    packed = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        packed[i // 8] |= bit << (i % 8)
    return pa.py_buffer(bytes(packed))


def plain(values: Values, arrow: pa.DataType) -> pa.Array:
    """Build what Arrow builds without any conversion: integers, booleans, strings, binaries."""
    return pa.array(values, arrow)


def by_bits(values: Values, arrow: pa.DataType) -> pa.Array:
    """Build floats from their bits."""
    return pa.array(values, _UNSIGNED[arrow.bit_width]).view(arrow)


def by_integer(values: Values, arrow: pa.DataType) -> pa.Array:
    """Build dates, times and timestamps from the integers that Arrow keeps for them."""
    return pa.array(values, _SIGNED[arrow.bit_width]).view(arrow)


def by_unscaled(values: Values, arrow: pa.DataType) -> pa.Array:
    """Build decimals from their unscaled integers."""
    width = arrow.bit_width // 8
    data = b"".join((v or 0).to_bytes(width, "little", signed=True) for v in values)
    valid = bitmap([v is not None for v in values])
    return pa.Array.from_buffers(arrow, len(values), [valid, pa.py_buffer(data)])


def by_storage(values: Values, arrow: pa.DataType) -> pa.Array:
    """Build arrow.uuid and arrow.json from their storage."""
    return pa.ExtensionArray.from_storage(arrow, pa.array(values, arrow.storage_type))


def by_dictionary(build: Callable[[Values, pa.DataType], pa.Array]) -> Callable[[Values, pa.DataType], pa.Array]:
    """Build dictionaries; every other NULL is a null among the dictionary's values, not among the indices."""

    def build_dictionary(values: Values, arrow: pa.DataType) -> pa.Array:
        known: Values = [None]
        indices: list[int | None] = []
        for i, value in enumerate(values):
            if value is None:
                indices.append(None if i % 2 else 0)
                continue
            if value not in known:
                known.append(value)
            indices.append(known.index(value))
        # a dictionary that is itself a slice: its offset must be heeded
        padded = build([None, *known], arrow.value_type).slice(1)
        return pa.DictionaryArray.from_arrays(pa.array(indices, arrow.index_type), padded)

    return build_dictionary


def read_plain(array: pa.Array) -> Values:
    """Read values back as Python has them."""
    return array.to_pylist()


def read_bits(array: pa.Array) -> Values:
    """Read the bits of floats."""
    return array.view(_UNSIGNED[array.type.bit_width]).to_pylist()


def read_integer(array: pa.Array) -> Values:
    """Read the integers of dates, times and timestamps."""
    return array.view(_SIGNED[array.type.bit_width]).to_pylist()


def read_storage(array: pa.Array) -> Values:
    """Read the storage of an extension type."""
    return array.storage.to_pylist()


def read_number(array: pa.Array) -> Values:
    """Read decimals, or numbers in text, as the text with all its places."""
    if not pa.types.is_decimal(array.type):
        return array.to_pylist()
    width = array.type.bit_width // 8
    data = bytes(array.buffers()[1])
    out: Values = []
    for i in range(array.offset, array.offset + len(array)):
        number = int.from_bytes(data[width * i : width * (i + 1)], "little", signed=True)
        out.append(show_unscaled(number, array.type.scale) if array[i - array.offset].is_valid else None)
    return out


def show_unscaled(number: int, scale: int) -> str:
    """Write number * 10 ** -scale with all its places, without an exponent and without a negative zero."""
    text = format(Decimal(number).scaleb(-scale, _EXACT), "f")
    return text if scale > 0 else str(number * 10**-scale)


def nan_or_bits(bits: int | None, width: int) -> int | str | None:
    """Return the bits of a float4 or float8, and one word for every NaN."""
    if bits is None:
        return None
    value = struct.unpack("<f" if width == 4 else "<d", bits.to_bytes(width, "little"))[0]
    return bits if value == value else "nan"  # NaN differs from itself


@dataclass(frozen=True)
class ListLayout:
    """One of Arrow's list layouts: its type over an element type, and how to build it from lists."""

    name: str
    of: Callable[[pa.DataType], pa.DataType]
    build: Callable[[Values, pa.Array], pa.Array]
    #: all lists have this length, None where they are free
    size: int | None = None


def _offsets(lists: Values) -> list[int]:
    offsets = [1]  # the child's first element is padding
    for one in lists:
        offsets.append(offsets[-1] + len(one or ()))
    return offsets


def _mask(lists: Values) -> pa.Array:
    return pa.array([one is None for one in lists], pa.bool_())


def _list(lists: Values, child: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(_offsets(lists), pa.int32()), child, mask=_mask(lists))


def _large_list(lists: Values, child: pa.Array) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array(_offsets(lists), pa.int64()), child, mask=_mask(lists))


def _list_view(lists: Values, child: pa.Array) -> pa.Array:
    sizes = pa.array([len(one or ()) for one in lists], pa.int32())
    return pa.ListViewArray.from_arrays(pa.array(_offsets(lists)[:-1], pa.int32()), sizes, child, mask=_mask(lists))


def _large_list_view(lists: Values, child: pa.Array) -> pa.Array:
    sizes = pa.array([len(one or ()) for one in lists], pa.int64())
    offsets = pa.array(_offsets(lists)[:-1], pa.int64())
    return pa.LargeListViewArray.from_arrays(offsets, sizes, child, mask=_mask(lists))


def _fixed_size_list(lists: Values, child: pa.Array) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(child.slice(1), 2, mask=_mask(lists))


LIST_LAYOUTS = (
    ListLayout("list", pa.list_, _list),
    ListLayout("large_list", pa.large_list, _large_list),
    ListLayout("fixed_size_list", lambda element: pa.list_(element, 2), _fixed_size_list, 2),
    ListLayout("list_view", pa.list_view, _list_view),
    ListLayout("large_list_view", pa.large_list_view, _large_list_view),
)


def build_lists(
    lists: Values, layout: ListLayout, build: Callable[[Values, pa.DataType], pa.Array], element: pa.DataType
) -> pa.Array:
    """Build lists over a child that starts with one element that no list holds."""
    empty = [None] * (layout.size or 0)
    flat = [None] + [value for one in lists for value in (empty if one is None else one)]
    return layout.build(lists, build(flat, element))
