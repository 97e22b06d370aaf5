"""One table: whether it can be loaded, in which modes, and what makes that slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.errors import SchemaError
from bulkio.plan.doctor.finding import Finding, fail, ok, shown_bytes, warn
from bulkio.plan.obstacles import refuse_obstacles
from bulkio.plan.slowness import slow_notes
from bulkio.quote import quote_ident
from bulkio.show import printable, show_name, show_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bulkio.catalog import TableName, UniqueKey
    from bulkio.catalog.burdens import Burden, BurdenKind
    from bulkio.catalog.definition import Definition
    from bulkio.catalog.health.table import TableFacts

__all__ = ["no_table", "table_findings"]

#: words for each pg_class.relkind that COPY FROM can fill
_KINDS = {"r": "table", "p": "partitioned table", "f": "foreign table"}
#: dead rows that are told: so many, and such a share of all
_DEAD_ROWS, _DEAD_SHARE = 10_000, 0.2


def no_table(name: TableName, similar: TableName | None, *, may_create: bool) -> Finding:
    """Return the finding that there is no such table."""
    near = f"; did you mean {printable(str(similar))}?" if similar else ""
    if may_create:
        return ok("kind", f"{printable(str(name))} is not there: a load makes it{near}")
    text = f"{printable(str(name))} is not there, and the role may not make it{near}"
    return fail("kind", text, "CREATE TABLE it with a role that may, and GRANT SELECT, INSERT ON it")


def table_findings(
    table: TableFacts, role: str, burdens: Sequence[Burden], keys: Sequence[UniqueKey], definition: Definition | None
) -> Iterator[Finding]:
    """Judge a table; `definition` is there where another could take its place."""
    if table.kind not in _KINDS:
        yield fail("kind", f"{printable(table.name)} is no table: COPY fills none", "load the table that it reads")
        return
    yield ok("kind", f"{printable(table.name)} is a {_KINDS[table.kind]}, heap {shown_bytes(table.size_bytes)}")
    yield _rights(table, role)
    yield _policies(table, role)
    yield _burden(
        "triggers", "row triggers", burdens, ("before trigger", "after trigger"), "AFTER … STATEMENT triggers"
    )
    yield from _indexes(table, burdens)
    yield _burden("foreign_keys", "foreign keys", burdens, ("foreign key",), "NOT VALID keys, validated after the load")
    yield _keys(keys)
    yield _columns(table)
    yield _partitions(table)
    yield _truncate(table)
    yield _replace(definition)
    yield _publications(table)
    yield _logging(table)
    yield from _upkeep(table)


def _rights(table: TableFacts, role: str) -> Finding:
    lacking = ", ".join(table.lacking)
    grant = f"GRANT {lacking} ON {table.name} TO {quote_ident(role)}"
    if "INSERT" in table.lacking:
        return fail("rights", f"the role may not load it: it lacks {lacking}", grant)
    if table.lacking:
        return warn("rights", f"append only, as far as rights go: the role lacks {lacking}", grant)
    if not table.acts_as_owner:
        text = (
            f"all but {show_option('mode', 'replace')}, which needs the rights of its owner, {show_name(table.owner)}"
        )
        return ok("rights", text)
    return ok("rights", "the role has the rights of its owner")


def _policies(table: TableFacts, role: str) -> Finding:
    if table.obeys_policies:
        text = "row security holds for the role: COPY FROM is refused, and exports fail rather than hide rows"
        return fail("policies", text, f"load as the owner, or: ALTER ROLE {quote_ident(role)} BYPASSRLS")
    if table.has_row_security:
        return ok("policies", "row security is on, and does not hold for the role")
    return ok("policies", "no row security")


def _burden(check: str, what: str, burdens: Sequence[Burden], kinds: tuple[BurdenKind, ...], remedy: str) -> Finding:
    """Judge what each row goes through, by what it cost when measured."""
    found = [each for each in burdens if each.kind in kinds]
    if not found:
        return ok(check, f"no {what}")
    return warn(check, "; ".join(slow_notes(found, freezes=False)), f"if the load takes too long: {remedy}")


def _indexes(table: TableFacts, burdens: Sequence[Burden]) -> Iterator[Finding]:
    for index in table.invalid_indexes:
        text = f"index {printable(index)} is not valid: each row is put into it, and no query reads it"
        yield warn("indexes", text, f"REINDEX INDEX CONCURRENTLY {index}, or DROP INDEX {index}")
    found = [each for each in burdens if each.kind in ("index", "exclusion constraint")]
    notes = "; ".join(slow_notes(found, freezes=False)) or "no index"
    remedy = f"{show_option('defer_indexes', value=True)} for a new or empty table; drop those that no query reads"
    slow = len(found) > _MANY_INDEXES or any(each.kind != "index" for each in found)
    yield warn("indexes", notes, remedy) if slow else ok("indexes", notes)


#: indexes of a table that is not remarkable
_MANY_INDEXES = 3


def _keys(keys: Sequence[UniqueKey]) -> Finding:
    good = [f"{show_name(key.index)} ({', '.join(map(show_name, key.names))})" for key in keys if not key.fault]
    if good:
        return ok("keys", f"upserts go by {' or '.join(good)}")
    faults = "".join(f"; {show_name(key.index)} {key.fault}" for key in keys)
    modes = f"{show_option('mode', 'upsert')} and insert-new are not possible"
    return warn("keys", f"no unique key, so {modes}{faults}", "ALTER TABLE … ADD PRIMARY KEY (…), if rows have one")


def _columns(table: TableFacts) -> Finding:
    parts = [f"{', '.join(map(show_name, table.generated))}: generated, a source need not have it"] * bool(
        table.generated
    )
    if table.identities:
        names = ", ".join(map(show_name, table.identities))
        parts.append(f"{names}: GENERATED ALWAYS AS IDENTITY, which COPY fills all the same where the source has it")
    return ok("columns", "; ".join(parts) or "no column is generated")


def _partitions(table: TableFacts) -> Finding:
    if table.kind != "p":
        return ok("partitions", "a partition itself" if table.is_partition else "not partitioned")
    if not table.partitions:
        return fail("partitions", "it has no partition: each row is refused", "CREATE TABLE … PARTITION OF it")
    default = "one takes what fits no other" if table.has_default_partition else "a row that fits none is refused"
    return ok("partitions", f"{table.partitions} partitions; {default}")


def _truncate(table: TableFacts) -> Finding:
    if not table.referenced_by:
        freezes = "; its rows are frozen as they are stored (COPY FREEZE)" if table.kind == "r" else ""
        return ok("truncate", f"{show_option('mode', 'truncate')} can empty it{freezes}")
    names = printable(", ".join(table.referenced_by))
    text = f"foreign keys of {names} refer to it: {show_option('mode', 'truncate')} is refused"
    upsert = f"{show_option('mode', 'upsert')} with {show_option('delete_missing')}"
    return warn("truncate", text, f"{upsert} makes its rows those of the source")


def _replace(definition: Definition | None) -> Finding:
    if definition is None:
        return ok("replace", f"{show_option('mode', 'replace')} is for plain tables")
    try:
        refuse_obstacles(definition, definition.columns)
    except SchemaError as error:
        first, *obstacles, advice = str(error).split("\n")
        what = first.removeprefix("table ").removesuffix(":")
        return warn("replace", f"{what}: {'; '.join(each.strip() for each in obstacles)}", advice)
    return ok("replace", "a replace carries all over that it has")


def _publications(table: TableFacts) -> Finding:
    names = ", ".join(map(show_name, table.publications))
    if table.publications and not table.has_replica_identity:
        text = f"publication {names} sends its changes, and nothing identifies a row: UPDATE and DELETE are refused"
        remedy = f"ALTER TABLE {table.name} REPLICA IDENTITY FULL, or let it have a primary key"
        return warn("publications", text, remedy)
    return ok("publications", f"publication {names} sends its changes" if names else "no publication sends it")


def _logging(table: TableFacts) -> Finding:
    if not table.unlogged:
        return ok("logging", "what is committed outlives a crash")
    text = "it is unlogged: loads are fast, and a crash of the server empties it"
    return warn("logging", text, f"ALTER TABLE {table.name} SET LOGGED")


def _upkeep(table: TableFacts) -> Iterator[Finding]:
    if table.never_analyzed:
        text = "it was never analyzed: the planner guesses how many rows it has"
        yield warn("statistics", text, f"ANALYZE {table.name}")
    elif table.kind == "r":
        yield ok("statistics", f"about {table.live_rows:,} rows")
    else:
        yield ok("statistics", f"not looked at for a {_KINDS[table.kind]}")
    text = f"{table.dead_rows:,} dead rows"
    if table.dead_rows >= _DEAD_ROWS and table.dead_rows > _DEAD_SHARE * table.live_rows:
        yield warn("dead_rows", f"{text} beside {table.live_rows:,}: scans read them too", f"VACUUM {table.name}")
    else:
        yield ok("dead_rows", text)
    if table.no_autovacuum:
        text = "autovacuum is off for it: what upserts replace is never cleared away"
        yield warn("table_autovacuum", text, f"ALTER TABLE {table.name} RESET (autovacuum_enabled)")
    else:
        yield ok("table_autovacuum", "autovacuum is not turned off for it")
