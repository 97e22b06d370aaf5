"""JSON text for jsonb: what jsonb would merge or change is refused, at any depth; all else goes as it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bulkio
from bulkio.errors import EncodeError
from bulkio.types import PgType, array_of, base_type
from cells import encode, encode_text
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Iterable

JSONB = base_type("jsonb")
MANY = ",".join(f'"{i}":{i}' for i in range(50))

TWICE = [
    '{"a":1,"a":1}',
    ' { "a" : 1 , "b" : 2 , "a" : 3 } ',
    '{"x":[1,{"a":{"b":1,"b":2}}]}',
    '[{"a":1},{"a":1,"a":1}]',
    r'{"a":1,"\u0061":2}',
    r'{"\ud83d\ude00":1,"😀":2}',
    r'{"\t":1,"\u0009":2}',
    r'{"é\"":1,"\u00e9\u0022":2}',
    r'{"\/":1,"/":2}',
    '{"":1,"":2}',
    '{"a":{"c":1},"b":[],"a":{}}',
    "{" + MANY + ',"49":0}',
    '{"1":1,' + MANY + "}",
]
NEGATIVE_ZEROS = ["-0", "-0.0", "[1,-0]", '{"a":-0.00e5}', '{"a":{"b":[-0E-3]}}', " -0.000 "]
GOOD = [
    '{"a":{"a":{"a":1}},"b":{"a":1}}',
    '["a","a","a"]',
    '{"a":"a","b":"a"}',
    '{"a":"\\"a\\":1","b":1}',
    r'{"a":1,"\\u0061":2,"A":3,"a ":4}',
    r'{"\u00e9":1,"e\u0301":2}',
    "{" + MANY + "}",
    "[1e-0,10,-10.0,-0.01,1e-00,0,0.0,-1e-0,100]",
    '"-0"',
    "null",
    "{}",
    "[[],{}]",
]
#: for the server to refuse
BROKEN = [
    '{"a',
    '{"a":',
    '"\\',
    '{"\\u00',
    "]",
    "}}",
    "[{]",
    '{"a":1]',
    "-",
    '{"a":1,"a"',
    '{"\\ud800":1}',
    "",
    ":",
    '":',
]


@pytest.mark.parametrize("text", TWICE)
def test_a_key_that_is_there_twice(text: str, one_dsn: str) -> None:
    """The server takes each of these, and keeps one value fewer."""
    with pytest.raises(EncodeError, match="has a key twice, of which jsonb would keep one"):
        encode_text(text, JSONB)
    with connect(one_dsn) as conn:
        ((json_text, jsonb_text),) = conn.execute("SELECT %s::json::text, %s::jsonb::text", [text, text]).fetchall()
    assert jsonb_text.count(":") < json_text.count(":")


@pytest.mark.parametrize("text", NEGATIVE_ZEROS)
def test_a_negative_zero(text: str, one_dsn: str) -> None:
    """The server takes each of these, and drops the sign."""
    with pytest.raises(EncodeError, match="has a negative zero, of which jsonb would drop the sign"):
        encode_text(text, JSONB)
    with connect(one_dsn) as conn:
        assert "-0" not in str(conn.execute("SELECT %s::jsonb::text", [text]).fetchone())


@pytest.mark.parametrize("text", [*GOOD, *BROKEN])
def test_all_else_goes(text: str) -> None:
    """Equal keys of different objects, equal values, zeros in exponents; what is no JSON is left to the server."""
    assert encode_text(text, JSONB) == b"\1" + text.encode()
    assert encode_text(text, base_type("json")) == text.encode()


NAMES = st.sampled_from(["a", "b", "", "é", "\\", '"', "\n", "😀", "u0061"])


@st.composite
def values(draw: st.DrawFn, depth: int = 3) -> tuple[str, bool]:
    """Return a JSON text, and whether an object in it has a key twice."""
    kind = draw(st.sampled_from(["leaf", "list", "object"])) if depth else "leaf"
    if kind == "leaf":
        return json.dumps(draw(st.none() | st.integers() | NAMES)), False
    parts = draw(st.lists(values(depth=depth - 1), max_size=3))
    twice = any(part[1] for part in parts)
    if kind == "list":
        return "[" + ",".join(text for text, _ in parts) + "]", twice
    names = [draw(NAMES) for _ in parts]
    spelled = [json.dumps(name, ensure_ascii=draw(st.booleans())) for name in names]
    blank = draw(st.sampled_from(["", " ", "\n\t"]))
    pairs = [f"{name}{blank}:{blank}{text}" for name, (text, _) in zip(spelled, parts, strict=True)]
    return "{" + f"{blank},".join(pairs) + "}", twice or len(set(names)) < len(names)


@given(values())
def test_any_json(case: tuple[str, bool]) -> None:
    """Of any JSON, exactly the texts with a key twice are refused."""
    text, twice = case
    if twice:
        with pytest.raises(EncodeError, match="has a key twice"):
            encode_text(text, JSONB)
    else:
        assert encode_text(text, JSONB) == b"\1" + text.encode()


@given(st.text(st.sampled_from('{}[]":,\\u0061-e.d8 '), max_size=40))
def test_any_text(text: str) -> None:
    """What is no JSON never stops the scan, and is refused for nothing that it does not have."""
    found = ""
    try:
        assert encode_text(text, JSONB) == b"\1" + text.encode()
    except EncodeError as error:
        found = str(error)
    assert not found or "key twice" in found or "negative zero" in found


def _layouts(texts: Iterable[str]) -> list[tuple[pa.Array, PgType]]:
    plain = pa.array(list(texts))
    lists = pa.ListArray.from_arrays([0, len(plain)], plain)
    composites = pa.StructArray.from_arrays([plain], ["a"])
    return [
        (plain, JSONB),
        (plain.cast(pa.large_string()), JSONB),
        (plain.dictionary_encode(), JSONB),
        (pa.ExtensionArray.from_storage(pa.json_(), plain), JSONB),
        (lists, array_of(JSONB)),
        (composites, PgType("one", 60002, 60003, "composite", "public", fields=(("a", JSONB),))),
        (pa.array(['{"' + texts[-1].replace("\\", "\\\\").replace('"', '\\"') + '"}']), array_of(JSONB)),
    ]


@pytest.mark.parametrize("column", range(7))
def test_every_way_into_jsonb(column: int) -> None:
    """Text and arrow.json, in every layout, and inside arrays, composites and their texts."""
    array, pg = _layouts(["{}", '{"a":1,"a":2}'])[column]
    with pytest.raises(EncodeError, match=r'column "c": .* has a key twice'):
        encode(array, pg)


@pytest.mark.parametrize("method", ["binary", "csv", "records"])
def test_a_struct_with_a_negative_zero(method: str, one_dsn: str) -> None:
    """It keeps its sign in json and in a composite; jsonb has no such zero."""
    source = pa.table({"v": pa.array([{"x": -0.0, "y": [1.5, -0.0]}])})
    with connect(one_dsn) as conn:
        conn.execute("CREATE TYPE pair AS (x float8, y float8[])")
        conn.execute("CREATE TABLE a (v json); CREATE TABLE b (v pair); CREATE TABLE c (v jsonb)")
        bulkio.load(source, "a", one_dsn, method=method)
        if method != "records":  # the drivers' rows have no composites
            bulkio.load(source, "b", one_dsn, method=method)
        with pytest.raises(EncodeError, match=r'row 1, column "v": .* has a negative zero'):
            bulkio.load(source, "c", one_dsn, method=method)
    assert fetch(one_dsn, "SELECT v->>'x', v->'y'->>1 FROM a") == [("-0.0", "-0.0")]
    assert set(fetch(one_dsn, "SELECT (v).x::text, (v).y[2]::text FROM b")) <= {("-0", "-0")}
    assert fetch(one_dsn, "SELECT count(*) FROM c") == [(0,)]
