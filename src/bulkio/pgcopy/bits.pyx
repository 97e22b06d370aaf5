"""bit(n), varbit <-> string of 0 and 1.

Wire format: src/backend/utils/adt/varbit.c: the number of bits, 32 bits, then the bits, the first one highest; those
that fill up the last byte are zeros.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.strings cimport OFFSET_MAX, BytesDecoder, BytesEncoder, end_value
from bulkio.pgcopy.wire cimport FIELD_MAX, Out, State, Status, get32, put32, reserve, room, wrong_length


cdef class BitEncoder(BytesEncoder):
    """utf8 of 0 and 1 -> bit(n), exactly n, and varbit(n), n at most. The server's x1F and b101 are refused."""

    cdef int64_t exact, most

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        varying = cast.pg.base_name == "varbit"
        limit = cast.pg.typmod
        self.exact = limit if limit > 0 and not varying else -1
        self.most = limit if limit > 0 and varying else FIELD_MAX

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        if n < 0:
            return Status.DAMAGED
        cdef int64_t size = (n + 7) // 8, i
        cdef uint8_t* bits
        if n > FIELD_MAX:
            return Status.FIELD_TOO_BIG
        for i in range(n):
            if data[i] != c'0' and data[i] != c'1':
                return Status.BAD_SYNTAX
        if n > self.most:
            return Status.TOO_LONG
        if self.exact >= 0 and n != self.exact:
            return Status.WRONG_BITS
        if reserve(out, 8 + size):
            return Status.NO_MEMORY
        put32(out.pos, <int32_t>(4 + size))
        put32(out.pos + 4, <int32_t>n)
        bits = out.pos + 8
        memset(bits, 0, size)
        for i in range(n):
            bits[i >> 3] |= <uint8_t>((data[i] & 1) << (7 - (i & 7)))
        out.pos += 8 + size
        return Status.OK


cdef class BitDecoder(BytesDecoder):
    """bit(n), varbit -> string of 0 and 1."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int64_t count, i
        cdef uint8_t* text
        if n < 4:
            return wrong_length(state, 4, n)
        count = get32(data)
        if count < 0:
            return Status.BAD_VALUE
        if n != 4 + (count + 7) // 8:
            return wrong_length(state, 4 + (count + 7) // 8, n)
        if count & 7 and data[n - 1] & (0xFF >> (count & 7)):
            return Status.BAD_VALUE
        if <int64_t>self.data.size + count > OFFSET_MAX:
            return Status.BATCH_TOO_BIG
        if room(&self.data, count):
            return Status.NO_MEMORY
        text = self.data.data + self.data.size
        data += 4
        for i in range(count):
            text[i] = <uint8_t>(c'0' + ((data[i >> 3] >> (7 - (i & 7))) & 1))
        self.data.size += count
        if count > n:
            state.inflated += count - n
        return end_value(self)


ENCODERS = {"bit": BitEncoder}
DECODERS = {"bit": BitDecoder}
