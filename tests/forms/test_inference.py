"""A type is inferred only where it prints every value as it stands; the servers say what is printed."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from bulkio.forms.inference import Inference
from bulkio.forms.rewriting import Rewriter
from bulkio.forms.spellings import ALL, TYPES, spellings
from bulkio.protocols import Spelling


def inferred(*values: str | None, spelling: Spelling | None = None) -> str:
    """Return the type of one column."""
    inference = Inference(("c",), spelling)
    for value in values:  # one batch each: they add up
        inference.feed(pa.record_batch([pa.array([value], pa.string())], ["c"]))
    together = Inference(("c",), spelling)
    together.feed(pa.record_batch([pa.array([None, *values], pa.string()).slice(1)], ["c"]))
    assert inference.types() == together.types()
    return inference.types()["c"]


@pytest.mark.parametrize(
    ("wanted", "columns"),
    [
        ("boolean", [["true", "false"], ["t", "f", None], ["f"]]),
        ("bigint", [["0", "-1", None], ["9223372036854775807", "-9223372036854775808"], ["7"]]),
        (
            "numeric",
            [["1.50", "2"], ["0.00"], ["9223372036854775808"], ["-9223372036854775809"], ["-0.1"], ["1" * 131072]],
        ),
        ("numeric", [["0." + "1" * 16383]]),
        ("date", [["2025-12-31", None], ["2024-02-29"], ["2000-02-29"], ["0001-01-01", "9999-12-31"]]),
        ("timestamp", [["2025-12-31 23:59:59", "2025-12-31 00:00:00.000001"], ["2025-12-31 12:00:00.5"]]),
        ("uuid", [["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]]),
        (
            "text",
            [[None], [], [""], ["1", ""], ["00123"], ["1e400"], ["+5"], ["-0"], ["-0.00"], [".5"], ["5."], ["1.5.1"]],
        ),
        (
            "text",
            [
                ["t", "true"],
                ["True"],
                ["TRUE", "FALSE"],
                ["yes"],
                ["t", "1"],
                ["1", "2025-12-31"],
                ["-"],
                ["--1"],
                ["1,5"],
            ],
        ),
        (
            "text",
            [
                ["2025-02-29"],
                ["1900-02-29"],
                ["2025-13-01"],
                ["2025-00-01"],
                ["2025-01-00"],
                ["0000-01-01"],
                ["2025-1-1"],
            ],
        ),
        (
            "text",
            [
                ["2025-12-31", "2025-12-31 00:00:00"],
                ["2025-12-31T00:00:00"],
                ["2025-12-31 24:00:00"],
                ["2025-12-31 00:00"],
            ],
        ),
        (
            "text",
            [
                ["2025-12-31 00:00:60"],
                ["2025-12-31 00:00:00."],
                ["2025-12-31 00:00:00.50"],
                ["2025-12-31 00:00:00.1234567"],
            ],
        ),
        (
            "text",
            [
                ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
                ["a0eebc999c0b4ef8bb6d6bb9bd380a11"],
                ["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"],
            ],
        ),
        ("text", [["1" * 131073], ["0." + "1" * 16384], ["NaN"], ["infinity"], [" 1"], ["1 "], ["٣"], ["1\n"]]),
    ],
)
def test_types(wanted, columns):
    """Each column gets its type, whatever the batches; NULLs are allowed everywhere."""
    for values in columns:
        assert inferred(*values) == wanted, values


COMMA = Spelling(decimal_comma=True)
GERMAN = Spelling(date_format="DD.MM.YYYY")
BERLIN = Spelling(timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("spelling", "wanted", "columns"),
    [
        (COMMA, "numeric", [["1,50", "2"], ["-0,5", None], ["9223372036854775808"]]),
        (COMMA, "bigint", [["12", "-1"]]),
        (COMMA, "date", [["2025-12-31"]]),
        (COMMA, "timestamp", [["2025-12-31 12:00:00.5"]]),
        (COMMA, "text", [["1.50"], ["1,5", "1.5"], ["01,50"], ["1,50", "1,5e3"], ["1,2,3"], [",5"], ["5,"], ["1;5"]]),
        (COMMA, "text", [["1.234,50"], ["2025-12-31 12:00:00,5"], [None]]),
        (GERMAN, "date", [["31.12.2025", None, "01.02.2025"]]),
        (GERMAN, "timestamp", [["31.12.2025 23:59:59"], ["31.12.2025 12:00:00.5", "01.01.2025 00:00:00"]]),
        (GERMAN, "text", [["2025-12-31"], ["1.2.2025"], ["30.02.2025"], ["31.12.2025", "31.12.2025 12:00:00"], [""]]),
        (GERMAN, "text", [["31.12.2025 9:00:00"], ["31.12.2025T09:00:00"], ["31.12.25"], ["31.12.2025 09:00"]]),
        (GERMAN, "numeric", [["31.12"]]),
        (Spelling(date_format="YYYYMMDD"), "date", [["20251231"]]),
        (Spelling(date_format="YYYYMMDD"), "bigint", [["20251231", "20251232"]]),
        (Spelling(date_format="YYYYMMDD"), "timestamp", [["20251231 10:00:00"]]),
        (BERLIN, "timestamptz", [["2025-12-31 12:00:00"]]),
        (BERLIN, "date", [["2025-12-31"]]),
        (Spelling(date_format="MM/DD/YYYY", timezone="UTC"), "timestamptz", [["12/31/2025 10:00:00", None]]),
    ],
)
def test_types_of_a_spelling(spelling, wanted, columns):
    """A type is taken where it prints back what the declared rewriting makes of every value."""
    for values in columns:
        assert inferred(*values, spelling=spelling) == wanted, values


@pytest.mark.parametrize("spelling", [COMMA, GERMAN, Spelling(True, "DD.MM.YYYY", "UTC")])
def test_what_is_inferred_is_rewritten(spelling):
    """Of drawn texts, none of which a type is inferred is one that the rewriting refuses."""
    texts = [text.replace("2025-12-31", "31.12.2025") for text in drawn_texts(random.Random(6))[:1000]]  # noqa: S311
    rewriter = Rewriter(spelling)
    met = set()
    for text in texts + [text.replace(".", ",") for text in texts]:
        inference = Inference(("c",), spelling)
        inference.feed(pa.record_batch([pa.array([text])], ["c"]))
        kind = inference.types()["c"]
        done = rewriter.rewrite(pa.array([text]), pg_type=kind, column="c")
        assert kind in ("text", "timestamptz") or inferred(*done.to_pylist()) == kind
        met.add(kind)
    assert len(met) > 3


def drawn_texts(rng: random.Random) -> list[str]:
    """Draw texts that are almost of some type."""
    seeds = ["true", "f", "-12", "9223372036854775807", "1.50", "0.0", "2024-02-29", "2025-12-31 23:59:59.25"]
    seeds += ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]
    texts = []
    for _ in range(20_000):
        text = list(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 3))):
            at = rng.randrange(len(text) + 1)
            text[at : at + rng.randint(0, 1)] = rng.choice("0123456789-.: tfeE+aAT")
        texts.append("".join(text))
    return texts


def test_the_servers_print_what_was_inferred(dsn, connect):
    """Of 20,000 drawn texts, each that has a type's spelling is printed by that type as it stands."""
    texts = drawn_texts(random.Random(5))  # noqa: S311 - repeatable on purpose
    connection = connect(dsn)
    connection.execute("SET DateStyle = ISO")
    met = set()
    for bit, name in TYPES:
        some = [text for text in texts if spellings(pa.array([text]), ALL) & bit]
        # COPY prints booleans as letters, a cast as words.
        shown = f"left(x::{name}::text, length(x))" if name == "boolean" else f"x::{name}::text"
        query = f"SELECT x, {shown} FROM unnest(%s::text[]) AS x WHERE x <> {shown}"
        assert connection.execute(query, [some]).fetchall() == []
        met |= {name} if len(some) > 20 else set()
    assert met == {name for _, name in TYPES}


def test_what_the_servers_print_is_inferred(dsn, connect):
    """Values that a server prints have their own type's spelling."""
    queries = {
        "bigint": "SELECT (random() * 1e18)::bigint * (1 - 2 * (i % 2)) FROM generate_series(1, 500) i",
        "numeric": "SELECT ((random() - 0.5) * 1e6)::numeric(20, 6) + 0.000001 FROM generate_series(1, 500) i",
        "date": "SELECT '0001-01-01'::date + i * 7300 FROM generate_series(0, 499) i",
        "timestamp": "SELECT '0001-01-01'::timestamp + i * interval '7300 days 1.25 s' FROM generate_series(0, 499) i",
        "uuid": "SELECT md5(i::text)::uuid FROM generate_series(1, 500) i",
        "boolean": "SELECT i % 2 = 0 FROM generate_series(1, 500) i",
    }
    connection = connect(dsn)
    for name, query in queries.items():
        values = [row[0] for row in connection.execute(f"SELECT x::text FROM ({query}) AS q(x)")]
        assert inferred(*values) == name
