"""Texts of dates and times: read to see that they say no more than the column keeps.

The server's parser (src/backend/utils/adt/datetime.c) takes words and numbers in nearly any order, and leaves out in
silence what a type has no room for: a zone, a date, a time of day. So what is not clearly a date or a time written in
a common way is refused. What is let through may still be invalid: the server decides that.

What a text means must not depend on when or where it is loaded. So `now` and `today` are refused, and an instant has
its zone as an offset or as UTC: the server takes a missing one from the session, an abbreviation from its setting
timezone_abbreviations (EST is +10 in one of its sets), and a name's offset from its copy of the zones' data.
"""

from libc.stdint cimport uint8_t

from bulkio.pgcopy.chars cimport is_digit, is_letter
from bulkio.pgcopy.decimaltext cimport is_blank, trim, word_is
from bulkio.pgcopy.wire cimport Status

# words with a blank behind each
cdef const char* MONTHS = (
    b"january february march april may june july august september october november december "
)
cdef const char* WEEKDAYS = b"monday tuesday wednesday thursday friday saturday sunday "
cdef const char* RELATIVE = b"now today tomorrow yesterday "
cdef const char* UTC = b"z utc gmt "
# what stands alone, and means the same always
cdef const char* STAMPS = b"infinity -infinity epoch "
cdef const char* TIMES = b"allballs "

cdef struct Stamp:
    # What a text has said so far.
    Kind kind
    bint dated  # a date in one piece
    bint compact  # … as 20200131
    bint timed  # a time of day
    bint nonzero  # … that is not midnight
    bint halved  # am or pm
    bint month  # a month by its name
    bint zoned  # an offset from UTC
    int numbers  # that stand alone: a day, a year
    int years  # of those, the ones that are too long for a day


cdef bint is_one_of(const uint8_t* p, const uint8_t* end, const char* words, int least) noexcept nogil:
    """Whether this is one of `words`, or the beginning of one with `least` letters; 0: whole words only."""
    cdef int same = 0, size = 0
    while words[0] != 0:
        if words[0] == c' ':
            if p + same == end and (same == size or (least and same >= least)):
                return True
            same = size = 0
        else:
            if same == size and p + size < end and (p[size] | 0x20) == <uint8_t>words[0]:
                same += 1
            size += 1
        words += 1
    return False


cdef const uint8_t* skip_digits(const uint8_t* p, const uint8_t* end) noexcept nogil:
    while p < end and is_digit(p[0]):
        p += 1
    return p


cdef const uint8_t* skip_letters(const uint8_t* p, const uint8_t* end) noexcept nogil:
    while p < end and is_letter(p[0]):
        p += 1
    return p


cdef bint has_nonzero(const uint8_t* p, const uint8_t* end) noexcept nogil:
    while p < end:
        if c'1' <= p[0] <= c'9':
            return True
        p += 1
    return False


