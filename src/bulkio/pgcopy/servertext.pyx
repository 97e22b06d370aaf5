"""Text that the server's own input functions will parse: checked for what they would round or drop in silence.

The server decides what is valid. These checks only read the text, so they err on the safe side: what might lose
something is refused, even where a closer look would show that nothing is lost. What the input functions do in
silence (src/backend/utils/adt/{datetime,date,timestamp,cash,numeric,varchar}.c): they round to the column's decimal
places, leave out a zone, a date or a time of day that the type has no room for, and trim blanks.
"""

from libc.stdint cimport int64_t, uint8_t

from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.chars cimport is_digit, is_letter
from bulkio.pgcopy.strings cimport TextEncoder
from bulkio.pgcopy.wire cimport FIELD_MAX, Out, Status

cdef enum:
    FULL_RANGE = 0x7FFF  # of an interval's typmod: no fields are left out
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
    Kind kind
    bint interval
    bint money
    bint blanks  # trailing ones are trimmed
    bint refused  # an interval of which only some fields are kept


def _leaves(pg):
    """Give the types that the parts of a value have."""
    if pg.fields:
        return [leaf for _, field in pg.fields for leaf in _leaves(field)]
    return _leaves(pg.item) if pg.element is not None else [pg]


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


cdef Rules rules_for(pg) except *:
    cdef Rules rules
    leaves = _leaves(pg)
    codecs = {leaf.codec for leaf in leaves}
    kinds = {"date": Kind.DATE, "time": Kind.TIME, "timestamp": Kind.TIMESTAMP}
    rules.places = min([_places(leaf) for leaf in leaves], default=UNLIMITED)
    # in a composite of several types nobody knows which text is whose
    rules.kind = kinds.get(codecs.pop(), Kind.ANY) if len(codecs) == 1 else Kind.ANY
    rules.interval = any(leaf.codec == "interval" for leaf in leaves)
    rules.refused = any(
        leaf.codec == "interval" and leaf.typmod >= 0 and (leaf.typmod >> 16) & FULL_RANGE != FULL_RANGE
        for leaf in leaves
    )
    rules.money = pg.codec == "money"
    rules.blanks = any(leaf.max_chars is not None for leaf in leaves)
    return rules


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


# --- whole values -----------------------------------------------------------------------------------------------


cdef inline bint is_delimiter(uint8_t c) noexcept nogil:
    """What stands between the parts of arrays, composites and ranges."""
    return c in b'{}[](),"\\'


cdef int check_part(const Rules* rules, const uint8_t* p, const uint8_t* end) noexcept nogil:
    cdef int status = Status.OK
    if rules.blanks and p < end and (end - 1)[0] == c' ':
        return Status.WOULD_DROP
    if rules.places != UNLIMITED:
        status = check_money(rules, p, end) if rules.money else check_numbers(rules, p, end)
    if status == Status.OK and rules.kind != Kind.ANY:
        status = check_dropped(rules.kind, p, end)
    return status


cdef class ServerTextEncoder(TextEncoder):
    """utf8 -> the same text, for a column of any type that the server will parse it into."""

    cdef Rules rules
    cdef bint nested, checked

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.rules = rules_for(cast.pg)
        if cast.policies.allow_lossy:
            self.rules.places = UNLIMITED
        self.nested = bool(cast.pg.fields) or cast.pg.element is not None
        self.checked = self.rules.places != UNLIMITED or self.rules.kind != Kind.ANY or self.rules.blanks

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        cdef int status = Status.OK
        if self.rules.refused:
            return Status.WOULD_DROP
        if self.checked and n <= FIELD_MAX:  # else it is refused below
            status = self.check(data, data + n)
        return status if status else TextEncoder.write(self, out, row)

    cdef int check(self, const uint8_t* p, const uint8_t* end) noexcept nogil:
        cdef const uint8_t* part = p
        cdef int status
        if not self.nested:
            return check_part(&self.rules, p, end)
        while p <= end:
            if p == end or is_delimiter(p[0]):
                status = check_part(&self.rules, part, p)
                if status:
                    return status
                part = p + 1
            p += 1
        return Status.OK


ENCODERS = {"server_text": ServerTextEncoder}
DECODERS = {}
