"""Texts of arrays, composites, ranges and multiranges, taken apart as the server's own input functions do it.

Syntax: src/backend/utils/adt/{arrayfuncs,rowtypes,rangetypes,multirangetypes}.c (`array_in`, `record_in`, `range_in`,
`multirange_in`). What each part means is not known here. A text that the servers might read in some other way is
malformed, and so is one of which they would drop something.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from bulkio.pgcopy.messages import BAD_SYNTAX, EMPTY_INNER
from bulkio.pgcopy.textparts import BLANKS, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio.pgcopy.textparts import TakeApart
    from bulkio.types import PgType

__all__ = ["splitter"]

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.|"")*+)"|\\(.)', re.DOTALL)
_IN_QUOTES = re.compile(r'\\(.)|""', re.DOTALL)
# a composite's field, a range's bound: quotes may begin and end anywhere inside
_FIELD = re.compile(r'(?:[^"\\,)]|\\.|"(?:[^"\\]|\\.|"")*+")*+', re.DOTALL)
_BOUND = re.compile(r'(?:[^"\\,)\]]|\\.|"(?:[^"\\]|\\.|"")*+")*+', re.DOTALL)
# a range of a multirange, and what follows it
_RANGE = re.compile(
    r'[ \t\n\v\f\r]*+((?i:empty)|[\[(](?:[^"\\)\]]|\\.|"(?:[^"\\]|\\.|"")*+")*+[)\]])[ \t\n\v\f\r]*+([,}])', re.DOTALL
)
_BOUNDS_OF_ARRAY = re.compile(r"(?:[ \t\n\v\f\r]*\[(?:[+-]?\d{1,9}:)?[+-]?\d{1,9}\])+[ \t\n\v\f\r]*=", re.ASCII)


def splitter(pg: PgType) -> TakeApart | None:
    """Return what takes the texts of a type apart; None for a simple type.

    NULLs and infinite bounds are left out. The parts of a composite are its fields; all other types have one part.
    """
    if pg.codec in ("range", "multirange"):
        return _split_range if pg.codec == "range" else _split_multirange
    if pg.codec == "composite" or pg.fields:
        return lambda text: _split_record(text, len(pg.fields))
    if pg.element is not None:
        delimiter = pg.element.delimiter
        return lambda text: _split_array(text, delimiter)
    return None


# --- Arrays -------------------------------------------------------------------------------------------------


@cache
def _array_token(delimiter: str) -> re.Pattern[str]:
    """Return a pattern of three groups: a mark, what stands in quotes, an unquoted element (blanks only inside)."""
    mark = re.escape(delimiter)
    bare = rf'(?:[^{{}}"\\ \t\n\v\f\r{mark}]|\\.)++'
    return re.compile(
        rf'[ \t\n\v\f\r]*+(?:([{{}}{mark}])|"((?:[^"\\]|\\.)*+)"|({bare}(?:[ \t\n\v\f\r]++{bare})*+))', re.DOTALL
    )


def _split_array(text: str, delimiter: str) -> Iterator[tuple[int, str]]:
    token = _array_token(delimiter)
    bounds = _BOUNDS_OF_ARRAY.match(text)
    at = bounds.end() if bounds else 0
    depth, opened, complete = 0, False, False  # … just now; an element or an inner array is
    while not (complete and depth == 0):
        found = token.match(text, at)
        if found is None:
            raise RefusedError(BAD_SYNTAX)
        mark, quoted, bare = found.groups()
        at = found.end()
        if mark == "{" and not complete:
            depth, opened = depth + 1, True
            continue
        if mark == "}" and depth and (complete or opened):
            if opened and (depth > 1 or bounds):
                raise RefusedError(EMPTY_INNER)
            depth, complete = depth - 1, True
        elif mark == delimiter and complete:
            complete = False
        elif mark is None and depth and not complete:
            complete = True
            if quoted is not None:
                yield 0, _ESCAPED.sub(r"\1", quoted)
            elif bare.upper() != "NULL":
                yield 0, _ESCAPED.sub(r"\1", bare)
        else:
            raise RefusedError(BAD_SYNTAX)
        opened = False
    if text[at:].strip(BLANKS):
        raise RefusedError(BAD_SYNTAX)


# --- Composites and ranges ----------------------------------------------------------------------------------


def _plain(field: str) -> str:
    """Take the quotes and backslashes off a field or a bound."""
    if '"' not in field and "\\" not in field:
        return field
    return _QUOTED.sub(lambda m: m[2] if m[1] is None else _IN_QUOTES.sub(lambda i: i[1] or '"', m[1]), field)


def _split_record(text: str, count: int) -> Iterator[tuple[int, str]]:
    text = text.strip(BLANKS)
    if text[:1] != "(" or (count == 0 and text != "()"):
        raise RefusedError(BAD_SYNTAX)
    at = 1
    for number in range(count):
        field = _match(_FIELD, text, at)
        at += len(field) + 1
        if text[at - 1 : at] != (")" if number == count - 1 else ","):
            raise RefusedError(BAD_SYNTAX)
        if field:
            yield number, _plain(field)
    if count and at != len(text):
        raise RefusedError(BAD_SYNTAX)


def _split_range(text: str) -> Iterator[tuple[int, str]]:
    text = text.strip(BLANKS)
    if text.lower() == "empty":
        return
    lower = _match(_BOUND, text, 1)
    comma = 1 + len(lower)
    upper = _match(_BOUND, text, comma + 1)
    end = comma + 1 + len(upper)
    marks = text[:1], text[comma : comma + 1], text[end:]
    if marks[0] not in ("[", "(") or marks[1] != "," or marks[2] not in ("]", ")"):
        raise RefusedError(BAD_SYNTAX)
    for bound in (lower, upper):
        if bound:
            yield 0, _plain(bound)


def _match(pattern: re.Pattern[str], text: str, at: int) -> str:
    """Return what a pattern that takes nothing, too, takes from here on."""
    found = pattern.match(text, at)
    return found[0] if found else ""


def _split_multirange(text: str) -> Iterator[tuple[int, str]]:
    text = text.strip(BLANKS)
    if text[:1] != "{":
        raise RefusedError(BAD_SYNTAX)
    if text[-1:] == "}" and not text[1:-1].strip(BLANKS):
        return
    at, mark = 1, ","
    while mark == ",":
        found = _RANGE.match(text, at)
        if found is None:
            raise RefusedError(BAD_SYNTAX)
        yield 0, found[1]
        at, mark = found.end(), found[2]
    if at != len(text):
        raise RefusedError(BAD_SYNTAX)
