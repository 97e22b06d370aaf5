"""Dates, times and booleans from text as PostgreSQL prints them under DateStyle ISO, so that they go in binary.

What the server's parser (src/backend/utils/adt/datetime.c) takes beyond that, such as words, other orders and sessions'
zones, is refused here: a source whose texts may be so leaves them to the server (`servertext`). What is read is exact:
a day that is in the calendar, a year that the type holds, no leap second, no decimal place that the column drops.
An instant needs its zone.
"""

from libc.stdint cimport int64_t, uint8_t

from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.chars cimport is_digit
from bulkio.pgcopy.decimaltext cimport is_blank, trim, word_is
from bulkio.pgcopy.strings cimport BytesEncoder
from bulkio.pgcopy.units cimport grain_of
from bulkio.pgcopy.wire cimport Out, Status, put32, put_integer, reserve

cdef enum:
    YEAR_DIGITS = 7
    EPOCH_DAYS = 10957  # 1970-01-01 to 2000-01-01
    # src/include/datatype/timestamp.h: the days that a date holds, since 2000-01-01, the last one excluded
    DATE_FIRST = -2451545
    DATE_END = 2145031949
    ZONE_HOURS_MAX = 15
    INFINITY_SIZE = 8

cdef int64_t SECOND_US = 1000000
cdef int64_t DAY_US = 86400 * SECOND_US
# the microseconds that a timestamp holds, since 2000-01-01, the last one excluded
cdef int64_t STAMP_FIRST = -211813488000000000
cdef int64_t STAMP_END = 9223371331200000000
cdef int64_t INT32_MAX = 0x7FFFFFFF
cdef int64_t INT64_MAX = 0x7FFFFFFFFFFFFFFF
cdef uint8_t[13] MONTH_DAYS = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

cdef struct Text:
    # what is left of a text
    const uint8_t* p
    const uint8_t* end


cdef inline bint take(Text* text, uint8_t c) noexcept nogil:
    """Pass over this byte, if it comes next."""
    if text.p < text.end and text.p[0] == c:
        text.p += 1
        return True
    return False


cdef inline int64_t take_number(Text* text, int least, int most) noexcept nogil:
    """Pass over so many digits; -1 where there are fewer or more."""
    cdef const uint8_t* first = text.p
    cdef int64_t number = 0
    while text.p < text.end and is_digit(text.p[0]) and text.p - first <= most:
        number = 10 * number + text.p[0] - c"0"
        text.p += 1
    return number if least <= text.p - first <= most else -1


cdef inline bint take_era(Text* text) noexcept nogil:
    """Pass over the BC at the end."""
    if text.end - text.p >= 3 and is_blank((text.end - 3)[0]) and word_is(text.end - 2, text.end, b"bc"):
        text.end -= 3
        return True
    return False


cdef int64_t days_of(int64_t year, int64_t month, int64_t day) noexcept nogil:
    """The days from 2000-01-01, in the Gregorian calendar at all times: eras of 400 years that begin on March 1."""
    cdef int64_t era, year_of_era, day_of_year
    if month <= 2:
        year -= 1
    era = (year if year >= 0 else year - 399) // 400
    year_of_era = year - 400 * era
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468 - EPOCH_DAYS


cdef int take_date(Text* text, bint is_bc, int64_t* days) noexcept nogil:
    """Pass over YYYY-MM-DD; only years beyond 9999 have more digits."""
    cdef const uint8_t* first = text.p
    cdef int64_t year = take_number(text, 4, YEAR_DIGITS), month, day
    if year <= 0 or (text.p - first > 4 and first[0] == c"0") or not take(text, c"-"):
        return Status.BAD_SYNTAX
    month = take_number(text, 2, 2)
    if not 1 <= month <= 12 or not take(text, c"-"):
        return Status.BAD_SYNTAX
    day = take_number(text, 2, 2)
    if is_bc:
        year = 1 - year
    if not 1 <= day <= MONTH_DAYS[month]:
        return Status.BAD_SYNTAX
    if month == 2 and day == 29 and (year % 4 != 0 or (year % 100 == 0 and year % 400 != 0)):
        return Status.BAD_SYNTAX
    days[0] = days_of(year, month, day)
    return Status.OK if DATE_FIRST <= days[0] < DATE_END else Status.OUT_OF_RANGE


