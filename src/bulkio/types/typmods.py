"""Which type modifiers PostgreSQL gives out: a file may say any number, and only these go back to a server.

Layouts and limits: src/backend/utils/adt/{varchar,varbit,numeric,timestamp}.c; pgvector's and PostGIS's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.types.geo_typmods import SRID_MAX, typmod_srid
from bulkio.types.pgtypes import BASE_TYPES, INTERVAL_RANGES, numeric_typmod

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["is_typmod"]

_VARHDRSZ = 4
#: MaxAttrSize; for bits, the same in bits
_CHARS_MAX = 10 * 1024 * 1024
_BITS_MAX = _CHARS_MAX * 8
_PLACES_MAX = 6
_FULL_RANGE, _FULL_PRECISION = 0x7FFF, 0xFFFF
_VECTOR_MAX = 16000


def _is_length(typmod: int) -> bool:
    return _VARHDRSZ < typmod <= _CHARS_MAX + _VARHDRSZ


def _is_numeric(typmod: int) -> bool:
    precision, low = (typmod - _VARHDRSZ) >> 16, (typmod - _VARHDRSZ) & 0x7FF
    scale = (low ^ 1024) - 1024
    return 1 <= precision <= 1000 and -1000 <= scale <= 1000 and numeric_typmod(precision, scale) == typmod


def _is_places(typmod: int) -> bool:
    return typmod <= _PLACES_MAX


def _is_interval(typmod: int) -> bool:
    fields, precision = typmod >> 16, typmod & 0xFFFF
    return (fields == _FULL_RANGE or fields in INTERVAL_RANGES) and (
        precision <= _PLACES_MAX or precision == _FULL_PRECISION
    )


def _is_bits(typmod: int) -> bool:
    return 1 <= typmod <= _BITS_MAX


def _is_dimensions(typmod: int) -> bool:
    return 1 <= typmod <= _VECTOR_MAX


def _is_shape(typmod: int) -> bool:
    return typmod >> 29 == 0 and 0 <= typmod_srid(typmod) <= SRID_MAX


_TESTS: dict[str, Callable[[int], bool]] = {
    **dict.fromkeys(("varchar", "bpchar"), _is_length),
    **dict.fromkeys(("time", "timetz", "timestamp", "timestamptz"), _is_places),
    **dict.fromkeys(("bit", "varbit"), _is_bits),
    "numeric": _is_numeric,
    "interval": _is_interval,
}
_EXTENSIONS: dict[str, Callable[[int], bool]] = {
    **dict.fromkeys(("vector", "halfvec"), _is_dimensions),
    **dict.fromkeys(("geometry", "geography"), _is_shape),
}
_PLAIN = frozenset(row.name for row in BASE_TYPES) - _TESTS.keys()


def is_typmod(schema: str, name: str, typmod: int) -> bool:
    """Tell whether a column can have this modifier; -1 is none. Of types that bulkio does not know, any may be.

    An array has its elements'.
    """
    if typmod < 0:
        return typmod == -1
    bare = name.removeprefix("_")
    if schema != "pg_catalog":
        return bare not in _EXTENSIONS or _EXTENSIONS[bare](typmod)
    return bare not in _PLAIN and (bare not in _TESTS or _TESTS[bare](typmod))
