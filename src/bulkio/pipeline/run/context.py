"""What all steps of one run share: the file, the run's id and names, and where each step connects."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import blake2b
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from bulkio import aio
from bulkio.errors import ConfigError
from bulkio.options import Param, param_text
from bulkio.pipeline.spec.names import fill_text, unknown_name
from bulkio.pipeline.spec.texts import filled
from bulkio.show import printable, show_flag, show_name, show_option, show_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bulkio.options.pipelines import RunRequest
    from bulkio.pipeline.spec.models import Spec, Step

__all__ = ["RunContext", "Task", "context_of", "items_of", "shown_items"]

#: a connection's name, as a pipeline may write it: a DSN has other characters in it
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
#: most characters of a load's id
_ID_CHARS = 200


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run's file, names and options."""

    spec: Spec
    request: RunRequest
    run_id: str
    #: time of its tick, or of its beginning
    logical_time: datetime
    #: values of the names that all steps have
    values: Mapping[str, Param]

    @property
    def name(self) -> str:
        """The run's name, pipeline/run."""
        return f"{self.spec.name}/{self.run_id}"

    def connection(self, named: str | None) -> dict[str, Any]:
        """Return the options of a connection; where a step has none of its own, the request's or the pipeline's."""
        request = self.request
        if named is None and request.dsn is not None:
            chosen, password = request.dsn, request.password
            dsn, own = aio.named_dsn(chosen, self.spec.folder)
            return {"dsn": dsn, "password": password or own, "driver": request.driver}
        dsn, own = aio.named_dsn(_as_dsn(named or self.spec.connection), self.spec.folder)
        return {"dsn": dsn, "password": own or (request.password if dsn is None else None), "driver": request.driver}

    @property
    def resume_command(self) -> str:
        """The command that goes on with the run, for a shell; without the database where that is a DSN.

        A DSN may have a password in it. A name may be one of the bulkio.toml beside the pipeline.
        """
        command = f"bulkio runs resume {quote(self.name)}"
        dsn = _as_dsn(self.spec.ledger or self.request.dsn or self.spec.connection)
        if dsn is None or not _NAME.fullmatch(dsn.removeprefix("@")):
            return command
        is_beside = (self.spec.folder / "bulkio.toml").exists() and Path.cwd() != self.spec.folder
        folder = quote(printable(str(self.spec.folder)))
        command = f"{command} {show_flag('dsn')} {dsn}"
        return f"cd {folder} && {command}" if is_beside else command

    def path(self, text: str) -> str:
        """Return a path as it is from the pipeline's folder on; addresses stay as they are."""
        return text if "://" in text else str(self.spec.folder / text)


@dataclass(frozen=True, slots=True)
class Task:
    """A step, with one item of its `for_each`, filled in for one run."""

    run: RunContext
    step: Step
    #: text of the item, which names it; "" if there is none
    item: str = ""
    #: values of the item, and of whatever else only this task has
    own: Mapping[str, Param] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.step.id}[{self.item}]" if self.item else self.step.id

    @property
    def values(self) -> Mapping[str, Param]:
        """The values of all names in its texts."""
        return {**self.run.values, "step": self.step.id, **self.own}

    @property
    def load_id(self) -> str:
        """The id of what it loads or changes: it names pipeline, run, step and item, never the attempt.

        Of these only the item may have slashes, so that no two tasks have the same.
        """
        run_id = self.run.run_id.replace("%", "%25").replace("/", "%2F")
        text = "/".join(filter(None, (self.run.spec.name, run_id, self.step.id, self.item)))
        if len(text) <= _ID_CHARS and text.isprintable():
            return text
        printable = "".join(char for char in text if char.isprintable())[: _ID_CHARS - 17]
        return f"{printable}-{blake2b(text.encode(), digest_size=8).hexdigest()}"

    def keys(self) -> dict[str, Any]:
        """Return the step's keys, with their texts filled in. Raises `ConfigError`."""
        return filled(self.step, self.values)

    @property
    def connection(self) -> dict[str, Any]:
        """The options of its connection."""
        return self.run.connection(self.step.connection)

    @property
    def progress(self) -> Callable[[object], None] | None:
        """The function that is told how far it is."""
        tell = self.run.request.progress
        return None if tell is None else lambda progress: tell(self.name, progress)


def _as_dsn(connection: str | None) -> str | None:
    is_name = connection is not None and connection != "embedded" and _NAME.fullmatch(connection)
    return f"@{connection}" if is_name else connection


