"""What a pipeline file may hold: pydantic's models, which check it and make its JSON Schema.

A step is of the kind whose key it has. The options of load and export are made from the requests of the API: they have
the same names, words and checks here. Texts still hold their names (`spec.names`).
"""

# Without `from __future__ import annotations`: pydantic reads the annotations at run time.

from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    create_model,
)

from bulkio.choices import milliseconds
from bulkio.errors import ConfigError
from bulkio.options import ExportRequest, LoadRequest
from bulkio.options.csv import EXPORT_ONLY, LOAD_ONLY, CsvFields
from bulkio.pipeline.schedule.cron import check_cron, check_timezone
from bulkio.pipeline.spec.fields import Texts, option_fields

__all__ = [
    "KINDS",
    "STEPS",
    "CheckStep",
    "ExportStep",
    "LoadStep",
    "PythonStep",
    "Schedule",
    "Spec",
    "SqlStep",
    "Step",
    "TransformStep",
    "Value",
    "kind_of",
]

#: a value of a parameter or an item
Value: TypeAlias = str | int | float | bool | date | datetime | time

#: kinds of steps, each named by its key; where a step has the keys of two, the first tells (a load may have checks)
KINDS = ("load", "export", "transform", "sql", "python", "check")

_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


def _time(value: str) -> str:
    try:
        milliseconds("timeout", value)
    except ConfigError:
        raise ValueError(f"{value!r} is not a time with a unit (ms, s, m, h, d), such as '10m'") from None
    return value


_Time = Annotated[str, AfterValidator(_time)]


def _checked(check: Callable[[str], None]) -> AfterValidator:
    """Return a validator that keeps a text which passes a check."""

    def keep(value: str) -> str:
        try:
            check(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return value

    return AfterValidator(keep)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)


class Schedule(_Model):
    """When a pipeline runs by itself: under `bulkio run --due` or `bulkio schedule`."""

    cron: Annotated[str, _checked(check_cron)]
    """When it runs: minute, hour, day of the month, month, day of the week."""
    timezone: Annotated[str, _checked(check_timezone)] = "UTC"
    """The zone of cron's times and of the logical date, such as Europe/Berlin."""
    catch_up: Literal["none", "latest", "all"] = "latest"
    """Which missed ticks run: none, the latest one, or all, one after the other."""


class _Step(_Model):
    #: name of the key that tells the kind
    kind: ClassVar[str]
    #: keys whose texts are SQL
    sql_keys: ClassVar[frozenset[str]] = frozenset({"when"})

    id: _Id
    """The step's name, by which others need it and reports name it."""
    needs: list[str] = []
    """The steps that must be done before it begins. Steps that do not need each other run side by side."""
    when: str | None = None
    """A condition in SQL; where it is not true the step is skipped, and with it what needs it."""
    for_each: str | list[Value] | None = None
    """A list, or a pattern of files: the step runs once for each, as `{item}`, in SQL `$item`."""
    if_no_items: Literal["skip", "fail"] = "skip"
    """With for_each: what becomes of the step where there is no item, such as no file."""
    connection: str | None = None
    """The step's own database: the name of a connection, or a DSN. Left out: the pipeline's."""
    retries: int = Field(default=0, ge=0)
    """How often to try again after an error that may pass (a lost connection, a deadlock); of python: after any."""
    retry_for: _Time | None = None
    """How long to go on trying, such as 10m. Left out: as often as retries says."""
    timeout: _Time | None = None
    """How long it may take, each item for itself, such as 10m; then it is cancelled, and has failed."""
    on_failure: Literal["fail", "stop", "continue"] = "fail"
    """fail: what needs it does not run, other steps do, and the run has failed; stop: all other steps are cancelled;
    continue: it is a warning, and what needs it runs."""


_OWN = (*_Step.model_fields,)
_LOAD = option_fields(
    LoadRequest,
    without=(
        "source",
        "table",
        "dsn",
        "params",
        "load_id",
        "restart",
        "wait",
        "ledger_schema",
        "password",
        "progress",
        "connection",
        *_OWN,
    ),
)
_EXPORT = option_fields(
    ExportRequest, without=("table_or_query", "dest", "dsn", "params", "password", "progress", *_OWN)
)
_Format = Literal["parquet", "arrow", "arrows", "csv"]


class _LoadStep(_Step):
    """Load files into a table: the options are those of `bulkio load`, by the same names."""

    kind: ClassVar[str] = "load"
    sql_keys: ClassVar[frozenset[str]] = frozenset({"when", "where", "before", "after", "check"})

    load: str | list[str]
    """The files: a path, a folder, a pattern, or a list of these; relative to the pipeline's folder."""
    into: str
    """The table: `table` or `schema.table`."""
    format: _Format | None = None
    """The format, if the name does not tell it."""


class _ExportStep(_Step):
    """Export a table or a query into a file: the options are those of `bulkio export`, by the same names."""

    kind: ClassVar[str] = "export"

    export: str
    """`table`, `schema.table`, or one SELECT."""
    to: str
    """The file; its ending tells the format. It is overwritten when the step runs again."""
    format: _Format | None = None
    """The format, if the name does not tell it."""
    incremental: str | None = None
    """A column of times: only rows are exported that are newer than the last export; its name must hold {window}."""
    lag: _Time = "5m"
    """With incremental: how long before the step's start a window ends, for transactions that commit late."""


