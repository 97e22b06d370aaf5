"""Short fixed forms between string and bytes: pg_lsn both ways, and uuid from its text.

Wire formats: src/backend/utils/adt/{pg_lsn,uuid}.c: a 64-bit position in the WAL; 16 bytes.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.chars cimport hex_digit, put_hex
from bulkio.pgcopy.strings cimport BytesDecoder, BytesEncoder, append_value
from bulkio.pgcopy.wire cimport Out, State, Status, get32, put_bytes, put_integer, wrong_length

cdef enum:
    UUID_SIZE = 16


cdef inline int read_word(const uint8_t** at, const uint8_t* end, uint32_t* word) noexcept nogil:
    """Read one to eight hexadecimal digits."""
    cdef const uint8_t* p = at[0]
    word[0] = 0
    while p < end and p - at[0] < 8 and hex_digit(p[0]) >= 0:
        word[0] = word[0] << 4 | <uint32_t>hex_digit(p[0])
        p += 1
    if p == at[0]:
        return Status.BAD_SYNTAX
    at[0] = p
    return Status.OK


cdef class LsnEncoder(BytesEncoder):
    """utf8 such as ``16/B374D848`` -> pg_lsn."""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* p
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &p)
        if n < 0:
            return Status.DAMAGED
        cdef const uint8_t* end = p + n
        cdef uint32_t high, low
        if read_word(&p, end, &high) or p == end or p[0] != c'/':
            return Status.BAD_SYNTAX
        p += 1
        if read_word(&p, end, &low) or p != end:
            return Status.BAD_SYNTAX
        return put_integer(out, <int64_t>(<uint64_t>high << 32 | low), 8)


cdef class LsnDecoder(BytesDecoder):
    """pg_lsn -> string, as the server's own text."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef uint8_t text[17]
        cdef uint8_t* p
        if n != 8:
            return wrong_length(state, 8, n)
        p = put_hex(text, <uint32_t>get32(data), True)
        p[0] = c'/'
        p = put_hex(p + 1, <uint32_t>get32(data + 4), True)
        return append_value(self, text, <int32_t>(p - text))


cdef int parse_uuid(uint8_t* uuid, const uint8_t* p, int64_t n) noexcept nogil:
    """Parse as the server does: 32 digits, a hyphen allowed behind every four, braces around allowed."""
    cdef const uint8_t* end = p + n
    cdef int i, high, low
    cdef bint braces = p < end and p[0] == c'{'
    p += braces
    for i in range(UUID_SIZE):
        if end - p < 2:
            return Status.BAD_SYNTAX
        high, low = hex_digit(p[0]), hex_digit(p[1])
        if high < 0 or low < 0:
            return Status.BAD_SYNTAX
        uuid[i] = <uint8_t>(high << 4 | low)
        p += 2
        if i & 1 and i < UUID_SIZE - 1 and p < end and p[0] == c'-':
            p += 1
    if braces:
        if p == end or p[0] != c'}':
            return Status.BAD_SYNTAX
        p += 1
    return Status.OK if p == end else Status.BAD_SYNTAX


cdef class TextToUuidEncoder(BytesEncoder):
    """utf8 -> uuid, in every spelling that the server takes."""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        if n < 0:
            return Status.DAMAGED
        cdef uint8_t uuid[UUID_SIZE]
        cdef int status = parse_uuid(uuid, data, n)
        return status or put_bytes(out, uuid, UUID_SIZE)


ENCODERS = {"pg_lsn": LsnEncoder, "text_to_uuid": TextToUuidEncoder}
DECODERS = {"pg_lsn": LsnDecoder}
