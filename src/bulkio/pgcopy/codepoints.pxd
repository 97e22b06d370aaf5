"""A set of code points, looked for in text."""

from libc.stdint cimport int64_t, uint8_t, uint32_t


cdef struct CodePoints:
    # in ascending order, none of them ASCII
    const uint32_t* codes
    int64_t n


cdef inline bint contains(const CodePoints* points, uint32_t code) noexcept nogil:
    cdef int64_t low = 0, high = points.n, middle
    while low < high:
        middle = (low + high) // 2
        if points.codes[middle] < code:
            low = middle + 1
        else:
            high = middle
    return low < points.n and points.codes[low] == code


cdef inline bint has_any(const CodePoints* points, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Whether well-formed UTF-8 has one of these code points."""
    cdef uint32_t code
    cdef int more
    if points.n == 0:
        return False
    while p < end:
        if p[0] < 0x80:
            p += 1
            continue
        more = 1 if p[0] < 0xE0 else 2 if p[0] < 0xF0 else 3
        code = p[0] & (0x3F >> more)
        p += 1
        while more and p < end:
            code = code << 6 | (p[0] & 0x3F)
            p += 1
            more -= 1
        if contains(points, code):
            return True
    return False