class _TransformStep(_Step):
    """Send rows through a SELECT of DuckDB's (`pip install 'bulkio[duckdb]'`) into a table or a file."""

    kind: ClassVar[str] = "transform"
    sql_keys: ClassVar[frozenset[str]] = frozenset({"when", "where", "before", "after", "check", "transform"})

    transform: str
    """The SELECT, of DuckDB's SQL; the rows are its table `input`."""
    query: str | None = None
    """The rows: `table`, `schema.table`, or one SELECT. Or `files`."""
    files: str | list[str] | None = None
    """The rows: a path, a folder, a pattern, or a list of these. Or `query`."""
    format: _Format | None = None
    """The format of the files, if the name does not tell it."""
    into: str | None = None
    """The table that gets the result. Or `to`."""
    to: str | None = None
    """The file that gets the result, a Parquet or Arrow one. Or `into`."""


class SqlStep(_Step):
    """Run statements in one transaction, exactly once in a run."""

    kind: ClassVar[str] = "sql"
    sql_keys: ClassVar[frozenset[str]] = frozenset({"when", "sql"})

    sql: Texts
    """The statements, one or several; all of them, or none, are carried out."""
    lock_timeout: _Time | None = None
    """How long to wait for each lock, such as 10s. Left out: as the connection says."""


class CheckStep(_Step):
    """Ask a question whose answer must be true."""

    kind: ClassVar[str] = "check"
    sql_keys: ClassVar[frozenset[str]] = frozenset({"when", "check"})

    check: Texts
    """The queries; each must return one row with true in its first column. The message shows the row."""


class PythonStep(_Step):
    """Call a function of your own. Only with --allow-python."""

    kind: ClassVar[str] = "python"

    python: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """`module:function`; the module may stand beside the pipeline. It is called with a `bulkio.pipeline.Context`."""
    args: dict[str, Any] = {}
    """Whatever the function is to find in `context.args`."""


def _with_options(base: type[_Step], name: str, *options: dict[str, Any]) -> Any:
    merged = {key: field for each in options for key, field in each.items() if key not in base.model_fields}
    return create_model(name, __base__=base, __doc__=base.__doc__, **merged)


if TYPE_CHECKING:
    LoadStep: TypeAlias = _LoadStep
    ExportStep: TypeAlias = _ExportStep
    TransformStep: TypeAlias = _TransformStep
else:
    LoadStep = _with_options(_LoadStep, "LoadStep", _LOAD, option_fields(CsvFields, without=EXPORT_ONLY))
    ExportStep = _with_options(_ExportStep, "ExportStep", _EXPORT, option_fields(CsvFields, without=LOAD_ONLY))
    TransformStep = _with_options(_TransformStep, "TransformStep", _LOAD, _EXPORT, option_fields(CsvFields, without=()))


def kind_of(step: Any) -> str:
    """Return the kind of a step, a table or a model: that of its key; "" where it has none."""
    keys = step if isinstance(step, dict) else getattr(type(step), "model_fields", ())
    return next((kind for kind in KINDS if kind in keys), "")


#: model of each kind
STEPS: dict[str, type[_Step]] = {
    each.kind: each for each in (LoadStep, ExportStep, TransformStep, SqlStep, PythonStep, CheckStep)
}

Step: TypeAlias = Annotated[
    Annotated[LoadStep, Tag("load")]
    | Annotated[ExportStep, Tag("export")]
    | Annotated[TransformStep, Tag("transform")]
    | Annotated[SqlStep, Tag("sql")]
    | Annotated[PythonStep, Tag("python")]
    | Annotated[CheckStep, Tag("check")],
    Discriminator(kind_of),
]


class Spec(_Model):
    """A pipeline: its name, where it works, when it runs, and its steps."""

    name: _Id
    """The pipeline's name: runs and loads are recorded under it."""
    connection: str | None = None
    """The database: the name of a connection, or a DSN. Left out: BULKIO_DSN, DATABASE_URL or the PG* variables."""
    ledger: str | None = None
    """Where runs are recorded, as connection says; needed where connection is a standby. Left out: connection."""
    max_parallel: int = Field(default=4, ge=1)
    """How many steps, and items of steps, run at the same time, at most."""
    schedule: Schedule | None = None
    """When it runs by itself."""
    params: dict[str, Value] = {}
    """Names with values, for the steps' texts as {name} and their SQL as $name; --param sets others."""
    step: list[Step] = Field(min_length=1)
    """The steps."""
    _path: Path = PrivateAttr(default_factory=Path)

    @property
    def path(self) -> Path:
        """The file, an absolute path."""
        return self._path

    @property
    def folder(self) -> Path:
        """The file's folder, from which its paths go on."""
        return self._path.parent

    def read_from(self, path: Path) -> Self:
        """Say which file it was read from."""
        self._path = path
        return self
