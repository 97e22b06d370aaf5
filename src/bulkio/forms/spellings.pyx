"""Spellings: which types print a text exactly as it stands. One pass over a column, a few nanoseconds a value.

A type counts only where PostgreSQL would print the very same bytes again (under DateStyle ISO, which bulkio pins):
00123, +5, -0, .5, 1e400, 2025-1-1 and 12:00:00.50 are text.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uintptr_t
from libc.string cimport memcmp

cdef enum:
    # bits of a mask
    IS_WORD = 1  # true, false
    IS_LETTER = 2  # t, f: what COPY prints
    IS_BIGINT = 4
    IS_NUMERIC = 8
    IS_DATE = 16
    IS_TIMESTAMP = 32
    IS_UUID = 64
    # ends of numeric (the manual, 8.1.2)
    INTEGER_DIGITS = 131072
    FRACTION_DIGITS = 16383
    BIGINT_DIGITS = 19

#: types by the bits of a mask, the narrowest first
TYPES = (
    (IS_WORD, "boolean"), (IS_LETTER, "boolean"), (IS_BIGINT, "bigint"), (IS_NUMERIC, "numeric"), (IS_DATE, "date"),
    (IS_TIMESTAMP, "timestamp"), (IS_UUID, "uuid"),
)
ALL = 127
#: bits of those types that a source's own spelling concerns
NUMBERS = IS_BIGINT | IS_NUMERIC
MOMENTS = IS_DATE | IS_TIMESTAMP

cdef const uint8_t* BIGINT_MAX = b"9223372036854775807"
cdef const uint8_t* BIGINT_MIN = b"9223372036854775808"
cdef uint8_t[13] MONTH_DAYS = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def spellings(array, int mask):
    """Return those bits of `mask` that every value of a pyarrow StringArray has; NULL has all."""
    cdef int64_t row, first = array.offset, end = array.offset + len(array)
    cdef const uint8_t* valid = NULL
    cdef const int32_t* offsets
    cdef const uint8_t* data = NULL
    buffers = array.buffers()
    if first == end or mask == 0:
        return mask
    if buffers[0] is not None:
        valid = <const uint8_t*><uintptr_t>buffers[0].address
    offsets = <const int32_t*><uintptr_t>buffers[1].address
    if buffers[2] is not None:
        data = <const uint8_t*><uintptr_t>buffers[2].address
    with nogil:
        for row in range(first, end):
            if valid == NULL or valid[row >> 3] >> (row & 7) & 1:
                mask &= spelling(data + offsets[row], offsets[row + 1] - offsets[row], mask)
                if mask == 0:
                    break
    return mask


cdef int spelling(const uint8_t* p, int64_t n, int mask) noexcept nogil:
    """Return the bits of one text, as far as they are in `mask`."""
    cdef int bits = 0
    if n == 0:
        return 0
    if mask & IS_NUMERIC:  # which every bigint is
        bits |= number(p, n)
    if mask & IS_DATE and n == 10 and is_date(p):
        bits |= IS_DATE
    if mask & IS_TIMESTAMP and is_timestamp(p, n):
        bits |= IS_TIMESTAMP
    if mask & IS_UUID and is_uuid(p, n):
        bits |= IS_UUID
    if mask & (IS_WORD | IS_LETTER):
        bits |= word(p, n)
    return bits


cdef int word(const uint8_t* p, int64_t n) noexcept nogil:
    if n == 1:
        return IS_LETTER if p[0] == c"t" or p[0] == c"f" else 0
    if n == 4:
        return 0 if memcmp(p, b"true", 4) else IS_WORD
    return IS_WORD if n == 5 and memcmp(p, b"false", 5) == 0 else 0


cdef int number(const uint8_t* p, int64_t n) noexcept nogil:
    """Digits without needless zeros before them; zero without a minus; a point among digits only."""
    cdef const uint8_t* end = p + n
    cdef bint minus = p[0] == c"-"
    cdef bint is_zero = True
    cdef const uint8_t* start = p + minus
    cdef const uint8_t* q = take_digits(start, end, &is_zero)
    cdef int64_t digits = q - start, places
    if digits == 0 or digits > INTEGER_DIGITS or (start[0] == c"0" and digits > 1):
        return 0
    if q < end:
        places = take_digits(q + 1, end, &is_zero) - q - 1
        if q[0] != c"." or places == 0 or places > FRACTION_DIGITS or q + 1 + places != end:
            return 0
    if minus and is_zero:
        return 0
    if q < end or digits > BIGINT_DIGITS:
        return IS_NUMERIC
    if digits == BIGINT_DIGITS and memcmp(start, BIGINT_MIN if minus else BIGINT_MAX, BIGINT_DIGITS) > 0:
        return IS_NUMERIC
    return IS_NUMERIC | IS_BIGINT


cdef const uint8_t* take_digits(const uint8_t* p, const uint8_t* end, bint* is_zero) noexcept nogil:
    while p < end and c"0" <= p[0] <= c"9":
        is_zero[0] = is_zero[0] and p[0] == c"0"
        p += 1
    return p


cdef int two(const uint8_t* p) noexcept nogil:
    """The number that two digits are; less than zero, or over 99, where they are not digits."""
    if not (c"0" <= p[0] <= c"9" and c"0" <= p[1] <= c"9"):
        return -1
    return 10 * (p[0] - c"0") + p[1] - c"0"


cdef bint is_date(const uint8_t* p) noexcept nogil:
    """YYYY-MM-DD, of a day that there is."""
    cdef int century = two(p), year = two(p + 2), month = two(p + 5), day = two(p + 8)
    if century < 0 or year < 0 or p[4] != c"-" or p[7] != c"-":
        return False
    if not (1 <= month <= 12 and 1 <= day <= MONTH_DAYS[month]):
        return False
    year += 100 * century
    if month == 2 and day == 29 and (year % 4 != 0 or (year % 100 == 0 and year % 400 != 0)):
        return False
    return year > 0


cdef bint is_timestamp(const uint8_t* p, int64_t n) noexcept nogil:
    """A date, a blank, a time of day to the second; a fraction of up to six digits, the last of which is not 0."""
    cdef bint is_zero = True
    if n < 19 or not is_date(p) or p[10] != c" " or p[13] != c":" or p[16] != c":":
        return False
    if not (0 <= two(p + 11) < 24 and 0 <= two(p + 14) < 60 and 0 <= two(p + 17) < 60):
        return False
    if n == 19:
        return True
    return (
        p[19] == c"." and 21 <= n <= 26 and take_digits(p + 20, p + n, &is_zero) == p + n and p[n - 1] != c"0"
    )


cdef bint is_uuid(const uint8_t* p, int64_t n) noexcept nogil:
    """32 hexadecimal digits in lower case, in five groups."""
    cdef int i
    if n != 36:
        return False
    for i in range(36):
        if i == 8 or i == 13 or i == 18 or i == 23:
            if p[i] != c"-":
                return False
        elif not (c"0" <= p[i] <= c"9" or c"a" <= p[i] <= c"f"):
            return False
    return True