cdef int take_fraction(Text* text, int64_t* us) noexcept nogil:
    """Pass over the digits after a point: six count, more must be zeros."""
    cdef int64_t scale = SECOND_US
    cdef const uint8_t* first = text.p
    while text.p < text.end and is_digit(text.p[0]):
        if scale == 1 and text.p[0] != c"0":
            return Status.WOULD_ROUND
        if scale > 1:
            scale //= 10
            us[0] += scale * (text.p[0] - c"0")
        text.p += 1
    return Status.BAD_SYNTAX if text.p == first else Status.OK


cdef int take_clock(Text* text, int64_t* us) noexcept nogil:
    """Pass over HH:MM[:SS[.ffffff]], of which 24:00:00 is the last."""
    cdef int64_t hour = take_number(text, 2, 2), minute, second = 0
    cdef int status = Status.OK
    us[0] = 0
    if not 0 <= hour <= 24 or not take(text, c":"):
        return Status.BAD_SYNTAX
    minute = take_number(text, 2, 2)
    if not 0 <= minute < 60:
        return Status.BAD_SYNTAX
    if take(text, c":"):
        second = take_number(text, 2, 2)
        if not 0 <= second < 60:
            return Status.BAD_SYNTAX
        if take(text, c"."):
            status = take_fraction(text, us)
    us[0] += ((hour * 60 + minute) * 60 + second) * SECOND_US
    return Status.BAD_SYNTAX if us[0] > DAY_US else status


cdef int take_zone(Text* text, int64_t* us) noexcept nogil:
    """Pass over Z, +HH, +HH:MM, +HHMM or +HH:MM:SS: what is to be taken off the local time."""
    cdef int64_t hours, minutes = 0, seconds = 0
    cdef bint minus
    if text.p < text.end and (text.p[0] | 0x20) == c"z":
        text.p += 1
        us[0] = 0
        return Status.OK
    minus = take(text, c"-")
    if not minus and not take(text, c"+"):
        return Status.BAD_SYNTAX
    hours = take_number(text, 2, 2)
    if take(text, c":"):
        minutes = take_number(text, 2, 2)
        if take(text, c":"):
            seconds = take_number(text, 2, 2)
    elif text.p < text.end:
        minutes = take_number(text, 2, 2)
    if not (0 <= hours <= ZONE_HOURS_MAX and 0 <= minutes < 60 and 0 <= seconds < 60):
        return Status.BAD_SYNTAX
    us[0] = ((hours * 60 + minutes) * 60 + seconds) * SECOND_US
    if minus:
        us[0] = -us[0]
    return Status.OK


cdef int take_stamp(Text* text, bint zoned, int64_t* us) noexcept nogil:
    """Pass over a date, and perhaps a time of day; a zone must follow that, or none may."""
    cdef bint is_bc = take_era(text)
    cdef int64_t days = 0, clock = 0, zone = 0
    cdef int status = take_date(text, is_bc, &days)
    if status == Status.OK and (zoned or text.p < text.end):
        if not take(text, c" ") and not take(text, c"T"):
            return Status.BAD_SYNTAX
        status = take_clock(text, &clock)
        if clock == DAY_US:  # of which the server makes another day
            return Status.BAD_SYNTAX
        if status == Status.OK and zoned:
            status = take_zone(text, &zone)
    if status:
        return status
    if days < STAMP_FIRST // DAY_US - 1 or days > STAMP_END // DAY_US + 1:
        return Status.OUT_OF_RANGE
    us[0] = days * DAY_US + clock - zone
    return Status.OK if STAMP_FIRST <= us[0] < STAMP_END else Status.OUT_OF_RANGE


