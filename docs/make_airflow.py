"""Make the tables of docs/airflow.md: .venv-airflow/bin/python docs/make_airflow.py."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import bulkio

PAGE = Path(__file__).with_name("airflow.md")
MARKED = re.compile(r"<!-- fields of (\w+) -->\n.*?<!-- end -->", re.DOTALL)
FUNCTIONS = {"BulkLoadOperator": "load", "BulkExportOperator": "export", "BulkPipelineOperator": "run_pipeline"}


def page(text: str) -> str:
    """Return the page with its tables as they should be."""
    return MARKED.sub(lambda match: f"<!-- fields of {match[1]} -->\n{_table(match[1])}<!-- end -->", text)


def _table(operator: str) -> str:
    from bulkio.integrations import airflow

    kind = getattr(airflow, operator)
    helps = {each.name: each.option.help for each in bulkio.options_of(FUNCTIONS[operator])}
    own = dict(re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", _args(kind), re.MULTILINE | re.DOTALL))
    rows = [
        _row(each, own.get(each.name) or helps.get(each.name) or helps["params"])
        for each in inspect.signature(kind.__init__).parameters.values()
        if each.name not in ("self", "kwargs")
    ]
    return "\n".join(["| Field | Type | Default | |", "|---|---|---|---|", *rows, ""])


def _args(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "").partition("Args:\n")[2]


def _row(field: inspect.Parameter, text: str) -> str:
    default = "required" if field.default is field.empty else f"`{field.default!r}`"
    told = " ".join(text.split()).replace("|", "\\|")
    return f"| `{field.name}` | {_type(field.annotation)} | {default} | {told} |"


def _type(hint: Any) -> str:
    """Return a type in short: its name, or the words that it has."""
    if hint == "OnClear":
        from bulkio.integrations.airflow.load_ids import OnClear

        hint = OnClear
    if get_origin(hint) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(hint))
    text = hint if isinstance(hint, str) else getattr(hint, "__name__", "") if isinstance(hint, type) else str(hint)
    return "`" + re.sub(r"[a-z_]+\.(?=[A-Za-z])", "", text).replace("|", "\\|") + "`"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
