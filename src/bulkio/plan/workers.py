"""Which connections share a load, and how. Pure.

Only one connection can do what belongs into one transaction. Where all rows or none are asked for it then does the
whole load, and the report says why; where each chunk was to commit for itself, that is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.choices import byte_count, number_of_workers
from bulkio.errors import ConfigError
from bulkio.plan.modes import MODES
from bulkio.plan.rejects import rejecting_chunks
from bulkio.plan.sharing import ONE, Sharing
from bulkio.show import printable, show_name, show_option

if TYPE_CHECKING:
    from bulkio.catalog.sharing import SharingFacts
    from bulkio.options import LoadRequest
    from bulkio.plan.loads import LoadPlan

__all__ = ["plan_sharing", "wanted_chunks", "wants_sharing", "why_in_order", "why_one"]

#: bytes of files below which a chunk does not pay, unless it was asked for
_LEAST_BYTES = 1 << 20
#: chunks for each worker, at least, so that none is idle for long while the last one works
_CHUNKS_A_WORKER = 8
#: bytes of files for each worker that auto takes: a smaller load is over before a second one has begun
_AUTO_BYTES = 32 << 20
#: workers that auto takes for a table with a unique key, whose index they wait for
_AUTO_UNIQUE = 2


def wants_sharing(request: LoadRequest) -> bool:
    """Tell whether a load asks for more than one transaction on one connection."""
    return number_of_workers("workers", request.workers) != 1 or request.commit == "chunk"


def wanted_chunks(request: LoadRequest, size_bytes: int | None, processors: int) -> int:
    """Return into how many chunks a source of so many bytes is to be cut."""
    if size_bytes is None:
        return 1
    workers = number_of_workers("workers", request.workers) or processors
    if request.rejects is not None and request.commit == "all":
        return rejecting_chunks(size_bytes, workers)
    by_size = -(-size_bytes // byte_count("chunk_bytes", request.chunk_bytes))
    for_workers = min(_CHUNKS_A_WORKER * workers, size_bytes // _LEAST_BYTES) if workers > 1 else 1
    return max(1, by_size, for_workers)


def plan_sharing(
    request: LoadRequest, plan: LoadPlan, facts: SharingFacts, *, chunks: int, size_bytes: int | None, processors: int
) -> Sharing:
    """Decide how a load is shared, whose source can be cut into so many chunks.

    Raises:
        ConfigError: each chunk was to commit for itself, and cannot.
    """
    workers = _workers(request, facts, size_bytes, processors)
    appends = request.mode == "append" and not plan.creates
    if request.commit == "chunk":
        if why := _why_no_chunks(request, plan, facts) or why_one(request, plan, facts):
            raise ConfigError(f"{show_option('commit', 'chunk')} cannot be had here: {why}")
        in_order = why_in_order(request, plan, facts) if workers > 1 else ""
        return Sharing(
            "chunks", 1 if in_order else max(1, min(workers, chunks)), why_one=in_order, is_hidden=not appends
        )
    if workers == 1:
        is_auto = number_of_workers("workers", request.workers) is None
        return Sharing(why_one=_why_auto_takes_one(size_bytes)) if is_auto else ONE
    why = why_one(request, plan, facts) or ("the source is read in one piece" if chunks == 1 else "")
    why = why or why_in_order(request, plan, facts)
    if not why and appends:
        why = _why_not_prepared(facts, min(workers, chunks))
    if why:
        return Sharing(why_one=why)
    return Sharing("two-phase" if appends else "chunks", min(workers, chunks), is_hidden=not appends)


def _workers(request: LoadRequest, facts: SharingFacts, size_bytes: int | None, processors: int) -> int:
    asked = number_of_workers("workers", request.workers)
    if asked is not None:
        return asked
    most = min(processors, _AUTO_UNIQUE) if facts.has_unique else processors
    return max(1, min(most, (size_bytes or 0) // _AUTO_BYTES))


def _why_auto_takes_one(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "auto goes by the bytes of files, and the source is none"
    if size_bytes < 2 * _AUTO_BYTES:
        return f"a second one does not pay for less than {2 * _AUTO_BYTES >> 20} MiB of files"
    return "the client has one processor"


def why_one(request: LoadRequest, plan: LoadPlan, facts: SharingFacts) -> str:
    """Say what of a load belongs into one transaction; "" for nothing."""
    rule = MODES[request.mode]
    if around := [*plan.around.before, *plan.around.after, *plan.around.check]:
        return f"{show_option(around[0].option)} runs in the load's own transaction"
    if rule.truncates:
        return "TRUNCATE and the rows belong into one transaction"
    if plan.types_ddl:
        return "the table's types are made in the load's own transaction"
    if plan.ddl and not plan.creates:
        return "the columns are added in the load's own transaction"
    if plan.rebuild is not None:
        return "the indexes are built again in the load's own transaction"
    if plan.creates and (rule.by_key or request.where is not None):
        return f"the table does not exist yet: create it first, or use {show_option('mode', 'create')}"
    if plan.new_table is not None and (serial := plan.new_table.serial_column):
        return f"column {show_name(serial)} is serial: its sequence is made together with the table"
    if facts.is_foreign:
        return "the table, or a partition of it, is a foreign one"
    appends = request.mode == "append" and not plan.creates
    if appends and facts.self_reference:
        key = printable(show_name(facts.self_reference))
        return f"by foreign key {key} rows may refer to rows that another connection stores"
    if not appends and facts.publication:
        name = printable(show_name(facts.publication))
        return f"publication {name} would publish the table where the rows are until all are there"
    if not facts.may_create and not appends:
        schema = show_name(plan.schema)
        return f"the role may not create a table in schema {schema}, where the rows would be until all are there"
    return ""


def why_in_order(request: LoadRequest, plan: LoadPlan, facts: SharingFacts) -> str:
    """Say why the rows of a load with rejects are stored one after the other; "" where they need not be.

    Of two rows that exclude each other, two connections would each wait for the other's end, or one of them lose by
    chance. What a trigger reads or writes may be of other rows. Rows that are staged meet each other in the end only,
    in one transaction.
    """
    if request.rejects is None or plan.work.merge is not None or plan.work.insert is not None:
        return ""
    key = facts.has_unique if plan.new_table is None else bool(plan.new_table.primary_key)
    if key:
        return "by a unique key, which of two rows is rejected goes by their order"
    if request.mode == "append" and plan.new_table is None and facts.trigger:
        name = printable(show_name(facts.trigger))
        return f"trigger {name} may refuse a row for another one, so which is rejected goes by their order"
    return ""


def _why_no_chunks(request: LoadRequest, plan: LoadPlan, facts: SharingFacts) -> str:
    if request.where is not None:
        return f"{show_option('mode', 'replace-where')} deletes and stores in one transaction"
    if request.unlogged:
        return f"a crash empties what is {show_option('unlogged', value=True)}, so that nothing could go on"
    if request.mode == "append" and not plan.creates and facts.is_unlogged:
        return "the table is unlogged: a crash would empty it, and the ledger would not know"
    return ""


def _why_not_prepared(facts: SharingFacts, workers: int) -> str:
    if facts.max_prepared == 0:
        return "the server's max_prepared_transactions is 0"
    if facts.max_prepared - facts.prepared < workers:
        return (
            f"{facts.prepared} of the server's {facts.max_prepared} prepared transactions (max_prepared_transactions)"
            f" are in use, and {workers} are needed"
        )
    if facts.trigger:
        return f"trigger {printable(show_name(facts.trigger))} may do what cannot be prepared, such as NOTIFY"
    return ""