cdef class IsoEncoder(BytesEncoder):
    """utf8 -> date, time, timestamp, timestamptz: their common loop; blanks around are allowed."""

    cdef int64_t grain
    cdef int width

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.grain = grain_of(cast) if cast.pg.codec != "date" else 1
        self.width = 4 if cast.pg.codec == "date" else 8

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef Text text
        cdef int64_t value = 0
        cdef const uint8_t* p
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &p)
        text.p, text.end = p, p + n
        trim(&text.p, &text.end)
        if text.end - text.p >= INFINITY_SIZE and not is_digit((text.p + 1)[0]):
            value = self.infinity(&text)
            return put_integer(out, value, self.width) if value else <int>Status.BAD_SYNTAX
        cdef int status = self.read(&text, &value)
        if status == Status.OK and text.p != text.end:
            return Status.BAD_SYNTAX
        if status == Status.OK and value % self.grain != 0:
            return Status.WOULD_ROUND
        return status if status else put_integer(out, value, self.width)

    cdef int read(self, Text* text, int64_t* value) noexcept nogil:
        """Read a text into the type's integer, up to where `text` then begins."""
        return Status.BAD_SYNTAX

    cdef int64_t infinity(self, const Text* text) noexcept nogil:
        """The integer of an infinity, 0 for any other text."""
        cdef int64_t most = INT32_MAX if self.width == 4 else INT64_MAX
        if word_is(text.p, text.end, b"infinity"):
            return most
        return -most - 1 if text.p[0] == c"-" and word_is(text.p + 1, text.end, b"infinity") else 0


cdef class IsoDateEncoder(IsoEncoder):
    """utf8 -> date: 2025-12-31, 0044-03-15 BC, infinity."""

    cdef int read(self, Text* text, int64_t* value) noexcept nogil:
        cdef bint is_bc = take_era(text)
        return take_date(text, is_bc, value)


cdef class IsoTimestampEncoder(IsoEncoder):
    """utf8 -> timestamp: 2025-12-31 23:59:59.5, a T for the blank, a date alone."""

    cdef int read(self, Text* text, int64_t* value) noexcept nogil:
        return take_stamp(text, False, value)


cdef class IsoTimestamptzEncoder(IsoEncoder):
    """utf8 -> timestamptz: 2025-12-31 23:59:59.5+01."""

    cdef int read(self, Text* text, int64_t* value) noexcept nogil:
        return take_stamp(text, True, value)


cdef class IsoTimeEncoder(IsoEncoder):
    """utf8 -> time: 23:59:59.5, 24:00:00."""

    cdef int read(self, Text* text, int64_t* value) noexcept nogil:
        return take_clock(text, value)

    cdef int64_t infinity(self, const Text* text) noexcept nogil:
        return 0  # a time has none


cdef inline bint begins(const uint8_t* p, const uint8_t* end, const char* word, int least) noexcept nogil:
    """Whether the text is the first letters of `word`, at least so many, in any case."""
    cdef int i = 0
    while p + i < end:
        if word[i] == 0 or (p[i] | 0x20) != <uint8_t>word[i]:
            return False
        i += 1
    return i >= least


cdef class BoolTextEncoder(BytesEncoder):
    """utf8 -> bool: all that the server reads (src/backend/utils/adt/bool.c, parse_bool_with_len)."""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* p
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &p)
        cdef const uint8_t* end = p + n
        cdef bint value
        trim(&p, &end)
        if end - p == 1 and (p[0] == c"0" or p[0] == c"1"):
            value = p[0] == c"1"
        elif begins(p, end, b"true", 1) or begins(p, end, b"yes", 1) or begins(p, end, b"on", 2):
            value = True
        elif begins(p, end, b"false", 1) or begins(p, end, b"no", 1) or begins(p, end, b"off", 2):
            value = False
        else:
            return Status.BAD_SYNTAX
        if reserve(out, 5):
            return Status.NO_MEMORY
        put32(out.pos, 1)
        out.pos[4] = value
        out.pos += 5
        return Status.OK


ENCODERS = {
    "iso_to_date": IsoDateEncoder,
    "iso_to_time": IsoTimeEncoder,
    "iso_to_timestamp": IsoTimestampEncoder,
    "iso_to_timestamptz": IsoTimestamptzEncoder,
    "text_to_bool": BoolTextEncoder,
}
DECODERS = {}
