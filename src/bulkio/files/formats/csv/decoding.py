"""Bytes of any encoding to UTF-8 that is surely valid, without a byte order mark. Pieces may be cut anywhere.

Python's own codecs do it, strictly. UTF-8 is decoded too, and what that gives thrown away: it checks 1 GB in 0.1 s
where the text is ASCII, in 0.4 s where it is not (measured), and the bytes go on as they are.
"""

from __future__ import annotations

import codecs
import re

__all__ = ["BOM", "CONTROLS", "BadBytesError", "Utf8Stream"]

#: byte order mark in UTF-8
BOM = "\ufeff".encode()
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: encodings whose byte order the mark at the beginning tells; without one Python takes the machine's
_MARKED = {"utf-16": _UTF16_MARKS, "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)}

#: encodings with control characters from 80 to 9f, each with the Windows encoding that is like it and has letters there
_OF_WINDOWS = {
    "iso8859-1": "cp1252",
    "iso8859-2": "cp1250",
    "iso8859-5": "cp1251",
    "iso8859-7": "cp1253",
    "iso8859-9": "cp1254",
    "iso8859-15": "cp1252",
}
#: bytes that are control characters in these
CONTROLS = re.compile(rb"[\x80-\x9f]")


class BadBytesError(ValueError):
    """Bytes that the encoding does not have. `good` is the UTF-8 of what the piece holds before them."""

    def __init__(self, message: str, good: bytes) -> None:
        super().__init__(message)
        self.good = good


class Utf8Stream:
    """Turn one file's pieces into pieces of UTF-8. `at_start` is False for bytes from the middle of a file."""

    def __init__(self, encoding: str, *, at_start: bool = True) -> None:
        self.encoding = encoding
        #: size of the mark that was skipped
        self.mark_bytes = 0
        #: what was given last, with the bad bytes that a tolerant stream has put NULs for: as long as that
        self.raw = b""
        #: what is wrong with bytes in it, by their places in all that was given
        self.bad: dict[int, str] = {}
        codec = codecs.lookup(encoding)
        #: encoding of a part of the file, which has no mark of its own
        self.codec = "utf-8" if codec.name == "utf-8-sig" else codec.name
        self._passes = codec.name in ("utf-8", "utf-8-sig", "ascii")
        # Never utf-8-sig itself: the mark is skipped here, whatever the encoding.
        self._decoder = codecs.getincrementaldecoder(self.codec)("strict")
        self._windows = _OF_WINDOWS.get(codec.name)
        self._marks: tuple[bytes, ...] = _MARKED.get(codec.name, ())
        self._order_mark = b""
        self._raw_head: bytes | None = b"" if at_start and self._marks else None
        self._head: bytes | None = b"" if at_start else None

    def feed(self, piece: bytes, *, final: bool = False) -> bytes:
        """Return the UTF-8 of `piece`; a character that it cuts comes with the next one. Raises `BadBytesError`."""
        if self._windows is not None and (control := CONTROLS.search(piece)):
            raise BadBytesError(self._is_control(control[0]), self.feed(piece[: control.start()]))
        if self._raw_head is not None:
            piece = self._check_mark(piece, final=final)
        before = self._decoder.getstate()
        try:
            text = self._decoder.decode(piece, final)
            data = piece if self._passes else text.encode()
        except UnicodeError as exc:
            self._decoder.setstate(before)
            raise self._bad_bytes(exc, piece) from None
        self.raw = data if self._head is None else self._without_mark(data, final=final)
        return self.raw

    @property
    def mark(self) -> bytes:
        """The mark that was skipped, as it stands in the file."""
        return self._order_mark + (self.encode(BOM) if self.mark_bytes else b"")

    def encode(self, data: bytes) -> bytes:
        """Return a part of `raw` as it stands in the file."""
        return data if self._passes else data.decode().encode(self.codec)

    def _check_mark(self, piece: bytes, *, final: bool) -> bytes:
        """Hold the first bytes back until they tell the order of bytes."""
        head = (self._raw_head or b"") + piece
        if not final and len(head) < len(self._marks[0]):
            self._raw_head = head
            return b""
        self._raw_head = None
        if head and not head.startswith(self._marks):
            message = f"there is no byte order mark; give {self.encoding}-le or {self.encoding}-be as the encoding"
            raise BadBytesError(message, b"")
        if head:
            self._order_mark = next(filter(head.startswith, self._marks))
            self.codec += "-le" if self._order_mark == self._marks[0] else "-be"
        return head

    def _without_mark(self, data: bytes, *, final: bool) -> bytes:
        head = (self._head or b"") + data
        if not final and len(head) < len(BOM) and BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        if head.startswith(BOM):
            self.mark_bytes = len(BOM)
        return head[self.mark_bytes :]

    def _bad_bytes(self, exc: UnicodeError, piece: bytes) -> BadBytesError:
        return BadBytesError(self._is_bad(exc, piece), self._good_part(piece))

    def _is_bad(self, exc: UnicodeError, piece: bytes) -> str:
        """Tell what is wrong with bytes of a piece that cannot be decoded."""
        if isinstance(exc, UnicodeDecodeError):
            bad = exc.object[exc.start : exc.end].hex(" ")
            message = f"bytes {bad} are not valid {self.encoding} ({exc.reason})"
        else:
            message = f"it has characters that no text may hold ({exc.reason if hasattr(exc, 'reason') else exc})"
        if self._head is not None and piece.startswith(_UTF16_MARKS):
            return f"{message}; the file begins as UTF-16 does: give that as its encoding"
        return f"{message}; if the file has another encoding, such as cp1252, give it"

    def _is_control(self, byte: bytes) -> str:
        return (
            f"byte {byte.hex()} is a control character in {self.encoding}, and a letter or sign in files"
            f" from Windows: give their encoding, such as {self._windows}; if it is meant, make the file UTF-8"
        )

    def _good_part(self, piece: bytes) -> bytes:
        """Decode byte by byte up to the fault: no other way is the same for every codec."""
        parts = [self._head or b""]
        for at in range(len(piece)):
            byte = piece[at : at + 1]
            try:
                text = self._decoder.decode(byte)
                parts.append(byte if self._passes else text.encode())
            except UnicodeError:
                break
        return b"".join(parts).removeprefix(BOM if self._head is not None else b"")
