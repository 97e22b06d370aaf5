"""Arrow's units of time, the precision of a column's, and what becomes of infinity."""

from libc.stdint cimport int64_t

from bulkio.pgcopy.wire cimport Status


cdef extern from *:
    bint __builtin_mul_overflow(int64_t a, int64_t b, int64_t* result) nogil


cdef struct Unit:
    # How a value becomes microseconds: times `multiply`, or divided by `divide` where nothing is left over.
    int64_t multiply
    int64_t divide
    bint lossy  # what is left over is dropped, towards the past


cdef inline Unit unit_of(bytes format, bint lossy) except *:
    """The unit behind an Arrow format string such as ``tsu:UTC`` or ``ttm``."""
    cdef Unit unit
    unit.lossy = lossy
    letter = format[2:3]
    unit.multiply = {b"s": 1000000, b"m": 1000, b"u": 1, b"n": 1}[letter]
    unit.divide = 1000 if letter == b"n" else 1
    return unit


cdef inline int to_us(int64_t value, const Unit* unit, int64_t* us) noexcept nogil:
    if unit.divide != 1:
        us[0] = value // unit.divide
        if value % unit.divide:
            if not unit.lossy:
                return Status.WOULD_ROUND
            us[0] -= value < 0  # division rounds towards zero
        return Status.OK
    if __builtin_mul_overflow(value, unit.multiply, us):
        return Status.OUT_OF_RANGE
    return Status.OK


cdef inline int64_t grain_of(cast) except 0:
    """The microseconds of the last decimal place that timestamp(p) or time(p) keeps: the server rounds in silence."""
    if cast.policies.allow_lossy:
        return 1
    return 10 ** (6 - cast.pg.typmod) if 0 <= cast.pg.typmod < 6 else 1


cdef enum Infinity:
    # what becomes of infinity, which Arrow does not have
    IS_ERROR
    IS_NULL
    IS_SENTINEL


cdef inline Infinity infinity_of(cast) except *:
    return {"error": IS_ERROR, "null": IS_NULL, "sentinel": IS_SENTINEL}[cast.policies.infinity]
