"""Text that the server's own input functions will parse: checked for what they would round or drop in silence.

The server decides what is valid. These checks only read the text, so they err on the safe side: what might lose
something is refused, even where a closer look would show that nothing is lost. What the input functions do in
silence (src/backend/utils/adt/{datetime,date,timestamp,cash,numeric,varchar}.c): they round to the column's decimal
places, leave out a zone, a date or a time of day that the type has no room for, and trim blanks.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.chars cimport is_digit, is_letter
from bulkio.pgcopy.strings cimport TextEncoder
from bulkio.pgcopy.wire cimport FIELD_MAX, Out, Status, count_chars

cdef enum:
    FULL_RANGE = 0x7FFF  # of an interval's typmod: no fields are left out
    SECONDS = 1 << 12  # in such a range: none is left out either
    FULL_PRECISION = 0xFFFF
    MICROSECONDS = 6  # decimal places
    UNLIMITED = 0x7FFFFFFF

cdef enum Kind:
    ANY = 0
    DATE = 1
    TIME = 2
    TIMESTAMP = 3  # without zone


cdef struct Rules:
    int places  # decimal places that are kept, UNLIMITED where the server never rounds
    int max_chars  # more are trimmed where they are blanks
    Kind kind
    bint interval
    bint money
    int kept  # of an interval of which only some fields are kept: its range, else 0


cdef struct Check:
    # of a value that is not made of others, or of all the bounds of a range
    Rules rules
    uint8_t opens  # ( of a composite, { of an array; 0 for any other
    uint8_t delimiter
    bint bounds
    # a composite's columns, an array's element
    int count
    Check* parts


def _places(pg):
    """Give the decimal places that a type keeps; UNLIMITED where it rounds nothing, or not in silence."""
    if pg.codec == "numeric" and pg.precision is not None:
        return pg.scale
    if pg.codec == "money":
        return pg.money_scale
    if pg.codec in ("time", "timetz", "timestamp", "timestamptz"):
        return min(pg.typmod, MICROSECONDS) if pg.typmod >= 0 else MICROSECONDS
    if pg.codec == "interval":
        return min(pg.typmod & FULL_PRECISION, MICROSECONDS) if pg.typmod >= 0 else MICROSECONDS
    return UNLIMITED


def _kept(pg):
    """Give the range of an interval that leaves something out."""
    fields = (pg.typmod >> 16) & FULL_RANGE if pg.codec == "interval" and pg.typmod >= 0 else FULL_RANGE
    return 0 if fields & SECONDS else fields


cdef Rules rules_for(pg, bint lossy) except *:
    cdef Rules rules
    kinds = {"date": Kind.DATE, "time": Kind.TIME, "timestamp": Kind.TIMESTAMP}
    rules.places = UNLIMITED if lossy else _places(pg)
    rules.max_chars = UNLIMITED if pg.max_chars is None else pg.max_chars
    rules.kind = kinds.get(pg.codec, Kind.ANY)
    rules.interval = pg.codec == "interval"
    rules.money = pg.codec == "money"
    rules.kept = _kept(pg)
    return rules


cdef bint build_check(Check* check, pg, bint lossy) except -1:
    """Fill in what a type's text must not lose, part by part; tell whether there is anything."""
    cdef bint needed = False
    cdef int i
    parts = [part for _, part in pg.fields]
    if not parts and pg.element is not None:
        parts = [pg.item]
        check.bounds = pg.codec not in ("array", "server_text")
    if not parts:
        check.rules = rules_for(pg, lossy)
        rules = check.rules
        return rules.places != UNLIMITED or rules.max_chars != UNLIMITED or rules.kind != Kind.ANY or rules.kept != 0
    if check.bounds:  # all of the same type: a multirange's ranges, a range's bounds
        return build_bounds(check, pg, lossy)
    check.opens = c'(' if pg.fields else c'{'
    check.delimiter = c',' if pg.fields else <uint8_t>ord(pg.delimiter)
    check.parts = <Check*>calloc(len(parts), sizeof(Check))
    if check.parts == NULL:
        raise MemoryError
    check.count = len(parts)
    for i, part in enumerate(parts):
        needed = build_check(&check.parts[i], part, lossy) or needed
    return needed


cdef bint build_bounds(Check* check, pg, bint lossy) except -1:
    while pg.element is not None:
        pg = pg.item
    check.rules = rules_for(pg, lossy)
    return check.rules.places != UNLIMITED or check.rules.kind != Kind.ANY


