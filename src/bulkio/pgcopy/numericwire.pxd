"""The wire format of numeric: what its encoders and decoders share.

src/backend/utils/adt/numeric.c, numeric_send: ndigits (unsigned), weight, sign, dscale, then base-10000 digits, most
significant first; 16 bits each, big-endian. The first digit counts 10000 ** weight. dscale is the number of decimal
places shown.
"""

from libc.stdint cimport int16_t, int32_t, uint8_t, uint16_t

from bulkio.pgcopy.wire cimport Out, State, Status, get16, put16, put32, reserve, wrong_length


cdef enum:
    BASE = 10000
    BASE_DIGITS = 4
    HEADER = 8  # ndigits, weight, sign, dscale
    POSITIVE = 0x0000
    NEGATIVE = 0x4000
    NAN = 0xC000
    PLUS_INFINITY = 0xD000
    MINUS_INFINITY = 0xF000
    INFINITY_DSCALE = 0x20  # nobody reads it, but this is what numeric_send gives
    # NUMERIC_DSCALE_MASK, and the limits that the manual gives (8.1.2): digits before and after the point
    DSCALE_MAX = 0x3FFF
    WHOLE_DIGITS_MAX = 131072
    # base-10000 digits of a 256-bit integer, with room to spare
    GROUPS_MAX = 24


cdef inline int put_header(Out* out, int ndigits, int weight, int sign, int dscale) noexcept nogil:
    """Append a numeric field's length and header; room for its digits is made too."""
    if reserve(out, 4 + HEADER + 2 * ndigits):
        return Status.NO_MEMORY
    put32(out.pos, HEADER + 2 * ndigits)
    put16(out.pos + 4, <uint16_t>ndigits)
    put16(out.pos + 6, <uint16_t><int16_t>weight)
    put16(out.pos + 8, <uint16_t>sign)
    put16(out.pos + 10, <uint16_t>dscale)
    out.pos += 4 + HEADER
    return Status.OK


cdef struct Number:
    # A numeric field's header, checked.
    int ndigits
    int weight
    int sign
    int dscale
    const uint8_t* digits


cdef inline int read_header(Number* number, const uint8_t* data, int32_t n, State* state) noexcept nogil:
    """Check a numeric field's shape and its digits."""
    cdef int i
    if n < HEADER:
        return wrong_length(state, HEADER, n)
    number.ndigits = <uint16_t>get16(data)
    number.weight = get16(data + 2)
    number.sign = <uint16_t>get16(data + 4)
    number.dscale = <uint16_t>get16(data + 6)
    number.digits = data + HEADER
    if n != HEADER + 2 * number.ndigits:
        return wrong_length(state, HEADER + 2 * number.ndigits, n)
    if number.sign not in (POSITIVE, NEGATIVE, NAN, PLUS_INFINITY, MINUS_INFINITY) or number.dscale > DSCALE_MAX:
        # an infinity's dscale is not looked at by the server either, but it always sends one in range
        return Status.BAD_VALUE
    for i in range(number.ndigits):
        if <uint16_t>get16(number.digits + 2 * i) >= BASE:
            return Status.BAD_VALUE
    return Status.OK