def context_of(spec: Spec, request: RunRequest, now: datetime) -> RunContext:
    """Work out the run's id, its dates and its parameters; `now` is a time with a zone.

    Raises:
        ConfigError: a parameter is not the pipeline's, or the date is not one.
    """
    if spec.schedule is None:
        time = _time(request.logical_date, now)
    else:
        zone = ZoneInfo(spec.schedule.timezone)
        time = _time(request.logical_date, now.astimezone(zone)).astimezone(zone)
    run_id = request.run_id or f"{now:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"{now:%z}"
    values: dict[str, Param] = {
        "pipeline": spec.name,
        "run": run_id,
        "logical_date": time.date(),
        "logical_time": time,
    }
    said = {**(request.params or {})}
    for name in said:
        if name not in spec.params:
            raise unknown_name(f"{show_option('params')} {show_name(name)}", name, spec.params)
    for name, default in spec.params.items():
        value = said.get(name, default)
        try:
            values[name] = fill_text(value, values) if isinstance(value, str) and name not in said else value
        except ConfigError as error:
            raise ConfigError(f"{spec.path}: key {show_name(f'params.{name}')}: {error}") from None
    return RunContext(spec, request, run_id, time, values)


def _time(said: str | date | datetime | None, now: datetime) -> datetime:
    """Return the run's time: midnight of a date, in the zone of `now` where it has none."""
    if isinstance(said, str):
        try:
            said = datetime.fromisoformat(said)
        except ValueError:
            raise ConfigError(
                f"{show_option('logical_date')} is {show_value(said)}, and must be a date or a time, such as 2026-11-26"
            ) from None
    if said is None:
        return now
    if not isinstance(said, datetime):
        said = datetime(said.year, said.month, said.day)
    return said if said.tzinfo is not None else said.replace(tzinfo=now.tzinfo)


def items_of(run: RunContext, step: Step) -> tuple[Task, ...]:
    """Return the tasks of a step: one, or one for each item. Raises `ConfigError`."""
    names_here = {**run.values, "step": step.id}
    match step.for_each:
        case None:
            return (Task(run, step),)
        case str(pattern):
            names = _files(step, fill_text(pattern, names_here), run.spec.folder)
            found: list[tuple[str, Param]] = [(name, name) for name in names]
        case list(items):
            values = [fill_text(each, names_here) if isinstance(each, str) else each for each in items]
            found = [(param_text(each) or "", each) for each in values]
    counts = Counter(name for name, _ in found)
    if doubled := next((name for name, count in counts.items() if count > 1), None):
        raise ConfigError(f"step {show_name(step.id)}: for_each has {show_value(doubled)} twice")
    tasks = tuple(Task(run, step, name, {"item": value}) for name, value in found)
    _refuse_same_file(step, tasks)
    return tasks


def _refuse_same_file(step: Step, tasks: Sequence[Task]) -> None:
    """Refuse items of which a format leaves the same name of a file."""
    to = getattr(step, "to", None)
    files = Counter(fill_text(to, task.values) for task in tasks) if to is not None else {}
    if doubled := next((file for file, count in files.items() if count > 1), None):
        raise ConfigError(f"step {show_name(step.id)}: several items would write {show_value(doubled)}")


def _files(step: Step, pattern: str, folder: Path) -> list[str]:
    """Return the files that a pattern means, in order, as seen from the folder. Raises `ConfigError`."""
    where = f"step {show_name(step.id)}: for_each"
    if "://" in pattern:
        raise ConfigError(
            f"{where} has a pattern of files on this machine, and {show_value(pattern)} is none: list the files, or"
            " have them all in one load"
        )
    root = Path(Path(pattern).anchor) if Path(pattern).is_absolute() else folder
    try:
        paths = sorted(root.glob(str(Path(pattern).relative_to(root)) if Path(pattern).is_absolute() else pattern))
    except (ValueError, IndexError, NotImplementedError):  # pathlib's words for a text that means no file
        raise ConfigError(f"{where}: {show_value(pattern)} is not a pattern of files, such as in/*.csv") from None
    names = [_shown(path, folder) for path in paths]
    for name in names:
        if not _is_utf8(name):
            raise ConfigError(f"{where} finds {show_value(name)}, whose name is not UTF-8: rename it")
    return names


def _is_utf8(name: str) -> bool:
    """Tell whether a file's name is text: Python has the bytes of others as surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def shown_items(run: RunContext, step: Step) -> str:
    """Say that a step has no item."""
    if isinstance(step.for_each, str):
        return f"no file matches {show_value(fill_text(step.for_each, {**run.values, 'step': step.id}))}"
    return "its for_each has no item"
