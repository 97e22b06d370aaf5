"""Text, bytea, json, jsonb, ltree, jsonpath: the types of variable width, from all of Arrow's layouts of them.

Wire formats: src/backend/utils/adt/{varlena,varchar,json,jsonb,jsonpath}.c, contrib/ltree. jsonb,
ltree and jsonpath are a version byte, 1, and then text.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memchr, memcpy

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.bytesview cimport bind_bytes, bytes_layout, load_bytes
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, give_array
from bulkio.pgcopy.codepoints cimport CodePoints, has_any
from bulkio.pgcopy.wire cimport (
    FIELD_MAX, TEXT_HAS_NUL, TEXT_OK, Buf, Out, State, Status, check_text, count_chars, put32, put_bytes, reserve,
    wrong_length,
)

cdef enum:
    # NAMEDATALEN less the terminating zero
    NAME_MAX = 63

cdef uint8_t TEXT_VERSION = 1
cdef bytes REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()


cdef class BytesEncoder(CellEncoder):
    """binary in any layout -> bytea; the base of all that reads strings."""

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        bytes_layout(&self.view, self.format)
        self.changed_codes = cast.charset.changed
        self.changed = CodePoints(<const uint32_t*><const char*>self.changed_codes, len(self.changed_codes) // 4)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        bind_bytes(&self.view, array)
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        if n < 0:
            return Status.DAMAGED
        if n > FIELD_MAX:
            return Status.FIELD_TOO_BIG
        return put_bytes(out, data, n)


cdef class TextEncoder(BytesEncoder):
    """utf8 in any layout -> text, varchar(n), bpchar(n), name, json. The server pads a shorter value in char(n).

    NUL and malformed UTF-8 are refused, and so is a value longer than the column's n characters (bytes in SQL_ASCII):
    the server would cut surplus blanks in silence. So is a character that the database's encoding does not keep.
    """

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.max_chars = cast.pg.max_chars or FIELD_MAX
        self.max_bytes = NAME_MAX if cast.pg.base_name == "name" else FIELD_MAX
        self.char_bytes = cast.charset.char_bytes if cast.pg.base_name == "name" else 0
        if cast.charset.counts_bytes:
            self.max_bytes = min(self.max_bytes, self.max_chars)
        self.mends = cast.policies.nul != "error"
        self.instead = REPLACEMENT if cast.policies.nul == "replace" else b""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        if n < 0:
            return Status.DAMAGED
        cdef int fault
        if n > FIELD_MAX:
            return Status.FIELD_TOO_BIG
        fault = check_text(data, n)
        if fault == TEXT_HAS_NUL and self.mends:
            return self.write_mended(out, data, n)
        if fault != TEXT_OK:
            return Status.HAS_NUL if fault == TEXT_HAS_NUL else Status.NOT_UTF8
        if (n > self.max_chars or n > self.max_bytes or self.char_bytes) and self.is_too_long(data, n):
            return Status.TOO_LONG
        if has_any(&self.changed, data, data + n):
            return Status.CHANGED_CHAR
        return put_bytes(out, data, n)

    cdef bint is_too_long(self, const uint8_t* data, int64_t n) noexcept nogil:
        cdef int64_t i, odd
        if n > self.max_bytes:
            return True
        if self.char_bytes:
            odd = count_chars(data, n)
            for i in range(n):
                odd -= data[i] < 0x80
            if count_chars(data, n) + odd * (self.char_bytes - 1) > self.max_bytes:
                return True
        return n > self.max_chars and count_chars(data, n) > self.max_chars

    cdef int write_mended(self, Out* out, const uint8_t* data, int64_t n) noexcept nogil:
        """Append a text whose NULs are taken out or replaced."""
        cdef const uint8_t* instead
        cdef size_t width
        cdef int64_t i
        cdef uint8_t* start
        with gil:  # rare: only a text that has a NUL comes here
            instead = self.instead
            width = len(self.instead)
        if reserve(out, 4 + n * (width if width > 1 else 1)):
            return Status.NO_MEMORY
        start = out.pos
        out.pos += 4
        for i in range(n):
            if data[i]:
                out.pos[0] = data[i]
                out.pos += 1
            else:
                memcpy(out.pos, instead, width)
                out.pos += width
        n = out.pos - start - 4
        if n > FIELD_MAX:
            return Status.FIELD_TOO_BIG
        if check_text(start + 4, n) != TEXT_OK:
            return Status.NOT_UTF8
        if self.is_too_long(start + 4, n):
            return Status.TOO_LONG
        if has_any(&self.changed, start + 4, out.pos):
            return Status.CHANGED_CHAR
        put32(start, <int32_t>n)
        return Status.OK


cdef class VersionedEncoder(BytesEncoder):
    """utf8 -> ltree, jsonpath; the base of jsonb's. The server checks the syntax itself."""

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.refuses_escapes = self.changed.n > 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        if n < 0:
            return Status.DAMAGED
        cdef int fault
        if n > FIELD_MAX - 1:
            return Status.FIELD_TOO_BIG
        fault = check_text(data, n)
        if fault != TEXT_OK:
            return Status.HAS_NUL if fault == TEXT_HAS_NUL else Status.NOT_UTF8
        if has_any(&self.changed, data, data + n) or (self.refuses_escapes and memchr(data, c'\\', n) != NULL):
            return Status.CHANGED_CHAR
        if reserve(out, 5 + n):
            return Status.NO_MEMORY
        put32(out.pos, <int32_t>(n + 1))
        out.pos[4] = TEXT_VERSION
        memcpy(out.pos + 5, data, n)
        out.pos += 5 + n
        return Status.OK


cdef class BytesDecoder(CellDecoder):
    """bytea -> binary; the base of all that arrives with 32-bit offsets."""

    def __dealloc__(self):
        free(self.offsets.data)
        free(self.data.data)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        return append_value(self, data, n)

    cdef int blank(self) noexcept nogil:
        return end_value(self)

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[2]
        buffers[0] = &self.offsets
        buffers[1] = &self.data
        return give_array(self, out, buffers, 2)


cdef class TextDecoder(BytesDecoder):
    """text and its kin, json -> string. The bytes must be UTF-8 (a SQL_ASCII database may send anything)."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int status = check_text(data, n)
        if status != TEXT_OK:
            return Status.HAS_NUL if status == TEXT_HAS_NUL else Status.NOT_UTF8
        return append_value(self, data, n)


cdef class VersionedDecoder(TextDecoder):
    """jsonb, ltree, jsonpath -> string, without the version."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        if n < 1:
            return wrong_length(state, 1, n)
        if data[0] != TEXT_VERSION:
            return Status.BAD_VALUE
        return TextDecoder.read(self, data + 1, n - 1, state)


ENCODERS = {
    "bytes": BytesEncoder,
    "text": TextEncoder,
    "versioned_text": VersionedEncoder,
}

DECODERS = {
    "bytea": BytesDecoder,
    "text": TextDecoder,
    "json": TextDecoder,
    "jsonb": VersionedDecoder,
    "versioned_text": VersionedDecoder,
}
