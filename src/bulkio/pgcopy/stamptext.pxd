"""Which texts of dates and times say no more than their type keeps, and the same at all times and places."""

from libc.stdint cimport uint8_t


cdef enum Kind:
    OTHER = 0
    DATE = 1
    TIME = 2
    TIMESTAMP = 3  # without zone
    INSTANT = 4  # with zone

cdef int check_stamp(Kind kind, const uint8_t* p, const uint8_t* end) noexcept nogil
