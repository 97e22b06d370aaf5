"""Floats from text: rounded once, to the nearest, as the server's own strtod does it (src/backend/utils/adt/float.c).

Every decimal fraction is rounded by a float. A text counts as kept where the float gives its digits back: at once where
they are so few that any float does, else by printing as many. What the server itself writes is kept.
"""

from libc.float cimport DBL_MIN, FLT_MIN
from libc.math cimport NAN, frexp, isinf, ldexp, rint
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport strtod

from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.chars cimport is_digit, is_letter
from bulkio.pgcopy.decimaltext cimport (
    DIGITS_MAX, NumberText, parse_number, print_digits, take_sign, trim, word_is,
)
from bulkio.pgcopy.floats cimport put_float
from bulkio.pgcopy.strings cimport BytesEncoder
from bulkio.pgcopy.wire cimport Out, Status

cdef extern from "<stdlib.h>" nogil:
    float strtof(const char* text, char** end)

cdef extern from "<math.h>" nogil:
    const double INFINITY

cdef enum:
    # no float64 lies so near to the middle of two that more digits decide (767); one behind them tells of the rest
    DIGITS_USED = 800
    EXPONENT_MAX = 5000  # of that many digits, past every float's
    # decimal digits that every float of a width gives back which has all its bits
    DOUBLE_DIGITS = 15
    SINGLE_DIGITS = 6
    HALF_DIGITS = 3


cdef double round_to_half(float value) noexcept nogil:
    """Round to the nearest half, as pgvector does it: from a float4."""
    cdef int exponent
    frexp(value, &exponent)
    exponent = max(exponent - 1, -14) - 10
    value = <float>ldexp(rint(ldexp(value, -exponent)), exponent)
    return INFINITY if value > 65504 else value


cdef double nearest(const char* text, int width) noexcept nogil:
    if width == DOUBLE:
        return strtod(text, NULL)
    return strtof(text, NULL) if width == SINGLE else round_to_half(strtof(text, NULL))


cdef bint is_always_kept(double value, int64_t count, int width) noexcept nogil:
    """Whether any number of so many digits is given back by a float as large as this."""
    if width == DOUBLE:
        return count <= DOUBLE_DIGITS and value >= DBL_MIN
    if width == SINGLE:
        return count <= SINGLE_DIGITS and value >= FLT_MIN
    return count <= HALF_DIGITS and value >= ldexp(1, -14)


cdef bint is_exactly(double value, const char* digits, int count) noexcept nogil:
    """Whether a float, printed with `count` digits, more than any rounding needs, has these."""
    cdef char text[DIGITS_USED + 40]
    cdef int i, at = 0
    snprintf(text, sizeof(text), "%.*e", count - 1, value)
    for i in range(count):
        while not is_digit(text[at]):  # the point, whatever that is
            at += 1
        if text[at] != digits[i]:
            return False
        at += 1
    return True


cdef bint gives_back(double value, const char* digits, int64_t count, int width) noexcept nogil:
    """Whether a float, which is not negative, has these digits when it is printed with as many."""
    cdef uint64_t wanted = 0, unit = 1
    cdef int64_t i, _i
    cdef int exponent
    if is_always_kept(value, count, width):
        return True
    if count > DIGITS_MAX:
        return count <= DIGITS_USED and is_exactly(value, digits, <int>count)
    for i in range(count):
        wanted = 10 * wanted + <uint64_t>(digits[i] - c'0')
    if print_digits(value, <int>count, &exponent) == wanted:
        return True
    # Below a power of two floats lie closer: the shortest digits that give such a one back, which the server prints,
    # can be the next above those of printf. They lie less than a unit of their last digit away.
    for _i in range(count, DIGITS_MAX):
        unit *= 10
    return frexp(value, &exponent) == 0.5 and wanted * unit - print_digits(value, DIGITS_MAX, &exponent) < unit


cdef int read_float(const uint8_t* p, const uint8_t* end, int width, bint lossy, double* value) noexcept nogil:
    """Parse [sign][digits][.digits][e[sign]digits], NaN, [sign]Infinity or [sign]inf; without blanks."""
    cdef char text[DIGITS_USED + 40]
    cdef NumberText number
    cdef int64_t seen = 0, count = 0  # significant digits; without the zeros at their end
    cdef int64_t kept, exponent
    cdef int status
    cdef bint minus
    if word_is(p, end, b"nan"):
        value[0] = NAN
        return Status.OK
    minus = take_sign(&p, end)
    if word_is(p, end, b"infinity") or word_is(p, end, b"inf"):
        value[0] = -INFINITY if minus else INFINITY
        return Status.OK
    status = parse_number(&number, p, end)
    if status:
        return status
    p = number.first
    while p < number.end:
        if is_digit(p[0]) and (seen or p[0] != c'0'):
            if seen < DIGITS_USED:
                text[seen] = p[0]
            seen += 1
            if p[0] != c'0':
                count = seen
        p += 1
    if count == 0:
        value[0] = -0.0 if minus else 0.0
        return Status.OK
    kept = min(count, DIGITS_USED)
    exponent = max(min(number.whole - kept, EXPONENT_MAX), -EXPONENT_MAX)
    # no point among the digits: what that is to strtod depends on the locale
    snprintf(text + kept, 40, "%se%d", b"1" if count > kept else b"", <int>exponent - (count > kept))
    value[0] = nearest(text, width)
    if isinf(value[0]) or value[0] == 0:
        return Status.OUT_OF_RANGE
    if not lossy and not gives_back(value[0], text, count, width):
        return Status.WOULD_ROUND
    if minus:
        value[0] = -value[0]
    return Status.OK


cdef inline bint is_part(uint8_t c) noexcept nogil:
    """Whether a character belongs to a number or a word, so that nothing is read as two."""
    return is_digit(c) or is_letter(c) or c in b"+-._"


cdef int check_floats(const uint8_t* p, const uint8_t* end, int width) noexcept nogil:
    """Look at every number of a text such as ``(1,2)`` or ``[1,2]``, whatever stands between."""
    cdef const uint8_t* first
    cdef double value
    cdef int status
    while p < end:
        first = p
        while p < end and is_part(p[0]):
            p += 1
        if p > first:
            status = read_float(first, p, width, False, &value)
            if status:
                return status
        else:
            p += 1
    return Status.OK


cdef class TextToFloatEncoder(BytesEncoder):
    """utf8 -> float4, float8: a decimal number with blanks around, refused where the float does not give it back."""

    cdef int width
    cdef bint lossy

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.width = {"float4": SINGLE, "float8": DOUBLE}[cast.pg.codec]
        self.lossy = cast.policies.allow_lossy

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* p
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &p)
        if n < 0:
            return Status.DAMAGED
        cdef const uint8_t* end = p + n
        cdef double value
        cdef int status
        trim(&p, &end)
        status = read_float(p, end, self.width, self.lossy, &value)
        return status or put_float(out, value, self.width)


ENCODERS = {"text_to_float": TextToFloatEncoder}
DECODERS = {}
