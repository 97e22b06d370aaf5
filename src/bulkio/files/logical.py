"""What a Parquet file says of its columns and pyarrow does not show: mended where that is sure, else told.

A column's logical type is visible beside the Arrow type that pyarrow gives it (Parquet format, "Logical Types"): where
the two do not say the same, the Arrow type alone would be loaded.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.files.formats.part import readable_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow.parquet as pq

__all__ = ["FileTypes", "Said", "read_types"]

#: key under which a file written from Arrow keeps the schema that it was written from, in Base64
_RECORDED_SCHEMA = b"ARROW:schema"
#: the start of `created_by` in files that Arrow's own C++ writes, whose times of day have no zone, whatever they say
_ARROW_WRITER = "parquet-cpp"
_STRINGS: tuple[object, ...] = (pa.string(), pa.large_string(), pa.string_view())
#: the coordinates of a geometry that names no others (Parquet format, "Geospatial Definitions")
_DEFAULT_CRS = "OGC:CRS84"
# groups have no logical type that pyarrow shows, but as text: only a column of its own can be one
_VARIANT = re.compile(r"^  (?:required|optional|repeated) group field_id=\S+ (.+) \(Variant\b", re.MULTILINE)

_INTERVAL = "is an interval, of which pyarrow shows bytes: cast it to text where the file is written"
_TIME_IN_UTC = "is a time of day in UTC, which Arrow's time would lose: cast it to text where the file is written"
_GEO = "is a geometry inside a nested type, whose coordinate system would be lost: write it as a column of its own"
_UNKNOWN = "has a logical type that pyarrow does not know: cast it where the file is written"
_IS_VARIANT = (
    "is a variant, of which pyarrow shows the bytes of its encoding: cast it to JSON where the file is written"
)


@dataclass(frozen=True, slots=True)
class FileTypes:
    """The columns of one Parquet file."""

    #: the schema to load; if it is not pyarrow's, pyarrow's columns are cast to it
    schema: pa.Schema
    #: top-level columns that have INT96 timestamps in them
    int96: frozenset[str]
    #: top-level columns that pyarrow shows as strings
    strings: frozenset[str]
    #: reasons why top-level columns cannot be loaded, by name
    faults: Mapping[str, str]
    said: Said


@dataclass(frozen=True, slots=True)
class Said:
    """All of a file that its types follow from."""

    #: Parquet's own schema, which is equal where all leaves are, and as text, which names what is above these
    schema: pq.ParquetSchema
    text: str
    #: Arrow schema that the file was written from, if it says that, and that with its fields' metadata as bytes
    recorded: pa.Schema | None
    recorded_bytes: bytes
    from_arrow: bool


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A column as Parquet stores it: what lies at the bottom of nested types."""

    physical: str
    #: the logical type's name and parameters
    about: Mapping[str, object]

    @property
    def logical(self) -> str:
        return str(self.about["Type"])


def read_types(file: pq.ParquetFile, known: Iterable[FileTypes] = ()) -> FileTypes:
    """Return what the columns of a file are: one of `known`, where the file says the same as the one that has it."""
    said = _said(file)
    found = next((types for types in known if types.said == said), None)
    return _types(file, said) if found is None else found


def _said(file: pq.ParquetFile) -> Said:
    recorded = _recorded(file)
    from_arrow = recorded is not None or str(file.metadata.created_by).startswith(_ARROW_WRITER)
    _, _, text = str(file.schema).partition("\n")  # without the object's address
    # The schema's own metadata has the number of rows in it, where pandas has written it.
    recorded_bytes = b"" if recorded is None else recorded.remove_metadata().serialize().to_pybytes()
    return Said(file.schema, text, recorded, recorded_bytes, from_arrow)


def _types(file: pq.ParquetFile, said: Said) -> FileTypes:
    shown = readable_schema(file.schema_arrow)
    leaves = _leaves(file)
    fields, int96 = [], set()
    faults = dict.fromkeys(_VARIANT.findall(said.text), _IS_VARIANT)
    for index, field in enumerate(shown):
        own = [next(leaves) for _ in range(_leaf_count(field.type))]
        if any(leaf.physical == "INT96" for leaf in own):
            int96.add(field.name)
        for leaf in own:
            if fault := _fault(leaf, field, from_arrow=said.from_arrow):
                faults.setdefault(field.name, fault)
        fields.append(_mended(field, own, None if said.recorded is None else said.recorded.field(index)))
    times = Counter(shown.names)
    strings = frozenset(field.name for field in shown if field.type in _STRINGS and times[field.name] == 1)
    return FileTypes(pa.schema(fields, metadata=shown.metadata), frozenset(int96), strings, faults, said)


