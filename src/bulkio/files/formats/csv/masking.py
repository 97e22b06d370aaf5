"""A tolerant decoding: NULs stand in the place of bytes that the encoding does not have, and it is told where.

The parser knows what to do with a record that has a NUL. This is for encodings in which no bad byte can hide a
delimiter, a quote or a line's end: UTF-8, ASCII, and those of one byte a character. In others it may hide anything.
"""

from __future__ import annotations

import codecs
import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from bulkio.files.formats.csv.decoding import BOM, CONTROLS, Utf8Stream

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["open_utf8"]

#: what Python adds to a byte that it cannot decode, where it is to keep it ("surrogateescape")
_ESCAPES = 0xDC00
_CONTROL_ESCAPES = {byte: _ESCAPES + byte for byte in range(0x80, 0xA0)}
#: bytes that one escape has in UTF-8
_ESCAPE_BYTES = 3
#: bytes of which the first tell what is wrong with them
_MOST_BYTES = 8
#: spans of bad bytes in a text, as its encoding meets them in a thread
_met = threading.local()


def _put_nuls(error: UnicodeError) -> tuple[bytes, int]:
    """Note a span, and put as many NULs as its bytes have in `raw`."""
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 - nothing else encodes with it
    _met.spans.append((error.start, error.end))
    return b"\0" * (_met.width * (error.end - error.start)), error.end


codecs.register_error("bulkio.nuls", _put_nuls)


def open_utf8(encoding: str, *, at_start: bool = True, tolerant: bool = False) -> Utf8Stream:
    """Return what decodes one file's pieces; where that is to be tolerant and cannot, it is strict."""
    if tolerant and _is_certain(codecs.lookup(encoding).name):
        return _MaskingStream(encoding, at_start=at_start)
    return Utf8Stream(encoding, at_start=at_start)


def _is_certain(codec: str) -> bool:
    """Tell whether each bad byte of an encoding, as Python calls it, is bad alone."""
    if codec in ("utf-8", "utf-8-sig", "ascii", "iso8859-1"):
        return True
    with suppress(ImportError):
        return hasattr(import_module(f"encodings.{codec.replace('-', '_')}"), "decoding_table")
    return False


class _MaskingStream(Utf8Stream):
    """A `Utf8Stream` that is tolerant. Of each line of a piece, `bad` has the first bytes that are."""

    def __init__(self, encoding: str, *, at_start: bool) -> None:
        super().__init__(encoding, at_start=at_start)
        self._escaping = codecs.getincrementaldecoder(self.codec)("surrogateescape")
        self._held = b""
        self._given_bytes = 0

    def feed(self, piece: bytes, *, final: bool = False) -> bytes:
        """Return the UTF-8 of `piece`, with NULs; a character that it cuts comes with the next one."""
        self.bad.clear()
        text, is_good = self._text(piece, final=final)
        self.raw = self._raw(piece, text)
        if self._head is not None and text.startswith("\ufeff"):
            text, self.raw, self.mark_bytes, self._head = text[1:], self.raw[len(BOM) :], len(BOM), None
        given = self.raw
        if not is_good:
            _met.spans, _met.width = [], 1 if self._passes else _ESCAPE_BYTES
            given = text.encode("utf-8", "bulkio.nuls")
            self._explain(text, _met.spans, piece)
        if text:
            self._head = None
        self._given_bytes += len(given)
        return given

    def _text(self, piece: bytes, *, final: bool) -> tuple[str, bool]:
        """Decode, and tell whether all was good."""
        before, is_good = self._decoder.getstate(), True
        try:
            text = self._decoder.decode(piece, final)
        except UnicodeDecodeError:
            self._escaping.setstate(before)
            text, is_good = self._escaping.decode(piece, final), False
            self._decoder.setstate(self._escaping.getstate())
        if self._windows is not None and CONTROLS.search(piece):
            return text.translate(_CONTROL_ESCAPES), False
        return text, is_good

    def _raw(self, piece: bytes, text: str) -> bytes:
        """Return what was decoded just now: of UTF-8 the bytes themselves, but for a character that is cut."""
        if not self._passes:
            return text.encode("utf-8", "surrogatepass")
        pending = bytes(self._decoder.getstate()[0])
        data = self._held + piece if self._held else piece
        self._held = pending
        return data[: len(data) - len(pending)] if pending else data

    def _explain(self, text: str, spans: Iterable[tuple[int, int]], piece: bytes) -> None:
        """Tell what is wrong with the first bad bytes of each line."""
        at, behind = 0, 0  # bytes and characters so far
        for start, end in spans:
            at += len(text[behind:start].encode())
            if behind == 0 or text.find("\n", behind, start) >= 0 or text.find("\r", behind, start) >= 0:
                self.bad[self._given_bytes + at] = self._why(text[start], self.raw[at : at + _MOST_BYTES], piece)
            at += (1 if self._passes else _ESCAPE_BYTES) * (end - start)
            behind = end

    def _why(self, escape: str, raw: bytes, piece: bytes) -> str:
        byte = bytes([ord(escape) - _ESCAPES])
        if self._windows is not None and CONTROLS.match(byte):
            return self._is_control(byte)
        try:
            return (raw if self._passes else byte).decode(self.codec)
        except UnicodeDecodeError as exc:
            return self._is_bad(exc, piece)

    def encode(self, data: bytes) -> bytes:
        """Return a part of `raw` as it stands in the file."""
        return data if self._passes else data.decode("utf-8", "surrogatepass").encode(self.codec, "surrogateescape")
