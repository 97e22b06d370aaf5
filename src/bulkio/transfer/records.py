"""What the ledger records of a load, and in what another load is not the same. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, cast

from bulkio.show import show_option, show_value
from bulkio.sql import tables
from bulkio.transfer.report import LoadReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bulkio.protocols import Row

__all__ = ["LoadFacts", "LoadRecord", "LoadWork", "differences", "record_of"]


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """What a load's id stands for: two loads that agree in it store the same."""

    table_schema: str
    table_name: str
    mode: str
    #: files, in order: size, hash, and the name, which does not count; and the version that the user gave
    source: Mapping[str, object]
    #: options that change what is stored, if they are not the default
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class LoadWork:
    """What a run has to know that goes on with a load which another has begun."""

    #: number of chunks that the source was cut into
    chunks: int = 1
    #: what tells a plan, and a cut, into which the chunks that are stored do not fit any more
    digest: str = ""
    #: pg_class.oid of the table as the load began; 0 if it is to be created
    oid: int = 0
    #: schema and name of the table that holds the rows until the end; empty if it is the load's own
    place: tuple[str, ...] = ()
    #: True if a crash of the server empties that table
    unlogged: bool = False
    #: paths of the source's files; empty if they cannot be told, or it is no file
    paths: tuple[str, ...] = ()
    #: how its format is said: csv, or the name of one; "" if the files' names tell it
    format: str = ""
    #: options that are not among the load's facts
    options: Mapping[str, object] = field(default_factory=dict)
    #: path of the file for rejected records; "" where there is none
    rejects: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_dict(cls, found: Mapping[str, object]) -> LoadWork:
        """Return what `as_dict` has told."""
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
        return cls(**values)  # type: ignore[arg-type]  # the ledger's own words


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """A load in the ledger."""

    load_id: str
    facts: LoadFacts
    #: state of the load: done; or, of one that commits in parts, running, preparing, committing or aborting
    state: str
    started_at: datetime
    finished_at: datetime | None
    #: rows that it has stored
    rows: int | None
    report: LoadReport | None
    #: version of bulkio that has recorded it
    bulkio_version: str
    #: how a load that commits in parts is carried out; None for others
    work: LoadWork | None = None
    #: mark of the run that has begun it
    run: str = ""
    #: chunks that are stored of one that is running, and their rows
    stored_chunks: int = 0
    stored_rows: int = 0

    @property
    def table(self) -> str:
        """The table's name with its schema's."""
        return f"{self.facts.table_schema}.{self.facts.table_name}"

    @property
    def appended_rows(self) -> int:
        """Rows that a second run would add once more."""
        if self.facts.mode != "append":
            return 0
        hidden = self.work is not None and bool(self.work.place)
        return (self.rows or 0) if self.state in ("committing", "done") else 0 if hidden else self.stored_rows

    def as_dict(self) -> dict[str, object]:
        """Return what is recorded, as JSON has it."""
        times = {"started_at": self.started_at, "finished_at": self.finished_at}
        return {
            "load_id": self.load_id,
            **{each.name: getattr(self.facts, each.name) for each in fields(self.facts)},
            "state": self.state,
            **{name: None if time is None else time.isoformat() for name, time in times.items()},
            "rows": self.rows,
            "work": None if self.work is None else self.work.as_dict(),
            "stored_chunks": self.stored_chunks,
            "stored_rows": self.stored_rows,
            "report": None if self.report is None else self.report.as_dict(),
            "bulkio_version": self.bulkio_version,
        }


def record_of(row: Row) -> LoadRecord:
    """Return the record that a row of the ledger is, whose columns are texts."""
    found = dict(zip(tables.TABLES[tables.LOADS], cast("Sequence[str]", row), strict=True))
    facts = LoadFacts(
        found["table_schema"],
        found["table_name"],
        found["mode"],
        json.loads(found["source"]),
        json.loads(found["options"]),
    )
    return LoadRecord(
        found["id"],
        facts,
        found["state"],
        datetime.fromisoformat(found["started_at"]),
        None if found["finished_at"] is None else datetime.fromisoformat(found["finished_at"]),
        None if found["rows"] is None else int(found["rows"]),
        None if found["report"] is None else LoadReport.from_dict(json.loads(found["report"])),
        found["bulkio_version"],
        None if found["work"] is None else LoadWork.from_dict(json.loads(found["work"])),
        found["run"],
    )


def differences(then: LoadFacts, now: LoadFacts) -> tuple[str, ...]:
    """Say where a load differs from the recorded one, a line for each difference."""
    return tuple(_differences(then, now))


def _differences(then: LoadFacts, now: LoadFacts) -> Iterator[str]:
    for name in ("table_schema", "table_name", "mode"):
        before, after = getattr(then, name), getattr(now, name)
        if before != after:
            yield f"{name}: {show_value(before)} then, {show_value(after)} now"
    yield from _source_differences(then.source, now.source)
    for name in sorted({*then.options, *now.options}):
        before, after = (facts.options.get(name) for facts in (then, now))
        if before != after:
            yield f"{show_option(name)}: {_shown(before)} then, {_shown(after)} now"


def _source_differences(then: Mapping[str, object], now: Mapping[str, object]) -> Iterator[str]:
    if then.get("version") != now.get("version"):
        yield f"{show_option('source_version')}: {_shown(then.get('version'))} then, {_shown(now.get('version'))} now"
    before, after = (cast("list[dict[str, object]]", source.get("files") or []) for source in (then, now))
    if len(before) != len(after):
        yield f"the source: {_files(before)} then, {_files(after)} now"
        return
    for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
        if (old["bytes"], old["xxh3_128"]) != (new["bytes"], new["xxh3_128"]):
            sizes = f"{old['bytes']:,} bytes then, {new['bytes']:,} now"
            yield f"file {number}, {new['name']}: its content is different, {sizes}"


def _files(files: Sequence[object]) -> str:
    return {0: "no files", 1: "1 file"}.get(len(files), f"{len(files)} files")


def _shown(value: object) -> str:
    return "not given" if value is None else show_value(value)