def _recorded(file: pq.ParquetFile) -> pa.Schema | None:
    """Return the Arrow schema that the file was written from, where it says that and it fits."""
    text = (file.metadata.metadata or {}).get(_RECORDED_SCHEMA)
    if text is None:
        return None
    recorded = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
    return recorded if recorded.names == file.schema_arrow.names else None


def _leaves(file: pq.ParquetFile) -> Iterator[_Leaf]:
    schema = file.metadata.schema
    for index in range(len(schema)):
        column = schema.column(index)
        yield _Leaf(column.physical_type, json.loads(column.logical_type.to_json()))


def _leaf_count(kind: pa.DataType) -> int:
    if isinstance(kind, pa.BaseExtensionType):
        return _leaf_count(kind.storage_type)
    return sum(_leaf_count(kind.field(index).type) for index in range(kind.num_fields)) if kind.num_fields else 1


def _fault(leaf: _Leaf, field: pa.Field, *, from_arrow: bool) -> str:
    """Say why a column cannot be loaded as pyarrow shows it; "" where it can."""
    if leaf.logical == "Interval":
        return _INTERVAL
    if leaf.logical == "Undefined":
        return _UNKNOWN
    if leaf.logical == "Time" and leaf.about.get("isAdjustedToUTC") and not from_arrow:
        return _TIME_IN_UTC
    return _GEO if leaf.logical in _EDGES and field.type.num_fields else ""


#: interpolation between points, by the logical type
_EDGES = {"Geometry": "planar", "Geography": "spherical"}


def _mended(field: pa.Field, leaves: list[_Leaf], recorded: pa.Field | None) -> pa.Field:
    """Return the field as it is meant."""
    remaining = iter(leaves)
    mended = field.with_type(_retyped(field.type, lambda kind: _as_text(kind, next(remaining))))
    if recorded is not None and any(leaf.physical == "INT96" for leaf in leaves):
        zones = iter(_timestamps(recorded.type))
        mended = mended.with_type(_retyped(mended.type, lambda kind: _in_zone(kind, zones)))
    if leaves and leaves[0].logical in _EDGES and pa.types.is_binary(field.type):
        mended = mended.with_metadata({**_geometry_metadata(leaves[0]), **(field.metadata or {})})
    return mended


def _as_text(kind: pa.DataType, leaf: _Leaf) -> pa.DataType:
    """Return text for an enum, of which pyarrow shows bytes."""
    return pa.string() if leaf.logical == "Enum" and pa.types.is_binary(kind) else kind


def _in_zone(kind: pa.DataType, zones: Iterator[str | None]) -> pa.DataType:
    """Return a timestamp with the zone that was recorded, which pyarrow forgets for INT96."""
    if not pa.types.is_timestamp(kind):
        return kind
    zone = next(zones, None)
    return pa.timestamp(kind.unit, kind.tz or zone)


def _timestamps(kind: pa.DataType) -> list[str | None]:
    """List the zones of all timestamps in a type, in the order of its leaves."""
    if pa.types.is_timestamp(kind):
        return [kind.tz]
    return [zone for index in range(kind.num_fields) for zone in _timestamps(kind.field(index).type)]


def _retyped(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Return a type whose leaves are changed, in their order."""
    if isinstance(kind, pa.BaseExtensionType) or not kind.num_fields:
        return change(kind)
    inner = [kind.field(index) for index in range(kind.num_fields)]
    if pa.types.is_map(kind):
        return pa.map_(_retyped(kind.key_type, change), _retyped(kind.item_type, change), kind.keys_sorted)
    inner = [field.with_type(_retyped(field.type, change)) for field in inner]
    if pa.types.is_struct(kind):
        return pa.struct(inner)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(inner[0], kind.list_size)
    return pa.large_list(inner[0]) if pa.types.is_large_list(kind) else pa.list_(inner[0])


def _geometry_metadata(leaf: _Leaf) -> dict[bytes, bytes]:
    """Say what the geoarrow.wkb extension says: which coordinates these are."""
    crs = str(leaf.about.get("crs") or _DEFAULT_CRS)
    about: dict[str, object] = {"crs": crs.removeprefix("srid:")}
    if crs.startswith("{"):  # PROJJSON
        about["crs"] = json.loads(crs)
    if leaf.logical == "Geography":
        about["edges"] = _EDGES[leaf.logical]
    return {b"ARROW:extension:name": b"geoarrow.wkb", b"ARROW:extension:metadata": json.dumps(about).encode()}
