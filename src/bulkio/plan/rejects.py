"""What a load with rejects cannot do, and what a plan says of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.errors import SchemaError
from bulkio.show import printable, show_name, show_option

if TYPE_CHECKING:
    from bulkio.catalog.sharing import SharingFacts
    from bulkio.options import LoadRequest

__all__ = ["reject_lines", "reject_notes", "rejecting_chunks"]

#: savepoints that a transaction releases, at most: of 64 and more, every other session has to look up on disk what is
#: committed (PostgreSQL docs, "Subtransactions")
_MOST_SAVEPOINTS = 60
#: bytes of files in a chunk, at least: each has a COPY of its own, and a savepoint
_LEAST_BYTES = 4 << 20


def reject_lines(request: LoadRequest) -> list[str]:
    """Show where rejected records go, and how many there may be."""
    if request.rejects is None:
        return []
    of_all = " of all" if str(request.max_rejects).endswith("%") else ""
    most = f"at most {request.max_rejects}{of_all} ({show_option('max_rejects')}), or the load fails"
    return [f"records that cannot be stored go to {printable(request.rejects)}: {most}"]


def reject_notes(request: LoadRequest, facts: SharingFacts | None, table: str) -> tuple[str, ...]:
    """Say what the table's rows may be rejected for that a load without rejects would store.

    Raises:
        SchemaError: nobody can tell which of the table's rows are refused.
    """
    if request.rejects is None or facts is None:
        return ()
    if facts.is_foreign:
        raise SchemaError(
            f"{table}, or a partition of it, is a foreign table, which {show_option('rejects')} cannot load: what"
            " another server has stored may not come back when a savepoint is rolled back"
        )
    if not facts.self_reference:
        return ()
    key = printable(show_name(facts.self_reference))
    return (
        f"by foreign key {key} rows may refer to others of the table: where any row is rejected, so may be one that"
        " comes before the row that it refers to; the second try stores it, once the bad ones are mended",
    )


def rejecting_chunks(size_bytes: int | None, workers: int) -> int:
    """Return into how many chunks a source of so many bytes is to be cut whose rows may be rejected.

    Each is stored behind a savepoint: as many as so many connections may have in one transaction each.

    >>> rejecting_chunks(100 << 20, 1), rejecting_chunks(1 << 40, 1), rejecting_chunks(1 << 40, 2)
    (25, 60, 120)
    """
    if size_bytes is None:
        return 1
    return max(1, min(_MOST_SAVEPOINTS * workers, -(-size_bytes // _LEAST_BYTES)))
