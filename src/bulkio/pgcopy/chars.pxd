"""Reading and writing numbers in ASCII text, for the types that are strings in Arrow."""

from libc.stdint cimport uint8_t


cdef inline int hex_digit(uint8_t c) noexcept nogil:
    """The value of a hexadecimal digit, -1 for any other character."""
    if c'0' <= c <= c'9':
        return c - c'0'
    c |= 0x20
    if c'a' <= c <= c'f':
        return c - c'a' + 10
    return -1


cdef inline bint is_digit(uint8_t c) noexcept nogil:
    return c'0' <= c <= c'9'


cdef inline bint is_letter(uint8_t c) noexcept nogil:
    return c'a' <= (c | 0x20) <= c'z'


cdef inline uint8_t* put_decimal(uint8_t* p, unsigned int value) noexcept nogil:
    """Write a number without leading zeros; gives the end."""
    cdef uint8_t digits[10]
    cdef int n = 0
    while True:
        digits[n] = <uint8_t>(c'0' + value % 10)
        n += 1
        value //= 10
        if value == 0:
            break
    while n:
        n -= 1
        p[0] = digits[n]
        p += 1
    return p


cdef inline uint8_t* put_two(uint8_t* p, int value) noexcept nogil:
    """Write two decimal digits."""
    p[0] = <uint8_t>(c'0' + value // 10)
    p[1] = <uint8_t>(c'0' + value % 10)
    return p + 2


cdef inline uint8_t* put_hex(uint8_t* p, unsigned int value, bint upper) noexcept nogil:
    """Write a hexadecimal number without leading zeros; gives the end."""
    cdef int shift = 28
    cdef int digit
    while shift and (value >> shift) == 0:
        shift -= 4
    while shift >= 0:
        digit = (value >> shift) & 15
        p[0] = <uint8_t>(c'0' + digit if digit < 10 else (c'A' if upper else c'a') + digit - 10)
        p += 1
        shift -= 4
    return p


cdef inline int read_two(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """The value of exactly two decimal digits at p, -1 where they are not there."""
    if end - p < 2 or not is_digit(p[0]) or not is_digit(p[1]):
        return -1
    return 10 * (p[0] - c'0') + (p[1] - c'0')
