"""Checks of single types' texts for what the server's input functions change in silence; one function for each type.

A function need not know all of the type's syntax, as the server will parse the text itself, but refuses what it cannot
follow. It gives the texts of simpler types that stand inside, or none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bulkio.pgcopy.messages import BAD_SYNTAX, DUPLICATE_KEY, OUT_OF_RANGE, TOO_LONG, WOULD_DROP, WOULD_ROUND
from bulkio.pgcopy.textparts import BLANKS, RefusedError
from bulkio.types import SERVER_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkio.pgcopy.textparts import TakeApart
    from bulkio.types import PgType, Policies

    Parts = Iterable[tuple[int, str | bytes]]

__all__ = ["rule_for"]

NO_PARTS = ()


def rule_for(pg: PgType, policies: Policies) -> TakeApart | None:
    """Return the check for a type's texts; None where there is none."""
    if pg.codec == "hstore":
        return _hstore
    if pg.codec != SERVER_TEXT or pg.base.schema != "pg_catalog" or (pg.base_name == "line" and policies.allow_lossy):
        return None
    return _OF_CATALOG.get(pg.base_name)


# --- Types of pg_catalog ------------------------------------------------------------------------------------


def _char(text: str) -> Parts:
    r"""Take one byte, or \ooo (src/backend/utils/adt/char.c): of a longer text, the server keeps the first byte."""
    if (len(text) > 1 or not text.isascii()) and not re.fullmatch(r"\\[0-3][0-7]{2}", text):
        raise RefusedError(TOO_LONG)
    return NO_PARTS


def _cid(text: str) -> Parts:
    return [(0, text)]


def _oidvector(text: str) -> Parts:
    return [(0, oid) for oid in text.split()]


def _tid(text: str) -> Parts:
    """(block, row): 32 and 16 bits; the server lets a minus wrap around."""
    found = re.fullmatch(r"\s*\((\d{1,10}),(\d{1,5})\)\s*", text, re.ASCII)
    if found is None:
        raise RefusedError(BAD_SYNTAX)
    if int(found[1]) >= 2**32 or int(found[2]) >= 2**16:
        raise RefusedError(OUT_OF_RANGE)
    return NO_PARTS


def _line(text: str) -> Parts:
    """Take {A,B,C} alone: what the server computes of two points is rounded."""
    if not text.lstrip(BLANKS).startswith("{"):
        raise RefusedError(WOULD_ROUND)
    return NO_PARTS


# src/backend/utils/adt/tsvector_parser.c: a word, in quotes or not, and its positions
_WORD = re.compile(
    r"\s*+('(?:[^'\\]|''|\\.)*+'|(?:[^\s':\\]|\\.)(?:[^\s:\\]|\\.)*+)(?::(\d+[A-Da-d*]?(?:,\d+[A-Da-d*]?)*+))?(?=\s|$)",
    re.DOTALL,
)
# src/include/tsearch/ts_type.h: MAXENTRYPOS less one, MAXNUMPOS
POSITION_MAX = 16383
POSITIONS_MAX = 256


def _tsvector(text: str) -> Parts:
    """Find positions that the server would move, leave out for being too many, or of whose two weights it keeps one."""
    places: dict[str, dict[int, str]] = {}
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _WORD.match(text, at)
        if found is None:
            raise RefusedError(BAD_SYNTAX)
        at = found.end()
        known = places.setdefault(_word(found[1]), {})
        for place in (found[2] or "").upper().replace("*", "A").split(",") if found[2] else ():
            number, weight = place.rstrip("ABCD"), place.lstrip("0123456789") or "D"
            if len(number) > 9 or int(number) > POSITION_MAX or known.setdefault(int(number), weight) != weight:
                raise RefusedError(WOULD_DROP)
        if len(known) > POSITIONS_MAX:
            raise RefusedError(WOULD_DROP)
    return NO_PARTS


def _word(written: str) -> str:
    if written.startswith("'"):
        written = written[1:-1]
        return re.sub(r"\\(.)|''", lambda m: m[1] or "'", written, flags=re.DOTALL)
    return re.sub(r"\\(.)", r"\1", written, flags=re.DOTALL)


_OF_CATALOG: dict[str, TakeApart] = {
    "char": _char,
    "cid": _cid,
    "line": _line,
    "oidvector": _oidvector,
    "tid": _tid,
    "tsvector": _tsvector,
}


# --- hstore -------------------------------------------------------------------------------------------------

# contrib/hstore/hstore_io.c, parse_hstore
_HSTORE_KEY = r'("(?:[^"\\]|\\.)*+"|(?:[^\s"\\,=]|\\.)(?:[^\s",=\\]|\\.)*+)'
_HSTORE_VALUE = _HSTORE_KEY.replace("=", "")  # in a value = is a character as any other
_HSTORE_PAIR = re.compile(rf"\s*+{_HSTORE_KEY}\s*+=>\s*+{_HSTORE_VALUE}\s*+(,|$)", re.DOTALL)


def _hstore(text: str) -> Parts:
    """Find keys that are there twice; the server keeps one of them."""
    keys: set[str] = set()
    at, more = 0, bool(text.strip())
    while more:
        found = _HSTORE_PAIR.match(text, at)
        if found is None:
            raise RefusedError(BAD_SYNTAX)
        key = found[1][1:-1] if found[1].startswith('"') else found[1]
        key = re.sub(r"\\(.)", r"\1", key, flags=re.DOTALL)
        if key in keys:
            raise RefusedError(DUPLICATE_KEY)
        keys.add(key)
        at = found.end()
        more = at < len(text) if found[3] else False
    return NO_PARTS
