"""Whether several files fit together, as one source: the same columns, of the same types, spelled alike."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.errors import SchemaError
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bulkio.choices import ColumnChoice
    from bulkio.files.formats.part import Part
    from bulkio.protocols import Spelling

__all__ = ["common_spelling", "conform", "differences", "refuse_differences", "shown_schema"]

#: differences between files that a message lists, at most
_SHOWN_DIFFERENCES = 20


def common_spelling(parts: Sequence[Part]) -> Spelling | None:
    """Return how the values of all parts are spelled; raise `SchemaError` where some are spelled and others typed."""
    first = parts[0]
    for part in parts:
        if part.spelling != first.spelling:
            pair = f"{printable(first.path)} and {printable(part.path)}"
            raise SchemaError(f"{pair}: one is CSV, the other has types of its own: load them one after the other")
    return first.spelling


def refuse_differences(parts: tuple[Part, ...], chosen: list[str], choice: ColumnChoice | None) -> None:
    """Raise `SchemaError` with everything in which a file differs from the first one."""
    first, found = parts[0], []
    by_schema = {id(schema): list(differences(first.schema, schema, chosen, choice)) for schema in _schemas(parts)}
    for part in parts:
        found += [(name, f"{printable(part.path)}: {text}") for name, text in by_schema[id(part.schema)]]
    if found:
        names = tuple(dict.fromkeys(name for name, _ in found))
        lines = [text for _, text in found[:_SHOWN_DIFFERENCES]]
        if rest := len(found) - len(lines):
            lines.append(f"and {rest} more")
        listed = "\n  ".join(lines)
        raise SchemaError(
            f"the files do not fit together; compared with {printable(first.path)}\n  {listed}", columns=names
        )


def _schemas(parts: Sequence[Part]) -> list[pa.Schema]:
    """Return the schemas of all files, each once where they share it; the first file's first."""
    return list({id(part.schema): part.schema for part in parts}.values())


def differences(
    first: pa.Schema, other: pa.Schema, chosen: list[str], choice: ColumnChoice | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the columns in which a file differs from the first one, among those chosen, each with what is different."""
    # By index: names may be ambiguous, which is for the plan to refuse.
    here, there = _indexes(first), _indexes(other)
    for name in chosen:
        if name not in there:
            yield name, f"column {printable(name)} is missing"
            continue
        wanted, found = first.field(here[name]).type, other.field(there[name]).type
        if _plain(wanted) != _plain(found):
            yield name, f"column {printable(name)} is {found}, not {wanted}"
        here_is, there_is = _extension(first.field(here[name])), _extension(other.field(there[name]))
        if here_is != there_is:
            kinds = printable(there_is or str(found)), printable(here_is or str(wanted))
            yield name, f"column {printable(name)} is {kinds[0]}, not {kinds[1]}"
    if chosen == first.names or (choice is not None and choice.excludes):
        known = frozenset(chosen)
        for name in other.names:
            if name not in known and (choice is None or choice.has(name)):
                yield name, f"column {printable(name)} is not in the first file"


def _extension(field: pa.Field) -> str:
    """Return the extension type that a field's metadata tells, with its parameters; "" where it tells none."""
    metadata = field.metadata or {}
    name = metadata.get(b"ARROW:extension:name", b"").decode(errors="replace")
    about = metadata.get(b"ARROW:extension:metadata", b"").decode(errors="replace")
    with suppress(ValueError):  # not JSON
        about = json.dumps(json.loads(about), sort_keys=True)
    return f"{name} {about}".strip()


def _indexes(schema: pa.Schema) -> dict[str, int]:
    """Return where the first column of each name stands."""
    return {name: index for index, name in reversed([*enumerate(schema.names)])}


def _plain(arrow_type: pa.DataType) -> pa.DataType:
    return arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type


def shown_schema(parts: tuple[Part, ...], chosen: list[str], cheap: frozenset[str]) -> pa.Schema:
    """Return the schema that every batch of every part will have."""
    schemas = [(schema, _indexes(schema)) for schema in _schemas(parts)]
    first = schemas[0][0]
    fields = []
    for name in chosen:
        variants = [schema.field(indexes[name]) for schema, indexes in schemas]
        kind = variants[0].type
        if name in cheap:
            kind = pa.dictionary(pa.int32(), pa.string())
        elif any(variant.type != kind for variant in variants):
            kind = _plain(kind)
        nullable = any(variant.nullable for variant in variants)
        fields.append(variants[0].with_type(kind).with_nullable(nullable))
    return pa.schema(fields, metadata=first.metadata)


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch the schema's order, fields and metadata. Only dictionaries may need decoding."""
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    if batch.schema.names != schema.names:
        for name in schema.names:
            if batch.schema.names.count(name) != 1:
                raise ValueError(f"column {printable(name)} is no longer there: the file was changed while it was read")
        batch = batch.select(schema.names)
    arrays = [_decoded(array, field) for array, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _decoded(array: pa.Array, field: pa.Field) -> pa.Array:
    if array.type != field.type and pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.type != field.type:
        raise ValueError(
            f"column {printable(field.name)} has become {array.type}: the file was changed while it was read"
        )
    return array
