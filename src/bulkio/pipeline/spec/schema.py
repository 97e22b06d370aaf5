"""The JSON Schema of pipeline files, for editors: `bulkio validate --schema` prints it."""

from __future__ import annotations

from typing import Any

from bulkio.pipeline.spec.models import Spec

__all__ = ["pipeline_schema"]


def pipeline_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12). TOML has no null: no key takes one, and none has one for its default."""
    schema: dict[str, Any] = _without_null(Spec.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A pipeline of bulkio"}


def _without_null(node: Any) -> Any:
    match node:
        case dict():
            kept = {key: _without_null(value) for key, value in node.items() if not _is_noise(key, value)}
            choices = kept.get("anyOf")
            if isinstance(choices, list):
                kept["anyOf"] = [choice for choice in choices if choice != {"type": "null"}]
                if len(kept["anyOf"]) == 1:
                    kept |= kept.pop("anyOf")[0]
            return kept
        case list():
            return [_without_null(each) for each in node]
    return node


def _is_noise(key: str, value: Any) -> bool:
    """Tell whether an entry says nothing: a title made of the key's name, or that a key may be left out."""
    return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)