cdef const uint8_t* read_date(Stamp* stamp, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Pass over y-m-d, 31/Jan/2020, 31.1.2020 or y-ddd; NULL for anything else."""
    cdef const uint8_t* part
    cdef uint8_t separator = 0
    cdef int parts = 0, months = 0
    cdef bint year = False
    while True:
        part = p
        p = skip_digits(p, end)
        if p == part:
            p = skip_letters(p, end)
            if not is_one_of(part, p, MONTHS, 3):
                return NULL
            months += 1
        else:
            year = year or p - part > 2
        parts += 1
        if p == end or p[0] not in b"-/.":
            break
        if separator and p[0] != separator:
            return NULL
        separator = p[0]
        p += 1
    if stamp.dated or not year or months > 1 or not (parts == 3 or (parts == 2 and months == 0 and p - part == 3)):
        return NULL
    stamp.dated = True
    return p


cdef const uint8_t* read_time(Stamp* stamp, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Pass over h:m, h:m:s, hhmm, hhmmss, the seconds perhaps with a fraction; NULL for anything else."""
    cdef const uint8_t* first = p
    cdef const uint8_t* part = p
    cdef int parts = 1
    p = skip_digits(p, end)
    while parts < 3 and p > part and p < end and p[0] == c':':
        part = p + 1
        p = skip_digits(part, end)
        parts += 1
    if stamp.timed or p == part or (parts == 1 and p - first != 4 and p - first != 6):
        return NULL
    if parts == 3 or (parts == 1 and p - first == 6):
        if (p - 2)[0] == c'6':  # a leap second, of which the server makes the next minute's first
            return NULL
        if p < end and p[0] == c'.':
            p = skip_digits(p + 1, end)
    stamp.timed = True
    stamp.nonzero = has_nonzero(first, p)
    return p


cdef const uint8_t* read_word(Stamp* stamp, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Pass over a word that belongs to what the type keeps, with what is written on to it; NULL for anything else."""
    cdef const uint8_t* word = p
    p = skip_letters(p, end)
    if word_is(word, p, b"t") and p < end and is_digit(p[0]):
        return read_time(stamp, p, end) if stamp.dated or stamp.kind == Kind.TIME else NULL
    if stamp.kind != Kind.DATE and stamp.timed and not stamp.halved and is_one_of(word, p, b"am pm ", 0):
        stamp.halved = True
        return p
    if stamp.kind == Kind.TIME:
        return NULL
    if is_one_of(word, p, MONTHS, 3):
        if p < end and p[0] in b"-/.":
            return read_date(stamp, word, end)
        if stamp.month:
            return NULL
        stamp.month = True
        return p
    return p if is_one_of(word, p, b"bc ad ", 0) or is_one_of(word, p, WEEKDAYS, 3) else NULL


cdef const uint8_t* read_number(Stamp* stamp, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Pass over what begins with a digit; NULL for what may be more than the type keeps."""
    cdef const uint8_t* after = skip_digits(p, end)
    if after < end and after[0] == c':':
        return read_time(stamp, p, end)
    if stamp.compact or (stamp.kind == Kind.TIME and not stamp.timed):
        return read_time(stamp, p, end)
    if stamp.kind == Kind.TIME:
        return NULL
    if after < end and after[0] in b"-/.":
        return read_date(stamp, p, end)
    if stamp.dated:
        return NULL
    if after - p == 8:
        stamp.dated = stamp.compact = True
        return after
    stamp.numbers += 1
    stamp.years += after - p > 2
    return after


cdef bint may_have_zone(const Stamp* stamp) noexcept nogil:
    """Whether a zone may come next: behind what it belongs to, and only one."""
    return stamp.kind == Kind.INSTANT and not stamp.zoned and (stamp.timed or stamp.dated)


cdef const uint8_t* read_utc(Stamp* stamp, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Pass over Z, UTC or GMT; NULL for anything else, and for what only begins so, such as UTC+3."""
    cdef const uint8_t* word = p
    p = skip_letters(p, end)
    if not is_one_of(word, p, UTC, 0) or (p < end and not is_blank(p[0]) and p[0] != c','):
        return NULL
    stamp.zoned = True
    return p


cdef const uint8_t* read_offset(Stamp* stamp, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Pass over a sign and h, hh, hhmm, hh:mm or hh:mm:ss; NULL for anything else."""
    cdef const uint8_t* part = p + 1
    cdef int parts = 1
    p = skip_digits(part, end)
    if p == part or p - part > 4 or p - part == 3:
        return NULL
    while parts < 3 and p - part <= 2 and p < end and p[0] == c':':
        part = p + 1
        p = skip_digits(part, end)
        if p - part != 2:
            return NULL
        parts += 1
    if p < end and (not stamp.timed or (not is_blank(p[0]) and p[0] != c',')):
        return NULL
    stamp.zoned = True
    return p


cdef bint is_relative(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Whether a text has a word that means another day tomorrow."""
    cdef const uint8_t* word
    while p < end:
        word = p
        p = skip_letters(p, end)
        if is_one_of(word, p, RELATIVE, 0):
            return True
        p += p == word
    return False


cdef int check_stamp(Kind kind, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Find a zone, a date in a time, a time of day in a date: Status.WOULD_DROP also where that is not certain.

    Status.NOT_ABSOLUTE is for a text that the clock or the session would have to complete.
    """
    cdef Stamp stamp = Stamp(kind, False, False, False, False, False, False, False, 0, 0)
    cdef const uint8_t* part
    trim(&p, &end)
    if p == end or is_one_of(p, end, TIMES if kind == Kind.TIME else STAMPS, 0):
        return Status.OK
    if is_relative(p, end):
        return Status.NOT_ABSOLUTE
    while p < end:
        if is_blank(p[0]) or p[0] == c',':
            p += 1
            continue
        part = p
        if is_letter(p[0]):
            p = read_word(&stamp, p, end)
            if p == NULL and may_have_zone(&stamp) and not word_is(part, skip_letters(part, end), b"t"):
                p = read_utc(&stamp, part, end)
                if p == NULL:
                    return Status.NOT_ABSOLUTE
        elif is_digit(p[0]):
            p = read_number(&stamp, p, end)
        elif (p[0] == c'+' or p[0] == c'-') and may_have_zone(&stamp):
            p = read_offset(&stamp, p, end)
        else:
            return Status.WOULD_DROP
        if p == NULL or (kind == Kind.DATE and stamp.timed and stamp.nonzero):
            return Status.WOULD_DROP
    if stamp.month and (stamp.dated or stamp.numbers != 2 or stamp.years != 1):
        return Status.WOULD_DROP
    if stamp.numbers and not stamp.month:
        return Status.WOULD_DROP
    return Status.NOT_ABSOLUTE if kind == Kind.INSTANT and not stamp.zoned else Status.OK
