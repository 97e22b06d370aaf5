"""Decimal numbers in ASCII text: reading their parts, and floats to digits and back whatever the C locale says.

The C library writes and reads the decimal point of LC_NUMERIC, which any code of the process may have set: so no text
that goes through it here has a point.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport strtod

from bulkio.pgcopy.chars cimport is_digit
from bulkio.pgcopy.wire cimport Status


cdef enum:
    DIGITS_MAX = 19  # as many decimal digits as a uint64 always holds
    POINTLESS_MAX = 40  # room for DIGITS_MAX digits and an exponent


cdef struct NumberText:
    # A decimal number in text: its digits lie in [first, end), with perhaps one point among them.
    const uint8_t* first
    const uint8_t* end
    int64_t digits  # significant ones, leading zeros left out
    int64_t whole  # digits before the point, exponent applied; negative for 0.00…
    int64_t places  # digits after the point, exponent applied
    bint negative


cdef inline bint is_blank(uint8_t c) noexcept nogil:
    return c == c' ' or 9 <= c <= 13


cdef inline void trim(const uint8_t** p, const uint8_t** end) noexcept nogil:
    """Leave the blanks on both sides out."""
    while p[0] < end[0] and is_blank(p[0][0]):
        p[0] += 1
    while p[0] < end[0] and is_blank((end[0] - 1)[0]):
        end[0] -= 1


cdef inline bint take_sign(const uint8_t** p, const uint8_t* end) noexcept nogil:
    """Pass over a sign; True for a minus."""
    cdef bint minus = p[0] < end and p[0][0] == c'-'
    if minus or (p[0] < end and p[0][0] == c'+'):
        p[0] += 1
    return minus


cdef inline bint word_is(const uint8_t* p, const uint8_t* end, const char* word) noexcept nogil:
    """Compare with a lower-case word, whatever the case of the text."""
    cdef int i = 0
    while p + i < end and word[i] != 0:
        if (p[i] | 0x20) != <uint8_t>word[i]:
            return False
        i += 1
    return p + i == end and word[i] == 0


cdef inline int parse_number(NumberText* number, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Parse [digits][.digits][e[+-]digits], the sign taken off already."""
    cdef int64_t before = 0, after = 0, exponent = 0, zeros = 0
    cdef bint seen = False, point = False, significant = False, minus = False
    number.first = p
    while p < end and (is_digit(p[0]) or (p[0] == c'.' and not point)):
        if p[0] == c'.':
            point = True
        else:
            seen = True
            significant = significant or p[0] != c'0'
            zeros += not significant
            after += point
            before += not point
        p += 1
    number.end = p
    if not seen:
        return Status.BAD_SYNTAX
    if p < end and (p[0] | 0x20) == c'e':
        p += 1
        minus = take_sign(&p, end)
        if p == end:
            return Status.BAD_SYNTAX
        while p < end and is_digit(p[0]):
            if exponent < 1000000000:  # no text has so many digits that more could be made good
                exponent = exponent * 10 + (p[0] - c'0')
            p += 1
        exponent = -exponent if minus else exponent
    if p != end:
        return Status.BAD_SYNTAX
    number.digits = before + after - zeros
    number.whole = before - zeros + exponent
    number.places = after - exponent if after > exponent else 0
    return Status.OK


cdef inline uint64_t print_digits(double value, int count, int* exponent) noexcept nogil:
    """Round to `count` significant digits (1 to DIGITS_MAX): value is digits * 10 ** exponent, and not negative."""
    cdef char text[POINTLESS_MAX]
    cdef uint64_t digits = 0
    cdef bint minus
    cdef int i = 0, power = 0
    snprintf(text, sizeof(text), "%.*e", count - 1, value)
    while text[i] != c'e':
        if is_digit(text[i]):  # and not the point, whatever that is
            digits = 10 * digits + <uint64_t>(text[i] - c'0')
        i += 1
    minus = text[i + 1] == c'-'
    i += 2
    while text[i] != 0:
        power = 10 * power + (text[i] - c'0')
        i += 1
    exponent[0] = (-power if minus else power) - (count - 1) if digits else 0
    return digits


cdef inline int write_pointless(char* text, uint64_t digits, int exponent) noexcept nogil:
    """Write the number in POINTLESS_MAX bytes as digits and exponent; gives the length."""
    return snprintf(text, POINTLESS_MAX, "%llue%d", <unsigned long long>digits, exponent)


cdef inline int shortest_digits(char* text, double value) noexcept nogil:
    """Write the fewest digits, 15 at least, that give the same float64 back; gives the length."""
    cdef uint64_t digits
    cdef int count, exponent, n = 0
    for count in range(15, 18):  # 17 are enough for every float64
        digits = print_digits(value, count, &exponent)
        n = write_pointless(text, digits, exponent)
        if strtod(text, NULL) == value:
            break
    return n
