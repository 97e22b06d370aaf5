"""Numbers in the texts of times, intervals and money: whether the server would round them, as it does in silence.

What its parsers round to: src/backend/utils/adt/{datetime,timestamp,cash}.c.
"""

from libc.stdint cimport uint8_t

from bulkio.pgcopy.chars cimport is_digit, is_letter
from bulkio.pgcopy.wire cimport Status


cdef struct Reading:
    const uint8_t* end
    bint zero
    bint quarters  # the fraction is .25, .5 or .75
    int places  # of the last digit that is not 0; negative for 100


cdef void read_number(Reading* number, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Read [digits][.digits][e[+-]digits]; p is at a digit, or at a point with a digit behind it."""
    cdef int zeros = 0, fraction = 0, exponent = 0, last = 0, hundredths = 0
    cdef bint minus
    cdef const uint8_t* mark
    number.zero = True
    while p < end and is_digit(p[0]):
        zeros = zeros + 1 if p[0] == c'0' else 0
        number.zero = number.zero and p[0] == c'0'
        p += 1
    number.places = -zeros
    if p < end and p[0] == c'.':
        p += 1
        while p < end and is_digit(p[0]):
            fraction += 1
            if fraction <= 2:
                hundredths += (p[0] - c'0') * (10 if fraction == 1 else 1)
            if p[0] != c'0':
                last = fraction
                number.zero = False
            p += 1
        if last:
            number.places = last
    number.quarters = last <= 2 and hundredths % 25 == 0
    number.end = p
    if p < end and (p[0] | 0x20) == c'e':
        mark = p + 1
        minus = mark < end and mark[0] == c'-'
        if mark < end and (mark[0] == c'-' or mark[0] == c'+'):
            mark += 1
        if mark < end and is_digit(mark[0]):
            while mark < end and is_digit(mark[0]):
                exponent = min(10 * exponent + mark[0] - c'0', 1000000)
                mark += 1
            number.places += exponent if minus else -exponent
            number.quarters = False
            number.end = mark


cdef bint next_number(Reading* number, const uint8_t** at, const uint8_t* end) noexcept nogil:
    """Read the next number of a text, and move behind it; False where there is none."""
    cdef const uint8_t* p = at[0]
    while p < end and not (is_digit(p[0]) or (p[0] == c'.' and end - p > 1 and is_digit(p[1]))):
        p += 1
    at[0] = p
    if p == end:
        return False
    read_number(number, p, end)
    at[0] = number.end
    return True


cdef bint starts_with(const uint8_t* p, const uint8_t* end, const char* word) noexcept nogil:
    """Compare the beginning with a lower-case word, whatever the case of the text."""
    cdef int i = 0
    while word[i] != 0:
        if p + i >= end or (p[i] | 0x20) != <uint8_t>word[i]:
            return False
        i += 1
    return True


cdef bint unit_rounds(const Reading* number, const uint8_t* end, int places) noexcept nogil:
    """Whether an interval's number, in the unit that stands behind it, would be rounded."""
    cdef const uint8_t* unit = number.end
    while unit < end and unit[0] == c' ':
        unit += 1
    if starts_with(unit, end, b"us") or starts_with(unit, end, b"mic"):
        return number.places + 6 > places
    if starts_with(unit, end, b"ms") or starts_with(unit, end, b"millis"):
        return number.places + 3 > places
    if starts_with(unit, end, b"y"):
        return number.places > 0 and not number.quarters  # whole months
    if starts_with(unit, end, b"c") or starts_with(unit, end, b"dec") or starts_with(unit, end, b"mil"):
        return number.places > 0
    return number.places > places


cdef int check_places(const uint8_t* p, const uint8_t* end, int places) noexcept nogil:
    """Look at every number in a text of a time."""
    cdef Reading number
    while next_number(&number, &p, end):
        if not number.zero and number.places > places:
            return Status.WOULD_ROUND
    return Status.OK


cdef int check_interval(const uint8_t* p, const uint8_t* end, int places) noexcept nogil:
    """Look at every number in a text of an interval, each in its unit."""
    cdef Reading number
    while next_number(&number, &p, end):
        if not number.zero and unit_rounds(&number, end, places):
            return Status.WOULD_ROUND
    return Status.OK


cdef int field_of(uint8_t letter, bint timed) noexcept nogil:
    """The bit of a field in an interval's typmod (src/include/utils/datetime.h), 0 for seconds and what is none."""
    if letter == c'Y':
        return 1 << 2
    if letter == c'M':
        return 1 << 11 if timed else 1 << 1
    if letter == c'D':
        return 1 << 3
    return 1 << 10 if letter == c'H' else 0


cdef int check_fields(const uint8_t* p, const uint8_t* end, int kept) noexcept nogil:
    """Find a field that an interval's range leaves out. Only ISO 8601 is read, as an export writes it: P1Y2M3DT4H5M."""
    cdef bint timed = False, zero = True
    cdef int fields
    if p >= end or p[0] != c'P':
        return Status.WOULD_DROP
    # a range keeps its own fields and all that are larger
    fields = 1 << 2 | (1 << 1 if kept & ~(1 << 2) else 0) | (1 << 3 if kept & ~(1 << 2 | 1 << 1) else 0)
    fields |= (1 << 10 if kept & (1 << 10 | 1 << 11) else 0) | (1 << 11 if kept & 1 << 11 else 0)
    p += 1
    while p < end:
        if is_digit(p[0]):
            zero = zero and p[0] == c'0'
        elif p[0] == c'T':
            timed = True
        elif p[0] == c'.':
            return Status.WOULD_DROP
        elif is_letter(p[0]):
            if not zero and not fields & field_of(p[0], timed):
                return Status.WOULD_DROP
            zero = True
        p += 1
    return Status.OK


cdef bint commas_group(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Tell whether three digits follow each comma: the server drops it, and of 1,50 it would make 150."""
    cdef int i
    while p < end:
        if p[0] == c',':
            if end - p < 4 or (end - p > 4 and is_digit(p[4])):
                return False
            for i in range(1, 4):
                if not is_digit(p[i]):
                    return False
        p += 1
    return True


cdef int check_money(const uint8_t* p, const uint8_t* end, int places) noexcept nogil:
    """Take the last point or comma for the decimal point, as in some locale it is."""
    cdef const uint8_t* last = end
    cdef int digits = 0
    if not commas_group(p, end):
        return Status.BAD_SYNTAX
    while last > p and (last - 1)[0] != c'.' and (last - 1)[0] != c',':
        last -= 1
    if last == p:
        return Status.OK
    while last < end:
        digits += is_digit(last[0])
        if digits > places and c'1' <= last[0] <= c'9':
            return Status.WOULD_ROUND
        last += 1
    return Status.OK
