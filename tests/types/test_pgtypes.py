"""PostgreSQL's types: names, oids, typmods and how DDL spells them."""

from __future__ import annotations

import pytest

from bulkio.types import ARRAY, BASE_TYPES, TypeFacts, array_of, base_type, known_type, named_type, resolve_type


def numeric_typmod(precision: int, scale: int) -> int:
    """Pack numeric(p, s) as pg_attribute has it."""
    return ((precision << 16) | (scale & 0x7FF)) + 4


def test_no_name_and_no_oid_stands_twice():
    """Names, oids and the oids of arrays are all different."""
    assert len({t.name for t in BASE_TYPES}) == len(BASE_TYPES)
    oids = [oid for t in BASE_TYPES for oid in (t.oid, t.array_oid)]
    assert len(set(oids)) == len(oids)


@pytest.mark.parametrize(
    ("precision", "scale"),
    [(1, 0), (10, 2), (38, 38), (1000, 0), (1000, 1000), (3, 5), (5, -2), (1000, -1000), (2, -1), (1, 1000)],
)
def test_numeric_typmod_is_unpacked(precision, scale):
    """Precision and scale come out of the typmod, also negative scales and those above the precision."""
    pg = base_type("numeric", numeric_typmod(precision, scale))
    assert (pg.precision, pg.scale) == (precision, scale)
    assert pg.sql == f"numeric({precision},{scale})"
    assert array_of(pg).sql == f"numeric({precision},{scale})[]"


def test_numeric_without_typmod():
    """Plain numeric has no precision, its scale is 0, and DDL gives none."""
    pg = base_type("numeric")
    assert (pg.precision, pg.scale, pg.sql) == (None, 0, "numeric")


def test_only_numeric_has_a_precision():
    """Another type's typmod is not read as a precision."""
    assert base_type("timestamp", 3).precision is None
    assert base_type("varchar", 70000).precision is None


@pytest.mark.parametrize(
    ("name", "typmod", "chars", "sql"),
    [
        ("varchar", 14, 10, "varchar(10)"),
        ("bpchar", 5, 1, "char(1)"),
        ("varchar", -1, None, "varchar"),
        ("bpchar", -1, None, "bpchar"),
        ("text", -1, None, "text"),
        ("name", -1, None, "name"),
    ],
)
def test_length_of_characters(name, typmod, chars, sql):
    """The n of varchar(n) and char(n) comes out of the typmod; char without n is spelled bpchar, not char(1)."""
    pg = base_type(name, typmod)
    assert (pg.max_chars, pg.sql) == (chars, sql)
    assert array_of(pg).sql == sql + "[]"


@pytest.mark.parametrize("name", ["time", "timestamp", "timestamptz"])
@pytest.mark.parametrize(("typmod", "suffix"), [(-1, ""), (0, "(0)"), (3, "(3)"), (6, "(6)")])
def test_decimal_places_of_seconds(name, typmod, suffix):
    """The p of time(p) and timestamp(p) is the typmod itself."""
    assert base_type(name, typmod).sql == name + suffix
    assert array_of(base_type(name, typmod)).sql == name + suffix + "[]"


def test_arrays_carry_their_elements_typmod():
    """An array's typmod is its elements'; the element itself has none, as in pg_attribute."""
    pg = array_of(base_type("varchar", 14))
    assert (pg.codec, pg.oid, pg.typmod) == (ARRAY, 1015, 14)
    assert pg.element is not None
    assert (pg.element.name, pg.element.typmod) == ("varchar", -1)


@pytest.mark.parametrize("pg", BASE_TYPES, ids=lambda pg: pg.name)
def test_types_are_found_by_oid_and_by_name(pg):
    """Each type and its array are found by oid and by pg_type's name, with the typmod that is given."""
    assert known_type(pg.oid) == named_type(pg.name) == base_type(pg.name) == pg
    assert known_type(pg.array_oid) == named_type("_" + pg.name) == array_of(pg)
    assert known_type(pg.oid, 7) == named_type(pg.name, 7) == base_type(pg.name, 7)
    assert known_type(pg.array_oid, 7) == named_type("_" + pg.name, 7)


def test_unknown_types_are_none():
    """An unknown oid or name gives None, an unknown name in base_type a KeyError."""
    assert known_type(603) is None
    assert known_type(0) is None
    assert named_type("box") is None
    assert named_type("_box") is None
    assert named_type("") is None
    assert named_type("_") is None
    with pytest.raises(KeyError):
        base_type("box")


@pytest.mark.parametrize(
    ("typmod", "sql"),
    [
        (-1, "interval"),
        (0x7FFF0003, "interval(3)"),
        (0x0008FFFF, "interval day"),
        (0x1C08_0000 | 2, "interval day to second(2)"),
        (0x0006FFFF, "interval year to month"),
    ],
)
def test_interval_typmods_are_spelled(typmod, sql):
    """As format_type of PostgreSQL 15 spells them (`select format_type(1186, typmod)`)."""
    assert base_type("interval", typmod).sql == sql


def test_money_has_the_servers_decimal_places():
    """In arrays, too."""
    more = (-1, None, False, (), (), 0, ",", False, False)
    facts = {
        oid: TypeFacts(oid, "pg_catalog", name, "b", 0, 0, *more) for oid, name in ((790, "money"), (791, "_money"))
    }
    assert resolve_type(790, -1, facts).money_scale == 0
    assert resolve_type(791, -1, facts).item.money_scale == 0


def test_a_domain_over_a_type_without_codec_shows_its_base():
    """So its text is checked by the base's rules; it is not recorded as what a load could make."""
    more = (None, False, (), (), 2, ",", False, False)
    facts = {
        18: TypeFacts(18, "pg_catalog", "char", "b", 1002, 0, -1, *more),
        90: TypeFacts(90, "public", "letter", "d", 0, 18, -1, *more),
    }
    letter = resolve_type(90, -1, facts)
    assert (letter.codec, letter.name, letter.base_name, letter.domain_has_more) == (
        "server_text",
        "letter",
        "char",
        True,
    )
