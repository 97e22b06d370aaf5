"""numeric, from and to text, and from floats; for the wire format see numericwire.pxd."""

from libc.math cimport INFINITY, NAN as NOT_A_NUMBER, fabs, isfinite, isnan
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, strtod

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.bytesview cimport BytesView, bind_bytes, bytes_layout, load_bytes
from bulkio.pgcopy.cells cimport CellEncoder
from bulkio.pgcopy.decimaltext cimport (
    POINTLESS_MAX, NumberText, parse_number, shortest_digits, take_sign, trim, word_is,
)
from bulkio.pgcopy.fixed cimport FixedDecoder
from bulkio.pgcopy.floats cimport float_width, load_float
from bulkio.pgcopy.numericwire cimport (
    BASE_DIGITS, DSCALE_MAX, HEADER, INFINITY_DSCALE, MINUS_INFINITY, NAN, NEGATIVE, PLUS_INFINITY, POSITIVE,
    WHOLE_DIGITS_MAX, Number, put_header, read_header,
)
from bulkio.pgcopy.strings cimport OFFSET_MAX, BytesDecoder, append_value, end_value
from bulkio.pgcopy.wire cimport Buf, Out, State, Status, append_bytes, get16, put16, reserve, room


cdef class WrittenNumberEncoder(CellEncoder):
    """The base: numbers that are written out in decimal digits, against the limits of numeric(p, s).

    Never rounding: digits past the column's scale must be zeros, unless the user allows the server to round.
    """

    cdef bint limited
    cdef int64_t whole_max, places_max

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.limited = cast.pg.precision is not None
        self.whole_max = cast.pg.precision - cast.pg.scale if self.limited else WHOLE_DIGITS_MAX
        self.places_max = cast.pg.scale if self.limited and not cast.policies.allow_lossy else DSCALE_MAX

    cdef int put_text(self, Out* out, NumberText* number) noexcept nogil:
        cdef const uint8_t* p = number.first
        cdef int64_t left = number.digits, weight, position
        cdef int64_t dscale = min(number.places, max(self.places_max, 0))
        cdef int64_t start, kept = number.whole + self.places_max  # significant digits the column can hold
        cdef int group = 0, in_group, ndigits = 0, used = 0
        cdef int64_t used_offset
        cdef int sign = NEGATIVE if number.negative else POSITIVE
        if left == 0:  # a zero, perhaps with places
            return put_header(out, 0, 0, POSITIVE, <int>dscale)
        if number.whole > self.whole_max:
            return Status.OUT_OF_RANGE
        weight = (number.whole - 1) // 4 if number.whole >= 1 else -((-number.whole) // 4) - 1
        start = out.pos - out.start
        if reserve(out, 4 + HEADER + 2 * (<size_t>left // BASE_DIGITS + 3)):
            return Status.NO_MEMORY
        out.pos += 4 + HEADER
        used_offset = out.pos - out.start
        in_group = <int>(BASE_DIGITS * (weight + 1) - number.whole)  # places left empty in the first group
        position = 0
        while p < number.end and (p[0] == c'0' or p[0] == c'.'):
            p += 1
        while left > 0:
            if p[0] != c'.':
                if position >= kept and p[0] != c'0':
                    out.pos = out.start + start
                    return Status.WOULD_ROUND
                group = group * 10 + (p[0] - c'0')
                position += 1
                left -= 1
                in_group += 1
                if in_group == BASE_DIGITS or left == 0:
                    while in_group < BASE_DIGITS:
                        group *= 10
                        in_group += 1
                    put16(out.pos, <uint16_t>group)
                    out.pos += 2
                    ndigits += 1
                    if group:
                        used = ndigits
                    group = 0
                    in_group = 0
            p += 1
        out.pos = out.start + start
        if put_header(out, used, <int>weight, sign, <int>dscale):
            return Status.NO_MEMORY
        out.pos = out.start + used_offset + 2 * used
        return Status.OK


cdef class TextToNumericEncoder(WrittenNumberEncoder):
    """utf8 -> numeric: digits with an optional point and exponent, NaN, Infinity; blanks around are allowed."""

    cdef BytesView view

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        bytes_layout(&self.view, self.format)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        bind_bytes(&self.view, array)
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* p
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &p)
        if n < 0:
            return Status.DAMAGED
        cdef const uint8_t* end = p + n
        cdef NumberText number
        cdef int status
        trim(&p, &end)
        if word_is(p, end, b"nan"):
            return put_header(out, 0, 0, NAN, 0)
        number.negative = take_sign(&p, end)
        if word_is(p, end, b"infinity") or word_is(p, end, b"inf"):
            if self.limited:
                return Status.OUT_OF_RANGE
            return put_header(out, 0, 0, MINUS_INFINITY if number.negative else PLUS_INFINITY, INFINITY_DSCALE)
        status = parse_number(&number, p, end)
        if status:
            return status
        return self.put_text(out, &number)


cdef class FloatToNumericEncoder(WrittenNumberEncoder):
    """float16, float32, float64 -> numeric: 15 digits, or the 16 or 17 that it takes to give the same float64 back."""

    cdef int source
    cdef const void* values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.source = float_width(self.format)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef double value = load_float(self.values, self.source, self.offset + row)
        cdef NumberText number
        cdef char text[POINTLESS_MAX]
        cdef int n, status
        if isnan(value):
            return put_header(out, 0, 0, NAN, 0)
        number.negative = value < 0
        if not isfinite(value):
            if self.limited:
                return Status.OUT_OF_RANGE
            return put_header(out, 0, 0, MINUS_INFINITY if number.negative else PLUS_INFINITY, INFINITY_DSCALE)
        n = shortest_digits(text, fabs(value))  # of -0.0 too: numeric has but one zero
        status = parse_number(&number, <const uint8_t*>text, <const uint8_t*>text + n)
        if status:
            return status
        while number.places > 0 and (number.end - 1)[0] == c'0':  # zeros that only make up the count
            number.end -= 1
            number.places -= 1
            number.digits -= number.digits > 0
        return self.put_text(out, &number)


cdef inline uint8_t* put_group(uint8_t* p, int digit) noexcept nogil:
    """Write four decimal digits."""
    p[0] = <uint8_t>(c'0' + digit // 1000)
    p[1] = <uint8_t>(c'0' + digit // 100 % 10)
    p[2] = <uint8_t>(c'0' + digit // 10 % 10)
    p[3] = <uint8_t>(c'0' + digit % 10)
    return p + BASE_DIGITS


cdef inline int digit_at(const Number* number, int i) noexcept nogil:
    """The base-10000 digit number `i`; those not sent are zeros."""
    if i < 0 or i >= number.ndigits:
        return 0
    return <uint16_t>get16(number.digits + 2 * i)


cdef class NumericTextDecoder(BytesDecoder):
    """numeric of any size -> string, as the server's own text output: 12.30, NaN, -Infinity."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef Number number
        cdef int status = read_header(&number, data, n, state)
        if status:
            return status
        if number.sign == NAN:
            return append_value(self, <const uint8_t*>b"NaN", 3)
        if number.sign == PLUS_INFINITY:
            return append_value(self, <const uint8_t*>b"Infinity", 8)
        if number.sign == MINUS_INFINITY:
            return append_value(self, <const uint8_t*>b"-Infinity", 9)
        return self.append_number(&number, n, state)

    cdef int append_number(self, Number* number, int32_t n, State* state) noexcept nogil:
        cdef size_t most = 8 + BASE_DIGITS * <size_t>(max(number.weight, 0) + 1) + number.dscale + BASE_DIGITS
        cdef uint8_t* p
        cdef uint8_t* first
        cdef int i
        if self.data.size + most > OFFSET_MAX:
            return Status.BATCH_TOO_BIG
        if room(&self.data, most):
            return Status.NO_MEMORY
        p = self.data.data + self.data.size
        if number.sign == NEGATIVE:
            p[0] = c'-'
            p += 1
        first = p
        for i in range(number.weight + 1):
            p = put_group(p, digit_at(number, i))
        p = trim_zeros(first, p)
        if number.dscale:
            p[0] = c'.'
            p += 1
            first = p
            i = number.weight + 1
            while p - first < number.dscale:
                p = put_group(p, digit_at(number, i))
                i += 1
            p = first + number.dscale
        if p - (self.data.data + self.data.size) > n:
            state.inflated += p - (self.data.data + self.data.size) - n
        self.data.size = p - self.data.data
        return end_value(self)


cdef inline uint8_t* trim_zeros(uint8_t* first, uint8_t* end) noexcept nogil:
    """Drop leading zeros from the digits in [first, end), but leave one digit; gives the new end."""
    cdef uint8_t* p = first
    cdef Py_ssize_t i
    while p < end and p[0] == c'0':
        p += 1
    if p == end:
        first[0] = c'0'
        return first + 1
    if p != first:
        for i in range(end - p):
            first[i] = p[i]
    return first + (end - p)


cdef class NumericFloatDecoder(FixedDecoder):
    """numeric -> the nearest float64, for those who ask for it; NaN and infinities stay what they are."""

    cdef Buf text

    def __dealloc__(self):
        free(self.text.data)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef Number number
        cdef double value
        cdef int status = read_header(&number, data, n, state)
        if status == Status.OK:
            status = self.nearest(&number, &value)
        return append_bytes(&self.values, &value, 8) if status == Status.OK else status

    cdef int nearest(self, Number* number, double* value) noexcept nogil:
        """Let strtod round all the digits, with an exponent instead of a point, which depends on the locale."""
        cdef uint8_t* p
        cdef int i
        if number.sign == NAN or number.sign == PLUS_INFINITY or number.sign == MINUS_INFINITY:
            value[0] = NOT_A_NUMBER if number.sign == NAN else INFINITY if number.sign == PLUS_INFINITY else -INFINITY
            return Status.OK
        self.text.size = 0
        if room(&self.text, 32 + BASE_DIGITS * <size_t>number.ndigits):
            return Status.NO_MEMORY
        p = self.text.data
        p[0] = c'-' if number.sign == NEGATIVE else c'+'
        p[1] = c'0'
        p += 2
        for i in range(number.ndigits):
            p = put_group(p, digit_at(number, i))
        snprintf(<char*>p, 24, "e%d", BASE_DIGITS * (number.weight - number.ndigits + 1))
        value[0] = strtod(<char*>self.text.data, NULL)
        return Status.OK if isfinite(value[0]) else Status.NOT_IN_ARROW


ENCODERS = {"text_to_numeric": TextToNumericEncoder, "float_to_numeric": FloatToNumericEncoder}
DECODERS = {"numeric_text": NumericTextDecoder, "numeric_float": NumericFloatDecoder}
