"""SQL of the user's: its statements, and their parameters as literals. The lexical rules are PostgreSQL's, 4.1."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.options import param_text
from bulkio.quote import UNQUOTED_NAME, quote_literal, refuse_no_text
from bulkio.show import did_you_mean, show_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bulkio.options import Param

__all__ = [
    "begins_query",
    "bind_literals",
    "bind_names",
    "first_word",
    "is_copy_of_client",
    "names_in",
    "refuse_unused",
    "statements_of",
    "transaction_command",
]

# PostgreSQL's scanner (src/backend/parser/scan.l), as far as it takes to know where a $n or a semicolon is
# one. The order of the alternatives matters: the first that matches at a place wins.
_NEXT_PART = r"[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:\s|--[^\n\r]*[\n\r])*'"


_TOKEN = re.compile(
    rf"""
      (?P<space>\s+|--[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<escaped>[eE]'(?:[^'\\]|''|\\.|'{_NEXT_PART})*'(?!'))
    | (?P<open_escaped>[eE]')
    | (?P<quoted>(?:[uU]&|[bBxXnN])?'(?:[^']|'')*')
    | (?P<ident>(?:[uU]&)?"(?:[^"]|"")*")
    | (?P<word>{UNQUOTED_NAME})
    | (?P<dollar>\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$)
    | (?P<param>\$[0-9]+(?![0-9A-Za-z_\u0080-\U0010ffff]))
    | (?P<name>\$[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)
    | (?P<number>[0-9][0-9.]*)
    | (?P<end>;)
    | (?P<open>[(\[])
    | (?P<close>[)\]])
    | (?P<broken>['"])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


#: first words of statements that return rows; for those that write, the server says that they may not
_QUERY_WORDS = frozenset({"select", "values", "table", "with", "insert", "update", "delete", "merge"})


def begins_query(text: str) -> bool:
    r"""Tell whether a text begins as a query does, behind blanks, comments and brackets; it may be wrong further on.

    >>> begins_query("-- all of it\n(SELECT 1)"), begins_query("my-table")
    (True, False)
    """
    try:
        kind, token = next(token for token in _tokens(text) if token[0] not in ("space", "comment", "open"))
    except (StopIteration, ConfigError):  # the end, or a comment without one
        return False
    return kind == "word" and token.lower() in _QUERY_WORDS


#: the first words of the commands that begin, end or part a transaction
_TRANSACTION_WORDS = frozenset({"abort", "begin", "commit", "end", "release", "rollback", "savepoint", "start"})


def transaction_command(text: str) -> str:
    """Return the command that a statement is, where it begins, ends or parts a transaction; "" for any other.

    >>> transaction_command("/* now */ commit"), transaction_command("PREPARE TRANSACTION 'x'")
    ('COMMIT', 'PREPARE TRANSACTION')
    >>> transaction_command("DO $$ BEGIN NULL; END $$")
    ''
    """
    words = _words(text)
    first = next(words, "")
    if first == "prepare" and next(words, "") == "transaction":
        return "PREPARE TRANSACTION"
    return first.upper() if first in _TRANSACTION_WORDS else ""


def is_copy_of_client(text: str) -> bool:
    """Tell whether a statement is COPY between the server and its client.

    >>> is_copy_of_client("copy t from stdin"), is_copy_of_client("COPY t FROM '/srv/stdin'")
    (True, False)
    """
    words = list(_words(text))
    return words[:1] == ["copy"] and not {"stdin", "stdout"}.isdisjoint(words)


def _words(text: str) -> Iterator[str]:
    """Yield the words outside of quotes and comments, in lower case."""
    return (token.lower() for kind, token in _tokens(text) if kind == "word")


def first_word(text: str) -> str:
    """Return the word that a statement begins with, in lower case; "" where it begins with none.

    >>> first_word("/* all */ Create table t ()")
    'create'
    """
    return next(_words(text), "")


def bind_literals(query: str, params: Sequence[Param] = (), *, uses_all: bool = True) -> str:
    """Replace ``$1`` … ``$n`` by quoted literals of unknown type; check that the text is one statement.

    COPY takes no parameters, so they travel as text; as with real parameters, the context decides their types.
    One trailing semicolon is dropped. Strings, quoted names, dollar quotes and comments stay as they are. Where it
    need not use all parameters, `refuse_unused` looks at all statements.

    >>> bind_literals("select * from t where a = $1 -- not $2", ["it's"])
    "select * from t where a = ('it''s') -- not $2"

    Raises:
        ConfigError: a parameter is missing or unused, or the text is not one complete statement.
    """
    refuse_no_text(query, "the query")
    parts: list[str] = []
    ended, blank, depth = False, True, 0
    for kind, text in _marked(query):
        if kind in ("space", "comment"):
            parts.append(text)
            continue
        if ended:
            raise ConfigError("the query holds more than one statement; give one, with at most one ';' after it")
        depth += (kind == "open") - (kind == "close")
        if depth < 0:
            raise ConfigError(f"the query closes a bracket that it did not open: {text!r}")
        if kind == "end":
            ended = True
            continue
        blank = False
        parts.append(_literal(text, params) if kind == "param" else text)
    if blank:
        raise ConfigError("the query is empty; give one SELECT, VALUES, TABLE or WITH statement")
    if depth:
        raise ConfigError("the query leaves a bracket open")
    if uses_all:
        refuse_unused([query], params)
    return "".join(parts)


def refuse_unused(queries: Sequence[str], params: Sequence[Param]) -> None:
    """Raise ConfigError where none of these texts uses a parameter."""
    used = {token for query in queries for kind, token in _tokens(query) if kind == "param"}
    unused = [f"${number}" for number in range(1, len(params) + 1) if f"${number}" not in used]
    if unused:
        raise ConfigError(f"the query does not use {', '.join(unused)}; give as many parameters as it has")


def bind_names(text: str, values: Mapping[str, Param]) -> str:
    """Replace each ``$name`` by its value as a quoted literal, as `bind_literals` replaces ``$1``.

    The text may hold several statements. ``$tag$ … $tag$`` is a string, and a dollar inside of a word is a part of it.

    >>> bind_names("delete from t where day = $day and note <> '$day'", {"day": "2026-11-26"})
    "delete from t where day = ('2026-11-26') and note <> '$day'"

    Raises:
        ConfigError: a name has no value, or a value is of a type that has no one text.
    """
    refuse_no_text(text, "the SQL")
    return "".join(_named_literal(token[1:], values) if kind == "name" else token for kind, token in _tokens(text))


def names_in(text: str) -> set[str]:
    """Return the names that `bind_names` would replace in a text.

    >>> sorted(names_in("select $a, $b, '$c', $$ $d $$, e$f"))
    ['a', 'b']
    """
    return {token[1:] for kind, token in _tokens(text) if kind == "name"}


def statements_of(text: str) -> tuple[str, ...]:
    r"""Split a text at its semicolons, those aside that are inside of something; drop what has no statement.

    >>> statements_of("delete from t; -- now\n insert into t values (';');")
    ('delete from t', "-- now\n insert into t values (';')")

    Raises:
        ConfigError: a quote, a comment or a function's body has no end.
    """
    refuse_no_text(text, "the SQL")
    parts: list[str] = [""]
    blank = [True]
    for kind, token in _marked(text):
        if kind == "end":
            parts.append("")
            blank.append(True)
            continue
        parts[-1] += token
        blank[-1] = blank[-1] and kind in ("space", "comment")
    return tuple(part.strip() for part, is_blank in zip(parts, blank, strict=True) if not is_blank)


def _marked(text: str) -> Iterator[tuple[str, str]]:
    """Yield the tokens of a text; a semicolon that ends no statement is of the kind `inner`."""
    depth, body = 0, _Body()
    for kind, token in _tokens(text):
        depth = max(0, depth + (kind == "open") - (kind == "close"))
        if kind not in ("space", "comment"):
            body.see(token.lower())
        if kind != "end":
            yield kind, token
        elif depth or body.depth:
            yield "inner", token
        else:
            yield kind, token
            body = _Body()
    if body.depth:
        raise ConfigError("the SQL leaves BEGIN ATOMIC open: a function's body ends with END")


#: the first words of a statement whose body may be BEGIN ATOMIC … END
_ROUTINE = re.compile(r"create( or replace)? (function|procedure)\b")


class _Body:
    """Whether a place lies inside of BEGIN ATOMIC … END of one statement, as psql looks for it (psqlscan.l)."""

    def __init__(self) -> None:
        #: number of BEGIN and CASE that wait for their END
        self.depth = 0
        self._first: list[str] = []
        self._last = ""

    def see(self, token: str) -> None:
        """Look at the next token, in lower case."""
        if len(self._first) < 4:  # CREATE OR REPLACE FUNCTION
            self._first.append(token)
        is_label = self._last in ("as", ".")
        if self.depth == 0:
            begins = (self._last, token) == ("begin", "atomic")
            self.depth = int(begins and _ROUTINE.match(" ".join(self._first)) is not None)
        elif not is_label:
            self.depth += {"case": 1, "end": -1}.get(token, 0)
        self._last = token


def _tokens(query: str) -> Iterator[tuple[str, str]]:
    """Split a query into (kind, text), with comments and dollar quotes whole; nothing is lost."""
    at = 0
    while at < len(query):
        match = _TOKEN.match(query, at)
        if match is None or match.lastgroup is None:  # cannot be: `other` takes any character
            raise ConfigError(f"the query cannot be read at character {at + 1}")
        kind, end = match.lastgroup, match.end()
        if kind == "comment":
            end = _comment_end(query, at)
        elif kind == "dollar":
            end = query.find(match.group(), end) + len(match.group())
            if end < match.end() + len(match.group()):
                raise ConfigError(f"the query leaves the string at character {at + 1} open: {match.group()}")
        elif kind in ("open_escaped", "broken"):
            raise ConfigError(f"the query leaves the quote at character {at + 1} open: {match.group()}")
        yield kind, query[at:end]
        at = end


_COMMENT_EDGE = re.compile(r"/\*|\*/")


def _comment_end(query: str, start: int) -> int:
    """Return the place after a block comment; they nest."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(query, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise ConfigError(f"the query leaves the comment at character {start + 1} open")


def _literal(token: str, params: Sequence[Param]) -> str:
    number = int(token[1:])
    if not 1 <= number <= len(params):
        mend = f"give a value for each ({show_option('params')})"
        raise ConfigError(f"the query uses {token}, but {len(params)} parameters were given: {mend}")
    return _bracketed(params[number - 1], number)


def _named_literal(name: str, values: Mapping[str, Param]) -> str:
    if name not in values:
        known = f"there are {', '.join(f'${each}' for each in values)}" if values else "there are none"
        near = did_you_mean(name, values)
        raise ConfigError(f"the SQL uses ${name}, which has no value; {known}{near and f': {near}'}")
    return _bracketed(values[name], name)


def _bracketed(value: Param, name: int | str) -> str:
    # The brackets keep it apart from its neighbours: two literals on two lines would be one string.
    return f"({quote_literal(param_text(value, name))})"
