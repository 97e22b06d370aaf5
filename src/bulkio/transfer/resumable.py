"""What the ledger keeps of a load, so that a run which knows nothing but its id can go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bulkio.files import CsvFile, FileSource
from bulkio.options import LoadRequest, fields_of
from bulkio.show import printable

if TYPE_CHECKING:
    from bulkio.protocols import Source

__all__ = ["rejects_path", "resume_facts"]

#: options that are not among a load's facts, and that another run takes over; never a DSN or a password
_OPTIONS = (
    "max_delete",
    "if_empty",
    "method",
    "batch_rows",
    "block_bytes",
    "workers",
    "commit",
    "chunk_bytes",
    "unlogged",
    "defer_indexes",
    "max_rejects",
)


def resume_facts(request: LoadRequest, source: Source) -> dict[str, Any]:
    """Return what a `LoadWork` has for a run that knows nothing but the load's id."""
    defaults = {each.name: each.default for each in fields_of(LoadRequest)}
    values = {name: getattr(request, name) for name in _OPTIONS}
    given = {name: value for name, value in values.items() if value != defaults[name]}
    fmt = "csv" if isinstance(request.source, CsvFile) else getattr(request.source, "format", "")
    paths = source.paths if isinstance(source, FileSource) and source.has_files else ()
    rejects = rejects_path(request)
    if any(printable(path) != path for path in (*paths, rejects)):
        paths = ()  # JSON and the database may not hold the name as it is
    return {
        "paths": paths,
        "format": fmt if isinstance(fmt, str) else "",
        "options": given,
        "rejects": rejects,
    }


def rejects_path(request: LoadRequest) -> str:
    """Return the absolute path of the file for rejected records, "" where there is none.

    What is no text in it is escaped: the ledger tells by it whether two runs mean the same file.
    """
    if request.rejects is None:
        return ""
    return str(Path(request.rejects).absolute()).encode(errors="backslashreplace").decode()
