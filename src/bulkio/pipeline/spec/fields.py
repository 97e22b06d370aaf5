"""The keys of a step that are options of load and export: made from the requests that the API takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from bulkio.errors import ConfigError
from bulkio.options import fields_of

if TYPE_CHECKING:
    from bulkio.options import OptionField

__all__ = ["Texts", "option_fields"]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


#: a list of texts; one text stands for a list of one, as on the command line
Texts = Annotated[
    list[str],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


def option_fields(request: Callable[..., object], *, without: Sequence[str]) -> dict[str, Any]:
    """Return pydantic's fields for the options of a request, but for some; each may be left out.

    What is left out is not in the model's `model_fields_set`: the API's own default counts.
    """
    return {field.name: _field(field) for field in fields_of(request) if field.name not in without}


def _field(field: OptionField) -> tuple[Any, Any]:
    default = None if field.default is Parameter.empty else field.default
    text = field.option.help
    if field.option.default is not None:
        text += f" Left out: {field.option.default}."
    # The default is for readers of the schema: pydantic does not check it, and nobody passes it on.
    shown = list(default) if isinstance(default, tuple) else default
    return Annotated[_kind(field), AfterValidator(_checked(field))], Field(default=shown, description=text)


def _kind(field: OptionField) -> Any:
    if field.shape is Mapping:
        return dict[get_args(field.kind)]  # type: ignore[misc]  # as the request has it
    if field.shape in (Sequence, tuple):
        return Texts if field.default == () else Texts | None
    kind = field.kind if field.default is not None else field.kind | None  # type: ignore[operator]
    return Annotated[kind, Field(ge=field.option.least)] if field.option.least is not None else kind


def _checked(field: OptionField) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if "{" in str(value):  # it is checked once it is filled in
            return value
        try:
            field.kept(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return value

    return check
