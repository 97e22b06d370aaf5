"""Make the tables of docs/pipelines.md, and docs/pipeline.schema.json: python docs/make_pipelines.py."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bulkio.options import fields_of
from bulkio.options.csv import CsvFields
from bulkio.pipeline.spec.models import KINDS
from bulkio.pipeline.spec.schema import pipeline_schema

DOCS = Path(__file__).parent
PAGE = DOCS / "pipelines.md"
SCHEMA = DOCS / "pipeline.schema.json"
MARKED = re.compile(r"<!-- keys of (\w+) -->\n.*?<!-- end -->", re.DOTALL)
#: keys that every step has
SHARED = (
    "id",
    "needs",
    "when",
    "for_each",
    "if_no_items",
    "connection",
    "retries",
    "retry_for",
    "timeout",
    "on_failure",
)
CSV = tuple(field.name for field in fields_of(CsvFields))


def page(text: str) -> str:
    """Return the page with its tables as they should be."""
    schema = pipeline_schema()
    return MARKED.sub(lambda match: _marked(match[1], schema), text)


def _marked(name: str, schema: dict[str, Any]) -> str:
    return f"<!-- keys of {name} -->\n{_table(name, schema)}<!-- end -->"


def _table(name: str, schema: dict[str, Any]) -> str:
    models = {kind: f"{kind.capitalize()}Step" for kind in KINDS}
    match name:
        case "file":
            model, keys = schema, [key for key in schema["properties"] if key not in ("schedule", "params", "step")]
        case "schedule":
            model = schema["$defs"]["Schedule"]
            keys = list(model["properties"])
        case "steps":
            model, keys = schema["$defs"]["SqlStep"], list(SHARED)
        case "csv":
            model, keys = schema["$defs"]["TransformStep"], list(CSV)
        case _:
            model = schema["$defs"][models[name]]
            keys = [key for key in model["properties"] if key not in SHARED and key not in CSV]
    required = set(model.get("required", ()))
    rows = [_row(key, model["properties"][key], schema, is_required=key in required) for key in keys]
    return "\n".join(["| Key | Type | Default | |", "|---|---|---|---|", *rows, ""])


def _row(key: str, field: dict[str, Any], schema: dict[str, Any], *, is_required: bool) -> str:
    default = "required" if is_required else ""
    if field.get("default") not in (None, [], {}):
        default = f"`{json.dumps(field['default'], ensure_ascii=False)}`"
    text = field.get("description", "").replace("\n", " ").replace("|", "\\|")
    return f"| `{key}` | {kind_of(field, schema)} | {default} | {text} |"


def kind_of(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return a type, as TOML's words have it."""
    match field:
        case {"enum": words}:
            return ", ".join(f"`{word}`" for word in words)
        case {"anyOf": kinds}:
            return " or ".join(dict.fromkeys(kind_of(kind, schema) for kind in kinds))
        case {"type": "array", "items": items}:
            return f"list of {kind_of(items, schema)}"
        case {"type": "object"}:
            return "table"
        case {"type": "string", "format": form}:
            return form.replace("date-time", "time")
    return {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}.get(
        field.get("type", ""), "any"
    )


def schema_text() -> str:
    """Return the schema as the file has it."""
    return json.dumps(pipeline_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    SCHEMA.write_text(schema_text())
