"""Whether the server would round the numbers of a text to a type's decimal places, or drop fields of an interval."""

from libc.stdint cimport uint8_t

cdef int check_places(const uint8_t* p, const uint8_t* end, int places) noexcept nogil
cdef int check_interval(const uint8_t* p, const uint8_t* end, int places) noexcept nogil
cdef int check_money(const uint8_t* p, const uint8_t* end, int places) noexcept nogil
cdef int check_fields(const uint8_t* p, const uint8_t* end, int kept) noexcept nogil
