"""money <-> decimal.

Wire format: src/backend/utils/adt/cash.c: a 64-bit integer of the smallest unit; how many decimal places it has is a
matter of the server's locale (lc_monetary), so the type carries them.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from bulkio.pgcopy.fixed cimport FixedDecoder
from bulkio.pgcopy.wire cimport State, append_bytes, get64, wrong_length

from bulkio.pgcopy.numeric import ENCODERS as NUMERIC_ENCODERS


cdef class MoneyDecoder(FixedDecoder):
    """money -> decimal128(19, places)."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int64_t words[2]
        if n != 8:
            return wrong_length(state, 8, n)
        words[0] = get64(data)
        words[1] = words[0] >> 63
        return append_bytes(&self.values, words, 16)


ENCODERS = {"decimal_to_money": NUMERIC_ENCODERS["decimal_to_int"]}
DECODERS = {"money": MoneyDecoder}
