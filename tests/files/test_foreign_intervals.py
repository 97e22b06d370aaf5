"""Arrow's intervals of months, and of days and milliseconds: pyarrow cannot make them, but it passes them on."""

from __future__ import annotations

import ctypes
import struct

import pyarrow as pa
import pytest

import bulkio
from servers import connect

_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_POINTERS = ctypes.POINTER(ctypes.c_void_p)


class _Schema(ctypes.Structure):
    """ArrowSchema of the C data interface."""

    _fields_ = (
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_char_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", _POINTERS),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class _Array(ctypes.Structure):
    """ArrowArray of the C data interface."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", _POINTERS),
        ("children", _POINTERS),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


@_RELEASE
def _release_schema(address: int, kind: type[_Schema] = _Schema) -> None:
    kind.from_address(address).release = None


@_RELEASE
def _release_array(address: int, kind: type[_Array] = _Array) -> None:
    kind.from_address(address).release = None


#: what the C structures point to lives as long as the process
_KEPT: list[object] = []
#: name, format, three values of which the middle one is NULL
COLUMNS = (
    (b"m", b"tiM", struct.pack("=3i", 14, 7, -1)),
    (b"d", b"tiD", struct.pack("=6i", 1, 1500, 7, 7, -2, -1)),
)


def batch() -> pa.RecordBatch:
    """Return a batch of both types, as another library would hand it over."""
    schemas, arrays = [], []
    release_schema, release_array = (ctypes.cast(f, ctypes.c_void_p).value for f in (_release_schema, _release_array))
    for name, form, data in COLUMNS:
        valid, values = ctypes.create_string_buffer(b"\x05", 1), ctypes.create_string_buffer(data, len(data))
        buffers = (ctypes.c_void_p * 2)(ctypes.addressof(valid), ctypes.addressof(values))
        schemas.append(_Schema(format=form, name=name, flags=2, release=release_schema))
        arrays.append(_Array(length=3, null_count=1, n_buffers=2, buffers=buffers, release=release_array))
        _KEPT.extend((valid, values, buffers, schemas[-1], arrays[-1]))
    places = [(ctypes.c_void_p * 2)(*map(ctypes.addressof, parts)) for parts in (schemas, arrays)]
    nothing = (ctypes.c_void_p * 1)(None)
    schema = _Schema(format=b"+s", name=b"", n_children=2, children=places[0], release=release_schema)
    array = _Array(length=3, n_buffers=1, buffers=nothing, n_children=2, children=places[1], release=release_array)
    _KEPT.extend((*places, nothing, schema, array))
    return pa.RecordBatch._import_from_c(ctypes.addressof(array), ctypes.addressof(schema))


@pytest.mark.parametrize("method", ["binary", "csv", "records"])
@pytest.mark.parametrize("start", [0, 1])
def test_they_become_intervals(one_dsn: str, method: str, start: int) -> None:
    """In a new table, of a whole batch or a part."""
    source = batch().slice(start)
    bulkio.load(pa.RecordBatchReader.from_batches(source.schema, [source]), "t", one_dsn, method=method)
    with connect(one_dsn) as conn:
        conn.execute("SET IntervalStyle = 'postgres'")
        found = conn.execute("SELECT m::text, d::text FROM t").fetchall()
    wanted = [("1 year 2 mons", "1 day 00:00:01.5"), (None, None), ("-1 mons", "-2 days -00:00:00.001")]
    assert found == wanted[start:]


def test_what_the_column_does_not_keep(one_dsn: str) -> None:
    """A month is no year: an error with the row."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE t (m interval year, d interval)")
    source = batch()
    with pytest.raises(bulkio.EncodeError, match='row 1, column "m"'):
        bulkio.load(pa.RecordBatchReader.from_batches(source.schema, [source]), "t", one_dsn)
