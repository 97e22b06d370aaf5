"""How many rows of CSV have gone by, in pieces that may be cut anywhere: line ends outside quotes."""

from __future__ import annotations

import re

__all__ = ["RowCount"]


class RowCount:
    r"""Counts the lines that the server has written, with its line end, LF.

    >>> count = RowCount(quote=b'"', escape=b'"', has_header=True)
    >>> count.feed(b'a,b\n1,"x\n')
    >>> count.feed(b'y"\n')
    >>> count.rows
    1
    """

    def __init__(self, *, quote: bytes, escape: bytes, has_header: bool) -> None:
        self._quote = quote
        # Doubled quotes change nothing: the field is left and entered again. Another escape has to be looked at.
        self._escape = None if escape == quote else escape
        self._escaped = re.compile(b"%b(?:%b|%b)" % tuple(map(re.escape, (escape, escape, quote))))
        self._rest = b""
        self._is_quoted = False
        self._lines = -1 if has_header else 0

    @property
    def rows(self) -> int:
        """Rows so far, without the header."""
        return max(0, self._lines)

    def feed(self, piece: bytes) -> None:
        """Count one more piece."""
        if self._escape is not None:
            piece = self._without_escapes(piece)
        fields = piece.split(self._quote)
        self._lines += sum(field.count(b"\n") for field in fields[self._is_quoted :: 2])
        self._is_quoted ^= len(fields) % 2 == 0

    def _without_escapes(self, piece: bytes) -> bytes:
        """Take out what an escape stands before; one at the end waits for what comes after."""
        piece = self._escaped.sub(b"", self._rest + piece)
        self._rest = self._escape if self._escape and piece.endswith(self._escape) else b""
        return piece.removesuffix(self._rest)
