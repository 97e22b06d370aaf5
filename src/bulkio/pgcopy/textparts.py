"""What the checks of texts in Python have in common: they take a text apart into simpler ones, or refuse it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

__all__ = ["BLANKS", "RefusedError", "TakeApart"]

#: characters that the server's own parsers treat as blanks
BLANKS = " \t\n\v\f\r"

#: Function from a text to pairs: number of a child of the cast, and what that child would have to encode (text or
#: bytes). Raises RefusedError.
TakeApart: TypeAlias = Callable[[str], Iterable[tuple[int, str | bytes]]]


class RefusedError(ValueError):
    """A text may not go. Never leaves `pgcopy`: `servertext` answers with the status, as encoders do."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        #: a code of `messages`
        self.status = status
