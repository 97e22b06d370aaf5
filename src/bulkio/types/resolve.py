"""Types that a database has made itself, resolved to trees of types that have a codec.

Pure: takes what `bulkio.catalog` has read from pg_type and its neighbours. A type that cannot be resolved, in any of
its parts, travels as text which the server writes and parses (`SERVER_TEXT`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bulkio.types.pgtypes import ARRAY, EXTENSION_CODECS, SERVER_TEXT, PgType, base_type, known_type

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TypeFacts", "resolve_type"]


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """One row of pg_type, with what belongs to it in pg_enum, pg_attribute, pg_range and pg_extension."""

    oid: int
    schema: str
    name: str
    #: pg_type.typtype: b base, c composite, d domain, e enum, m multirange, p pseudo, r range
    kind: str
    array_oid: int
    #: an array's element, a range's subtype, a multirange's range, a domain's base; 0 for none
    element_oid: int
    #: typmod of a domain
    typmod: int
    #: the extension that it belongs to
    extension: str | None
    is_array: bool
    labels: tuple[str, ...]
    #: columns of a composite: name, type's oid, typmod
    fields: tuple[tuple[str, int, int], ...]
    #: decimal places of money
    money_scale: int
    #: delimiter of the elements in the text of its arrays
    delimiter: str
    #: constraints of a domain itself: NOT NULL; a CHECK or a DEFAULT
    domain_not_null: bool
    domain_has_more: bool


def resolve_type(oid: int, typmod: int, facts: Mapping[int, TypeFacts]) -> PgType:
    """Resolve a type; where any part of it has no codec, the whole travels as text."""
    return _resolve(oid, typmod, facts, ()) or _as_text(oid, typmod, facts, ())


def _as_text(oid: int, typmod: int, facts: Mapping[int, TypeFacts], above: tuple[int, ...]) -> PgType:
    """Make a type of server text; an array's element, a composite's columns, a domain's base are known all the same."""
    fact = facts.get(oid)
    if fact is None:
        return PgType(f"oid {oid}", oid, 0, SERVER_TEXT, "", typmod)
    if fact.kind == "p":  # record, void, anyarray: what a query gives, and no column can have
        return replace(base_type("text"), codec=SERVER_TEXT)
    named = _named(fact, SERVER_TEXT, typmod)
    parts = {part for _, part, _ in fact.fields} | {fact.element_oid}
    above = (*above, oid)
    if parts & {*above}:  # a type that contains itself
        return named

    def part(oid: int, typmod: int) -> PgType:
        return _resolve(oid, typmod, facts, ()) or _as_text(oid, typmod, facts, above)

    if fact.is_array:
        return replace(named, element=part(fact.element_oid, -1))
    if fact.kind == "d":
        # not made anew by a load, which cannot spell the base's typmod
        return replace(_domain_over(part(fact.element_oid, fact.typmod), fact), typmod=-1, domain_has_more=True)
    return replace(named, fields=tuple((name, part(oid, typmod)) for name, oid, typmod in fact.fields))


def _resolve(oid: int, typmod: int, facts: Mapping[int, TypeFacts], above: tuple[int, ...]) -> PgType | None:
    fact = facts.get(oid)
    base = known_type(oid, typmod)
    if base is not None:
        return base if fact is None else _with_money_scale(base, fact.money_scale)
    if fact is None or oid in above:  # unknown, or a type that contains itself
        return None
    above = (*above, oid)
    if fact.is_array:
        return _array(fact, typmod, facts, above)
    return {"c": _composite, "d": _domain, "e": _enum, "r": _range, "m": _range}.get(fact.kind, _extension)(
        fact, typmod, facts, above
    )


def _with_money_scale(base: PgType, scale: int) -> PgType:
    """Set the decimal places of money, or of an array of it."""
    if base.element is not None:
        return replace(base, element=_with_money_scale(base.element, scale))
    return replace(base, money_scale=scale) if base.codec == "money" else base


def _named(fact: TypeFacts, codec: str, typmod: int) -> PgType:
    return PgType(
        fact.name,
        fact.oid,
        fact.array_oid,
        codec,
        fact.schema,
        typmod,
        extension=fact.extension or "",
        delimiter=fact.delimiter,
    )


def _array(fact: TypeFacts, typmod: int, facts: Mapping[int, TypeFacts], above: tuple[int, ...]) -> PgType | None:
    element = _resolve(fact.element_oid, -1, facts, above)
    if element is None:
        return None
    return replace(_named(fact, ARRAY, typmod), element=element)


def _domain(fact: TypeFacts, _: int, facts: Mapping[int, TypeFacts], above: tuple[int, ...]) -> PgType | None:
    inner = _resolve(fact.element_oid, fact.typmod, facts, above)
    return None if inner is None else _domain_over(inner, fact)


def _domain_over(inner: PgType, fact: TypeFacts) -> PgType:
    return replace(
        inner,
        name=fact.name,
        oid=fact.oid,
        array_oid=fact.array_oid,
        schema=fact.schema,
        extension=fact.extension or "",
        domain_of=inner,
        domain_not_null=fact.domain_not_null,
        domain_has_more=fact.domain_has_more,
    )


def _composite(fact: TypeFacts, typmod: int, facts: Mapping[int, TypeFacts], above: tuple[int, ...]) -> PgType | None:
    fields = []
    for name, oid, field_typmod in fact.fields:
        field = _resolve(oid, field_typmod, facts, above)
        if field is None:
            return None
        fields.append((name, field))
    return replace(_named(fact, "composite", typmod), fields=tuple(fields))


def _enum(fact: TypeFacts, typmod: int, _: Mapping[int, TypeFacts], __: tuple[int, ...]) -> PgType:
    return replace(_named(fact, "enum", typmod), labels=fact.labels)


def _range(fact: TypeFacts, typmod: int, facts: Mapping[int, TypeFacts], above: tuple[int, ...]) -> PgType | None:
    element = _resolve(fact.element_oid, -1, facts, above)
    if element is None:
        return None
    return replace(_named(fact, "range" if fact.kind == "r" else "multirange", typmod), element=element)


def _extension(fact: TypeFacts, typmod: int, _: Mapping[int, TypeFacts], __: tuple[int, ...]) -> PgType | None:
    codec = EXTENSION_CODECS.get((fact.extension or "", fact.name))
    return _named(fact, codec, typmod) if codec is not None else None
