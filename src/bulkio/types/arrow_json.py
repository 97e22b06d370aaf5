"""Arrow's type for JSON text, `arrow.json`: pyarrow's own, or before pyarrow 19, which brought it, one of bulkio's.

bulkio's is registered as pyarrow's is, so that files and streams of others bring it: without that a column of JSON
would be mere text in a new table, and would say nothing of JSON in an exported file.
"""

from __future__ import annotations

from contextlib import suppress

import pyarrow as pa

__all__ = ["is_json", "json_type"]


class _JsonType(pa.ExtensionType):  # type: ignore[misc]  # pyarrow has no type information
    """`arrow.json` over one of Arrow's layouts of strings (Arrow's "Canonical Extension Types", JSON)."""

    def __init__(self, storage_type: pa.DataType) -> None:
        super().__init__(storage_type, "arrow.json")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> _JsonType:
        return cls(storage_type)


def json_type(storage_type: pa.DataType | None = None) -> pa.DataType:
    """Return `arrow.json` over strings of `storage_type`, or of Arrow's plainest layout."""
    return _JSON(storage_type or pa.string())


def is_json(arrow: pa.DataType) -> bool:
    """Tell whether a type is `arrow.json`."""
    return isinstance(arrow, pa.BaseExtensionType) and arrow.extension_name == "arrow.json"


_JSON = getattr(pa, "json_", _JsonType)
if _JSON is _JsonType:
    with suppress(pa.ArrowKeyError):  # another library has registered its own: `is_json` goes by the name
        pa.register_extension_type(_JsonType(pa.string()))
