"""docs/pipelines.md and the JSON Schema are what the models say; every example is a pipeline, by both."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bulkio.pipeline import read_pipeline

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "pipelines.md").read_text()
MAKE = runpy.run_path(str(ROOT / "docs" / "make_pipelines.py"), run_name="make_pipelines")
SCHEMA = json.loads((ROOT / "docs" / "pipeline.schema.json").read_text())
EXAMPLES = [
    *(
        (f"block {number}", text)
        for number, text in enumerate(re.findall(r"^```toml\n(.*?)^```$", PAGE, re.M | re.S), 1)
    ),
    *((path.name, path.read_text()) for path in sorted((ROOT / "pipelines").glob("*.toml"))),
]


def test_tables_are_up_to_date() -> None:
    """Each key, with its type and default, as the models have it."""
    assert MAKE["page"](PAGE) == PAGE, "run docs/make_pipelines.py"
    assert MAKE["schema_text"]() == (ROOT / "docs" / "pipeline.schema.json").read_text(), "run docs/make_pipelines.py"


def test_every_key_of_the_schema_has_its_row() -> None:
    """None is left out of the page."""
    models = [SCHEMA, *SCHEMA["$defs"].values()]
    keys = {key for model in models for key in model["properties"]}
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert keys - rows == {"params", "schedule", "step"}
    assert all(f"[{key}]" in PAGE for key in ("params", "schedule", "[step]"))


def test_the_schema_is_one() -> None:
    """It follows its own draft, and says of each key what it is about."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    models = [SCHEMA, *SCHEMA["$defs"].values()]
    assert [key for model in models for key, field in model["properties"].items() if not field.get("description")] == []


@pytest.mark.parametrize(("name", "text"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_examples(name: str, text: str, tmp_path: Path) -> None:
    """They are accepted by the program and by the schema; with a key that there is not, by neither."""
    (tmp_path / "p.toml").write_text(text)
    spec = read_pipeline(tmp_path / "p.toml")
    said: dict[str, Any] = tomllib.loads(text)
    jsonschema.validate(said, SCHEMA)
    assert len(spec.step) == len(said["step"])
    said["step"][0]["mod"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(said, SCHEMA)
