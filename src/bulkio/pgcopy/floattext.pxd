"""Floats from text, for the encoder and for the checks of what the server itself parses."""

from libc.stdint cimport uint8_t


cdef enum:
    # bytes of a float
    DOUBLE = 8
    SINGLE = 4
    HALF = 2

cdef int read_float(const uint8_t* p, const uint8_t* end, int width, bint lossy, double* value) noexcept nogil
cdef int check_floats(const uint8_t* p, const uint8_t* end, int width) noexcept nogil
