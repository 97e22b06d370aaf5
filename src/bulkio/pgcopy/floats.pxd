"""Loading any Arrow float as a double, writing one as a field."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from bulkio.pgcopy.wire cimport Out, put_integer


cdef inline double half_to_double(uint16_t bits) noexcept nogil:
    """Widen an IEEE 754 binary16."""
    cdef uint64_t sign = <uint64_t>(bits >> 15) << 63
    cdef int exponent = (bits >> 10) & 0x1F
    cdef uint64_t fraction = bits & 0x3FF
    cdef uint64_t wide
    cdef double result
    if exponent == 0x1F:
        wide = sign | (<uint64_t>0x7FF << 52) | (fraction << 42)
    elif exponent == 0:
        result = <double>fraction * 5.9604644775390625e-08  # 2 ** -24
        return -result if sign else result
    else:
        wide = sign | (<uint64_t>(exponent - 15 + 1023) << 52) | (fraction << 42)
    memcpy(&result, &wide, 8)
    return result


cdef inline double load_float(const void* values, int width, int64_t i) noexcept nogil:
    if width == 8:
        return (<const double*>values)[i]
    if width == 4:
        return <double>(<const float*>values)[i]
    return half_to_double((<const uint16_t*>values)[i])


cdef inline int float_width(bytes format) except -1:
    """Bytes of one value, from the format string e, f or g."""
    return {b"e": 2, b"f": 4, b"g": 8}[format]


cdef inline int put_float(Out* out, double value, int width) noexcept nogil:
    """Append a float4 or float8 field; `value` must be exact in `width` bytes."""
    cdef uint32_t narrow_bits
    cdef uint64_t bits
    cdef float narrow
    if width == 8:
        memcpy(&bits, &value, 8)
        return put_integer(out, <int64_t>bits, 8)
    narrow = <float>value
    memcpy(&narrow_bits, &narrow, 4)
    return put_integer(out, narrow_bits, 4)
