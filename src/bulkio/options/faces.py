"""The options of the API's functions, for whoever makes a form of his own of them: an Airflow operator's fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from bulkio.options.loading import LoadRequest
from bulkio.options.option import fields_of
from bulkio.options.pipelines import RunRequest
from bulkio.options.reading import ExportRequest, ReadRequest

if TYPE_CHECKING:
    from bulkio.options.option import OptionField

__all__ = ["options_of"]

_REQUESTS = {"load": LoadRequest, "export": ExportRequest, "read": ReadRequest, "run_pipeline": RunRequest}


def options_of(function: Literal["load", "export", "read", "run_pipeline"]) -> tuple[OptionField, ...]:
    """Return what a function takes, in its order: the name, type, default and help of each option.

    Needs neither pyarrow nor a driver, and so is fast.

    >>> [option.name for option in options_of("export")][:3]
    ['table_or_query', 'dest', 'dsn']
    """
    return fields_of(_REQUESTS[function])
