"""money <-> decimal.

Wire format: src/backend/utils/adt/cash.c: a 64-bit integer of the smallest unit; how many decimal places it has is a
matter of the server's locale (lc_monetary), so the type carries them.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, give_array
from bulkio.pgcopy.limbs cimport Wide, power_of_ten, wide_div, wide_fits64, wide_load, wide_mul_add
from bulkio.pgcopy.wire cimport Buf, Out, State, Status, append_bytes, get64, put32, put64, reserve, wrong_length


cdef class MoneyEncoder(CellEncoder):
    """decimal of any width -> money. Places past the locale's must be zeros."""

    cdef int width, drop  # bytes; decimal digits that must be zero, negative where zeros are appended
    cdef const uint8_t* values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.width = cast.arrow.bit_width // 8
        self.drop = cast.arrow.scale - cast.pg.money_scale

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = <const uint8_t*>array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef Wide value
        cdef bint negative = wide_load(&value, self.values + self.width * (self.offset + row), self.width)
        cdef int left = self.drop
        cdef uint64_t limit = (<uint64_t>1 << 63) - (0 if negative else 1)
        while left > 0:
            if wide_div(&value, power_of_ten(min(left, 18))):
                return Status.WOULD_ROUND
            left -= 18
        for left in range(self.drop, 0):
            if wide_mul_add(&value, 10, 0):
                return Status.OUT_OF_RANGE
        if not wide_fits64(&value) or value.limb[0] > limit:
            return Status.OUT_OF_RANGE
        if reserve(out, 12):
            return Status.NO_MEMORY
        put32(out.pos, 8)
        put64(out.pos + 4, 0 - value.limb[0] if negative else value.limb[0])
        out.pos += 12
        return Status.OK


cdef class MoneyDecoder(CellDecoder):
    """money -> decimal128(19, places)."""

    cdef Buf values

    def __dealloc__(self):
        free(self.values.data)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int64_t words[2]
        if n != 8:
            return wrong_length(state, 8, n)
        words[0] = get64(data)
        words[1] = words[0] >> 63
        return append_bytes(&self.values, words, 16)

    cdef int blank(self) noexcept nogil:
        cdef int64_t words[2]
        words[0] = words[1] = 0
        return append_bytes(&self.values, words, 16)

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.values
        return give_array(self, out, buffers, 1)


ENCODERS = {"decimal_to_money": MoneyEncoder}
DECODERS = {"money": MoneyDecoder}
