"""The encoding that a database keeps its text in, as far as it changes values; nearly all keep UTF-8, which does not.

The server converts what it is sent, and refuses a character that its encoding does not have. In silence it changes the
few of `changed_chars`; and in SQL_ASCII, which converts nothing, it counts bytes where others count characters.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cache

from bulkio.types.changed_chars import CHANGED

__all__ = ["UTF8", "Charset", "charset_of"]


#: bytes of a character, at most (pg_encoding_max_length)
_CHAR_BYTES = {"EUC_JP": 3, "EUC_JIS_2004": 3, "EUC_KR": 3, "EUC_TW": 4}


@dataclass(frozen=True, slots=True)
class Charset:
    """A database's encoding."""

    #: name as the server spells it, such as ``EUC_JP``
    name: str
    #: code points that would come back as others, or as none: 32-bit integers, in ascending order
    changed: bytes = b""

    @property
    def counts_bytes(self) -> bool:
        """Tell whether varchar(n) and char(n) hold n bytes, and not characters."""
        return self.name == "SQL_ASCII"

    @property
    def char_bytes(self) -> int:
        """The bytes of a character other than ASCII's, at most, where that can be more than UTF-8 has; else 0."""
        return _CHAR_BYTES.get(self.name, 0)

    def first_changed(self, text: str) -> str:
        """Return the first character of a text that would not come back; "" where there is none.

        >>> charset_of("EUC_JP").first_changed("a¦b"), charset_of("LATIN1").first_changed("a¦b")
        ('¦', '')
        """
        if not self.changed or text.isascii():
            return ""
        codes = frozenset(memoryview(self.changed).cast("I"))
        return next((char for char in text if ord(char) in codes), "")


#: The encoding that keeps everything.
UTF8 = Charset("UTF8")


@cache
def charset_of(encoding: str) -> Charset:
    """Return the encoding that a server calls by this name."""
    codes = array("I")
    end = 0
    for run in CHANGED.get(encoding, "").split():
        gap, _, count = run.partition("*")
        start = end + int(gap, 16)
        end = start + int(count or "1", 16)
        codes.extend(range(start, end))
    return Charset(encoding, codes.tobytes())
