"""From a pipeline's TOML to its `Spec`. Every mistake is told, with file, step and key; nothing is tried."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bulkio.errors import ConfigError, FileError
from bulkio.options.environment import expand_environment
from bulkio.pipeline.spec.graph import in_order
from bulkio.pipeline.spec.messages import Place, Raw
from bulkio.pipeline.spec.models import STEPS, ExportStep, Spec, Step, TransformStep, kind_of
from bulkio.pipeline.spec.names import names_in_text, whole_names_in_text
from bulkio.pipeline.spec.texts import BUILT_IN, WINDOW, check_names, is_filled_key, is_sql_key
from bulkio.show import printable, show_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["find_pipelines", "read_pipeline"]


def read_pipeline(path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None) -> Spec:
    """Read and check a pipeline file.

    Raises:
        FileError: it cannot be read.
        ConfigError: it is not a pipeline; every mistake has a line, which names file, step and key.
    """
    name = printable(os.fspath(path))
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise FileError(f"{name}: cannot be read: {reason}", path=os.fspath(path)) from error
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: is not TOML: {error}") from None
    raw = Raw(said)
    mistakes: list[str] = []
    expanded = _expanded(raw, os.environ if environ is None else environ, mistakes)
    _raise(name, mistakes)
    try:
        spec = Spec.model_validate(expanded).read_from(Path(path).absolute())
    except ValidationError as error:
        _raise(name, [raw.message(each) for each in error.errors(include_url=False)])
        raise
    _raise(name, [*_contradictions(spec)])
    return spec


def _raise(name: str, mistakes: Sequence[str]) -> None:
    if mistakes:
        raise ConfigError("\n".join(f"{name}: {mistake}" for mistake in mistakes))


def find_pipelines(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the pipeline files that a path means: the file, or a folder's `*.toml` but for bulkio.toml, by name.

    Raises:
        FileError: there are none.
    """
    if not Path(path).is_dir():
        return (Path(path),)
    found = tuple(sorted(each for each in Path(path).glob("*.toml") if each.name != "bulkio.toml"))
    if not found:
        raise FileError(f"{printable(os.fspath(path))}: has no pipeline (*.toml)", path=os.fspath(path))
    return found


# --- the environment -------------------------------------------------------------------------------------------------


def _expanded(raw: Raw, environ: Mapping[str, str], mistakes: list[str]) -> object:
    """Fill in the environment everywhere but in SQL; note what cannot be."""
    # What the environment holds has no names to be filled in: its braces are braces.
    doubled = {name: value.replace("{", "{{").replace("}", "}}") for name, value in environ.items()}

    def change(value: object, place: Place) -> object:
        match value:
            case str() if not _is_sql(raw, place, value):
                try:
                    text = expand_environment(value, doubled if _is_filled(place) else environ)
                except ConfigError as error:
                    mistakes.append(f"{raw.name(place)}: {error}")
                    return value
                if _is_sql(raw, place, text):
                    mistakes.append(f"{raw.name(place)}: the environment's variables make a query of it: write it here")
                return text
            case list():
                return [change(each, (*place, number)) for number, each in enumerate(value)]
            case dict():
                return {key: change(each, (*place, key)) for key, each in value.items()}
        return value

    return change(raw.said, ())


def _is_filled(place: Place) -> bool:
    """Tell whether the text at a place is filled in with names, once it runs."""
    match place:
        case ("params", *_):
            return True
        case ("step", int(), str(key), *_):
            return is_filled_key(key)
    return False


def _is_sql(raw: Raw, place: Place, text: str) -> bool:
    match place:
        case ("step", int(), str(key), *_):
            model = STEPS.get(kind_of(raw.value(place[:2])))
            return model is not None and is_sql_key(model, key, text)
    return False


# --- what each key alone does not tell -------------------------------------------------------------------------------


def _contradictions(spec: Spec) -> Iterator[str]:
    for name in spec.params:
        if not name.isidentifier():
            yield f"key {show_name(f'params.{name}')} is not a name: letters, digits and _"
        elif name in (*BUILT_IN, "item"):
            yield f"key {show_name(f'params.{name}')}: steps have this name already"
    try:
        in_order(spec.step)
    except ConfigError as error:
        yield str(error)
    for step in spec.step:
        where = f"step {show_name(step.id)}"
        yield from (f"{where}: key {show_name(key)}: {what}" for key, what in check_names(step, spec.params))
        yield from (f"{where}: {what}" for what in _of_step(step))


def _of_step(step: Step) -> Iterator[str]:
    to = getattr(step, "to", None)
    if to is not None and step.for_each is not None and "item" not in names_in_text(to):
        yield 'key "to": each item would write the same file: {item} must stand in its name'
    if isinstance(step, ExportStep):
        if step.incremental and not any(name in WINDOW for name in whole_names_in_text(step.to)):
            example = f"out/{step.id}-{{window}}.parquet"
            yield f'key "to": the file of an incremental export has its window in its name, such as {example}'
        if step.incremental and step.for_each is not None:
            yield "an incremental export has one mark, and so does not go with for_each"
        if "lag" in step.model_fields_set and not step.incremental:
            yield 'key "lag" goes with incremental'
    if isinstance(step, TransformStep):
        if (step.query is None) == (step.files is None):
            yield "a transform has one source: query, or files"
        if (step.into is None) == (step.to is None):
            yield "a transform has one target: into, or to"
        if step.to is not None and ".csv" in "".join(Path(step.to).suffixes[-2:]).lower():
            yield 'key "to": a transform writes Parquet or Arrow files; CSV is written by the server, so export a table'