cdef void free_check(Check* check) noexcept:
    cdef int i
    for i in range(check.count):
        free_check(&check.parts[i])
    free(check.parts)
    check.parts = NULL
    check.count = 0


# --- rounding ---------------------------------------------------------------------------------------------------


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


cdef int check_numbers(const Rules* rules, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Look at every number in a text."""
    cdef Reading number
    while p < end:
        if not (is_digit(p[0]) or (p[0] == c'.' and end - p > 1 and is_digit(p[1]))):
            p += 1
            continue
        read_number(&number, p, end)
        if not number.zero:
            if unit_rounds(&number, end, rules.places) if rules.interval else number.places > rules.places:
                return Status.WOULD_ROUND
        p = number.end
    return Status.OK


cdef int check_money(const Rules* rules, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Take the last point or comma for the decimal point, as in some locale it is."""
    cdef const uint8_t* last = end
    cdef int places = 0
    while last > p and (last - 1)[0] != c'.' and (last - 1)[0] != c',':
        last -= 1
    if last == p:
        return Status.OK
    while last < end:
        places += is_digit(last[0])
        if places > rules.places and c'1' <= last[0] <= c'9':
            return Status.WOULD_ROUND
        last += 1
    return Status.OK


# --- dropping ---------------------------------------------------------------------------------------------------

# words with a blank behind each; NULL stands in arrays, empty in ranges
cdef const char* CALENDAR = (
    b"january february march april may june july august september october november december "
    b"monday tuesday wednesday thursday friday saturday sunday "
)
cdef const char* DATE_WORDS = b"t bc ad infinity epoch now today tomorrow yesterday null empty "
cdef const char* TIME_WORDS = b"t am pm now allballs null empty "


cdef bint is_one_of(const uint8_t* p, int n, const char* words, int least) noexcept nogil:
    """Whether the word at p is among `words`, or the beginning of one with `least` letters; 0: whole words only."""
    cdef int same = 0, size = 0
    while words[0] != 0:
        if words[0] == c' ':
            if same == n and (n == size or (least and n >= least)):
                return True
            same = size = 0
        else:
            if same == size and size < n and (p[size] | 0x20) == <uint8_t>words[0]:
                same += 1
            size += 1
        words += 1
    return False


cdef bint word_is_kept(const uint8_t* p, int n, Kind kind) noexcept nogil:
    """Whether a word belongs to what a type keeps; zones do not."""
    if kind != Kind.DATE and is_one_of(p, n, TIME_WORDS, 0):
        return True
    if kind == Kind.TIME:
        return False
    return is_one_of(p, n, DATE_WORDS, 0) or is_one_of(p, n, CALENDAR, 3)


cdef int check_dropped(Kind kind, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Find a zone, a date in a time, a time of day in a date."""
    cdef const uint8_t* word
    cdef bint timed = False  # we are in the time of day
    cdef bint compact = False  # a run of six digits or more came before
    cdef bint digits = False, nonzero
    while p < end:
        word = p
        if is_letter(p[0]):
            while p < end and is_letter(p[0]):
                p += 1
            if not word_is_kept(word, <int>min(p - word, 64), kind):
                return Status.WOULD_DROP
            if p - word == 1 and p < end and is_digit(p[0]):  # T
                if kind == Kind.TIME and digits:
                    return Status.WOULD_DROP
                timed = True
        elif is_digit(p[0]):
            nonzero = False
            while p < end and is_digit(p[0]):
                nonzero = nonzero or p[0] != c'0'
                p += 1
            if (p < end and p[0] == c':') or (compact and (p - word == 4 or p - word == 6)):
                if kind == Kind.TIME and digits and not timed:
                    return Status.WOULD_DROP
                timed = True
            if kind == Kind.DATE and timed and nonzero:
                return Status.WOULD_DROP
            compact = compact or p - word >= 6
            digits = True
        else:
            if (p[0] == c'+' or p[0] == c'-') and (timed or (kind == Kind.TIME and digits)):
                return Status.WOULD_DROP
            if kind == Kind.TIME and p[0] == c'/':
                return Status.WOULD_DROP
            p += 1
    return Status.OK


# --- intervals of some fields ------------------------------------------------------------------------------------


cdef int check_kept(int kept, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Find a field that the range leaves out. Only ISO 8601 is read, which is what an export writes: P1Y2M3DT4H5M."""
    cdef bint timed = False, zero = True
    cdef int fields
    if p >= end or p[0] != c'P':
        return Status.WOULD_DROP
    # bits of datetime.h: a range keeps its own fields and all that are larger
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


cdef int field_of(uint8_t letter, bint timed) noexcept nogil:
    if letter == c'Y':
        return 1 << 2
    if letter == c'M':
        return 1 << 11 if timed else 1 << 1
    if letter == c'D':
        return 1 << 3
    return 1 << 10 if letter == c'H' else 0


# --- whole values -----------------------------------------------------------------------------------------------


cdef inline bint is_delimiter(uint8_t c) noexcept nogil:
    """What stands between the parts of ranges and multiranges."""
    return c in b'{}[](),"\\'


cdef inline bint is_blank(uint8_t c) noexcept nogil:
    return c == c' ' or 9 <= c <= 13


cdef int check_plain(const Rules* rules, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Check the text of a value that is not made of others."""
    cdef int status = Status.OK
    if p < end and (end - 1)[0] == c' ' and end - p > rules.max_chars and count_chars(p, end - p) > rules.max_chars:
        return Status.WOULD_DROP
    if rules.kept:
        return check_kept(rules.kept, p, end)
    if rules.places != UNLIMITED:
        status = check_money(rules, p, end) if rules.money else check_numbers(rules, p, end)
    if status == Status.OK and rules.kind != Kind.ANY:
        status = check_dropped(rules.kind, p, end)
    return status


cdef int check_bounds(const Rules* rules, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Check whatever stands between the delimiters of a range or multirange."""
    cdef const uint8_t* part = p
    cdef int status
    while p <= end:
        if p == end or is_delimiter(p[0]):
            status = check_plain(rules, part, p)
            if status:
                return status
            part = p + 1
        p += 1
    return Status.OK


cdef int check_value(const Check* check, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Check a value's text, and that of its parts. What is not well-formed is left to the server, which refuses it."""
    cdef uint8_t* part
    cdef int status
    if check.bounds:
        return check_bounds(&check.rules, p, end)
    if not check.opens:
        return check_plain(&check.rules, p, end)
    while p < end and p[0] != check.opens:  # blanks, or an array's bounds
        p += 1
    if p == end:
        return Status.OK
    part = <uint8_t*>malloc(end - p)
    if part == NULL:
        return Status.NO_MEMORY
    status = check_parts(check, p + 1, end, part)
    free(part)
    return status


cdef int check_parts(const Check* check, const uint8_t* p, const uint8_t* end, uint8_t* part) noexcept nogil:
    """Take the parts out of their quotes into `part`, one after the other, and check each.

    Source: array_in (src/backend/utils/adt/arrayfuncs.c) and record_in (rowtypes.c).
    """
    cdef int64_t n = 0, kept = 0  # bytes of the part, and of those up to the last that no one may trim
    cdef int column = 0, status
    cdef bint quoted = False, was_quoted = False
    cdef bint is_array = check.opens == c'{'
    cdef uint8_t closes = c'}' if is_array else c')'
    while p < end:
        if p[0] == c'\\' and p + 1 < end:
            p += 1
            part[n] = p[0]
            n += 1
            kept = n
        elif p[0] == c'"':
            if quoted and not is_array and p + 1 < end and p[1] == c'"':
                p += 1
                part[n] = c'"'
                n += 1
                kept = n
            else:
                quoted = not quoted
                was_quoted = True
        elif not quoted and (p[0] == check.delimiter or p[0] == closes):
            if column < check.count and (n or was_quoted) and (was_quoted or not is_array or not is_null(part, kept)):
                status = check_value(&check.parts[column], part, part + (kept if is_array else n))
                if status:
                    return status
            n = kept = 0
            was_quoted = False
            column += not is_array
        elif not quoted and is_array and (p[0] == c'{' or (is_blank(p[0]) and n == 0)):
            pass
        else:
            part[n] = p[0]
            n += 1
            if quoted or not is_blank(p[0]):
                kept = n
        p += 1
    return Status.OK


cdef inline bint is_null(const uint8_t* p, int64_t n) noexcept nogil:
    return n == 4 and starts_with(p, p + n, b"null")


cdef class ServerTextEncoder(TextEncoder):
    """utf8 -> the same text, for a column of any type that the server will parse it into."""

    cdef Check check
    cdef bint checked

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.checked = build_check(&self.check, cast.pg, cast.policies.allow_lossy)

    def __dealloc__(self):
        free_check(&self.check)

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        cdef int status = Status.OK
        if self.checked and n <= FIELD_MAX:  # else it is refused below
            status = check_value(&self.check, data, data + n)
        return status if status else TextEncoder.write(self, out, row)


ENCODERS = {"server_text": ServerTextEncoder}
DECODERS = {}
