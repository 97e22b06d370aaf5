"""numeric, from and to Arrow decimals, integers and strings.

Wire format: src/backend/utils/adt/numeric.c, numeric_send: ndigits (unsigned), weight, sign, dscale, then base-10000
digits, most significant first; 16 bits each, big-endian. The first digit counts 10000 ** weight. dscale is the number
of decimal places shown.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.bytesview cimport BytesView, bind_bytes, bytes_layout, load_bytes
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, give_array
from bulkio.pgcopy.integers cimport IntKind, int_kind, load_int
from bulkio.pgcopy.limbs cimport (
    Wide, power_of_ten, wide_div, wide_fits64, wide_less, wide_load, wide_mul_add, wide_negate,
)
from bulkio.pgcopy.strings cimport BytesDecoder, OFFSET_MAX, append_value, end_value
from bulkio.pgcopy.wire cimport (
    Buf, Out, State, Status, append_bytes, get16, put16, put32, put64, reserve, room, wrong_length,
)

cdef enum:
    BASE = 10000
    BASE_DIGITS = 4
    HEADER = 8  # ndigits, weight, sign, dscale
    POSITIVE = 0x0000
    NEGATIVE = 0x4000
    NAN = 0xC000
    PLUS_INFINITY = 0xD000
    MINUS_INFINITY = 0xF000
    INFINITY_DSCALE = 0x20  # nobody reads it, but this is what numeric_send gives
    # NUMERIC_DSCALE_MASK, and the limits that the manual gives (8.1.2): digits before and after the point
    DSCALE_MAX = 0x3FFF
    WHOLE_DIGITS_MAX = 131072
    # base-10000 digits of a 256-bit integer, with room to spare
    GROUPS_MAX = 24


cdef inline int floor_div(int a, int b) noexcept nogil:
    return a // b if a >= 0 else -((-a + b - 1) // b)


cdef int decimal_width(bytes format) except -1:
    """Bytes of one value, from a format string such as ``d:15,2`` or ``d:40,2,256``."""
    parts = format[2:].split(b",")
    return int(parts[2]) // 8 if len(parts) == 3 else 16


cdef int decimal_scale(bytes format) except? -9999:
    return int(format[2:].split(b",")[1])


cdef Wide wide_power_of_ten(int exponent) except *:
    """10 ** exponent, or the largest Wide where that does not fit; 1 where exponent is negative."""
    cdef Wide result
    cdef int i
    memset(&result, 0, sizeof(Wide))
    result.limb[0] = 1
    if exponent > 77:
        memset(&result, 0xFF, sizeof(Wide))
        return result
    for i in range(exponent):
        wide_mul_add(&result, 10, 0)
    return result


cdef int put_header(Out* out, int ndigits, int weight, int sign, int dscale) noexcept nogil:
    """Append a numeric field's length and header; room for its digits is made too."""
    if reserve(out, 4 + HEADER + 2 * ndigits):
        return Status.NO_MEMORY
    put32(out.pos, HEADER + 2 * ndigits)
    put16(out.pos + 4, <uint16_t>ndigits)
    put16(out.pos + 6, <uint16_t><int16_t>weight)
    put16(out.pos + 8, <uint16_t>sign)
    put16(out.pos + 10, <uint16_t>dscale)
    out.pos += 4 + HEADER
    return Status.OK


cdef int put_numeric(Out* out, Wide* value, bint negative, int scale) noexcept nogil:
    """Append value * 10 ** -scale as a numeric field. `value` is used up."""
    cdef uint16_t groups[GROUPS_MAX]  # least significant first
    cdef int n = 0, low = 0, i, chunk
    cdef int partial = scale - BASE_DIGITS * floor_div(scale, BASE_DIGITS)  # digits in the lowest group
    cdef int lowest_weight = -floor_div(scale + BASE_DIGITS - 1, BASE_DIGITS)
    cdef uint64_t rest
    if partial:
        groups[0] = <uint16_t>(wide_div(value, power_of_ten(partial)) * power_of_ten(BASE_DIGITS - partial))
        n = 1
    while not wide_fits64(value):  # four groups a time
        rest = wide_div(value, 10000000000000000ULL)
        for chunk in range(4):
            groups[n] = <uint16_t>(rest % BASE)
            rest //= BASE
            n += 1
    rest = value.limb[0]
    while rest:
        groups[n] = <uint16_t>(rest % BASE)
        rest //= BASE
        n += 1
    while n > 0 and groups[n - 1] == 0:
        n -= 1
    while low < n and groups[low] == 0:
        low += 1
    if n == 0:
        return put_header(out, 0, 0, POSITIVE, scale if scale > 0 else 0)
    if put_header(out, n - low, lowest_weight + n - 1, NEGATIVE if negative else POSITIVE, scale if scale > 0 else 0):
        return Status.NO_MEMORY
    for i in range(n - 1, low - 1, -1):
        put16(out.pos, groups[i])
        out.pos += 2
    return Status.OK


cdef inline int put_small_numeric(Out* out, uint64_t value, bint negative, int scale) noexcept nogil:
    """`put_numeric` for a magnitude of one word and a scale of 0 or more: the usual case, with no wide division."""
    cdef uint16_t groups[8]
    cdef int n = 0, low = 0, i
    cdef int partial = scale & 3
    cdef int lowest_weight = -((scale + 3) >> 2)
    cdef uint8_t* p
    if partial == 2:  # money: a division by a constant
        groups[0] = <uint16_t>(value % 100 * 100)
        value //= 100
        n = 1
    elif partial:
        groups[0] = <uint16_t>(value % power_of_ten(partial) * power_of_ten(BASE_DIGITS - partial))
        value //= power_of_ten(partial)
        n = 1
    while value:
        groups[n] = <uint16_t>(value % BASE)
        value //= BASE
        n += 1
    while low < n and groups[low] == 0:
        low += 1
    if low == n:
        return put_header(out, 0, 0, POSITIVE, scale)
    if put_header(out, n - low, lowest_weight + n - 1, NEGATIVE if negative else POSITIVE, scale):
        return Status.NO_MEMORY
    p = out.pos
    for i in range(n - 1, low - 1, -1):
        put16(p, groups[i])
        p += 2
    out.pos = p
    return Status.OK


cdef class NumericEncoder(CellEncoder):
    """The checks that every exact number meets on its way into numeric(p, s): range and rounding.

    A value with `scale` decimal places goes out with the places it has, cut to the column's where the rest are zeros.
    """

    cdef int scale  # of the values that come
    cdef int kept_scale  # of those that go: display scale
    cdef int drop  # decimal digits that must be zero
    cdef bint limited, small_limited
    cdef Wide limit  # magnitudes, at `scale`, must be below
    cdef uint64_t small_limit, drop_divisor

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.scale = self.source_scale()
        self.kept_scale = self.scale
        self.drop = 0
        self.limited = False
        if cast.pg.precision is not None:
            self.constrain(cast.pg.precision, cast.pg.scale)
        # magnitudes of one word: where the limit is wider, no such word reaches it
        self.small_limit = self.limit.limb[0]
        self.small_limited = self.limited and wide_fits64(&self.limit)
        self.drop_divisor = power_of_ten(self.drop) if self.drop < 20 else 0

    cdef int source_scale(self) except? -9999:
        return 0

    cdef int constrain(self, int precision, int scale) except -1:
        self.drop = max(0, self.scale - scale)
        self.kept_scale = min(self.scale, max(scale, 0))
        self.limit = wide_power_of_ten(precision - scale + self.scale)
        self.limited = precision - scale + self.scale <= 77
        return 0

    cdef int put(self, Out* out, Wide* value, bint negative) noexcept nogil:
        """Check and append one magnitude; `value` is used up."""
        cdef Wide quotient
        cdef int left
        if wide_fits64(value) and self.scale >= 0:
            return put_small(self, out, value.limb[0], negative)
        if self.limited and not wide_less(value, &self.limit):
            return Status.OUT_OF_RANGE
        quotient = value[0]
        left = self.drop
        while left > 0:
            if wide_div(&quotient, power_of_ten(min(left, 18))):
                return Status.WOULD_ROUND
            left -= 18
        left = self.scale - self.kept_scale
        while left > 0:
            wide_div(value, power_of_ten(min(left, 18)))
            left -= 18
        return put_numeric(out, value, negative, self.kept_scale)


cdef inline int put_small(NumericEncoder cell, Out* out, uint64_t value, bint negative) noexcept nogil:
    """Check and append a magnitude of one word, at a scale of 0 or more."""
    cdef int cut = cell.scale - cell.kept_scale
    if cell.small_limited and value >= cell.small_limit:
        return Status.OUT_OF_RANGE
    if cell.drop:
        if value and (cell.drop_divisor == 0 or value % cell.drop_divisor):
            return Status.WOULD_ROUND
        if cut < 20:
            value //= power_of_ten(cut)
    return put_small_numeric(out, value, negative, cell.kept_scale)


cdef class DecimalEncoder(NumericEncoder):
    """decimal32, 64, 128, 256 -> numeric; the display scale is the decimal's own."""

    cdef int width
    cdef const uint8_t* values

    cdef int source_scale(self) except? -9999:
        self.width = decimal_width(self.format)
        return decimal_scale(self.format)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = <const uint8_t*>array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef Wide value
        cdef const int64_t* words
        cdef bint negative
        if self.width == 16 and self.scale >= 0:
            words = <const int64_t*>(self.values + 16 * (self.offset + row))
            if words[1] == words[0] >> 63:  # it fits one word
                negative = words[0] < 0
                return put_small(self, out, 0 - <uint64_t>words[0] if negative else <uint64_t>words[0], negative)
        negative = wide_load(&value, self.values + self.width * (self.offset + row), self.width)
        return self.put(out, &value, negative)


cdef class IntToNumericEncoder(NumericEncoder):
    """Any Arrow integer -> numeric."""

    cdef IntKind kind
    cdef const void* values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.kind = int_kind(self.format)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t value = load_int(self.values, self.kind, self.offset + row)
        cdef bint negative = value < 0 and self.kind != IntKind.UINT64
        return put_small(self, out, 0 - <uint64_t>value if negative else <uint64_t>value, negative)


cdef class DecimalToIntEncoder(CellEncoder):
    """decimal -> int2, int4, int8, only for whole numbers in range."""

    cdef int width, scale, target
    cdef uint64_t high
    cdef const uint8_t* values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.width = decimal_width(self.format)
        self.scale = decimal_scale(self.format)
        self.target = {"int2": 2, "int4": 4, "int8": 8}[cast.pg.codec]
        self.high = <uint64_t>1 << (8 * self.target - 1)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = <const uint8_t*>array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef Wide value
        cdef bint negative = wide_load(&value, self.values + self.width * (self.offset + row), self.width)
        cdef int left = self.scale
        cdef uint64_t magnitude
        while left > 0:
            if wide_div(&value, power_of_ten(min(left, 18))):
                return Status.WOULD_ROUND
            left -= 18
        for left in range(self.scale, 0):  # a negative scale
            if wide_mul_add(&value, 10, 0):
                return Status.OUT_OF_RANGE
        magnitude = value.limb[0]
        if not wide_fits64(&value) or magnitude > self.high or (magnitude == self.high and not negative):
            return Status.OUT_OF_RANGE
        if negative:
            magnitude = 0 - magnitude
        if reserve(out, 12):
            return Status.NO_MEMORY
        put32(out.pos, self.target)
        if self.target == 8:
            put64(out.pos + 4, magnitude)
        elif self.target == 4:
            put32(out.pos + 4, <int32_t>magnitude)
        else:
            put16(out.pos + 4, <uint16_t>magnitude)
        out.pos += 4 + self.target
        return Status.OK


cdef struct NumberText:
    # A decimal number in text: its digits lie in [first, end), with perhaps one point among them.
    const uint8_t* first
    const uint8_t* end
    int64_t digits  # significant ones, leading zeros left out
    int64_t whole  # digits before the point, exponent applied; negative for 0.00…
    int64_t places  # digits after the point, exponent applied
    bint negative


cdef inline bint is_digit(uint8_t c) noexcept nogil:
    return c'0' <= c <= c'9'


cdef inline bint is_blank(uint8_t c) noexcept nogil:
    return c == c' ' or 9 <= c <= 13


cdef bint word_is(const uint8_t* p, const uint8_t* end, const char* word) noexcept nogil:
    """Compare with a lower-case word, whatever the case of the text."""
    cdef int i = 0
    while p + i < end and word[i] != 0:
        if (p[i] | 0x20) != <uint8_t>word[i]:
            return False
        i += 1
    return p + i == end and word[i] == 0


cdef int parse_number(NumberText* number, const uint8_t* p, const uint8_t* end) noexcept nogil:
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
        if p < end and (p[0] == c'+' or p[0] == c'-'):
            minus = p[0] == c'-'
            p += 1
        if p == end:
            return Status.BAD_SYNTAX
        while p < end and is_digit(p[0]):
            if exponent < 1000000:
                exponent = exponent * 10 + (p[0] - c'0')
            p += 1
        exponent = -exponent if minus else exponent
    if p != end:
        return Status.BAD_SYNTAX
    number.digits = before + after - zeros
    number.whole = before - zeros + exponent
    number.places = after - exponent if after > exponent else 0
    return Status.OK


cdef class TextToNumericEncoder(CellEncoder):
    """utf8 -> numeric: digits with an optional point and exponent, NaN, Infinity; blanks around are allowed.

    As the server's own input, but never rounding: digits past the column's scale must be zeros.
    """

    cdef BytesView view
    cdef bint limited
    cdef int64_t whole_max, places_max

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        bytes_layout(&self.view, self.format)
        self.limited = cast.pg.precision is not None
        self.whole_max = cast.pg.precision - cast.pg.scale if self.limited else WHOLE_DIGITS_MAX
        self.places_max = cast.pg.scale if self.limited else DSCALE_MAX

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        bind_bytes(&self.view, array)
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* p
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &p)
        cdef const uint8_t* end = p + n
        cdef NumberText number
        cdef int status
        while p < end and is_blank(p[0]):
            p += 1
        while p < end and is_blank((end - 1)[0]):
            end -= 1
        if word_is(p, end, b"nan"):
            return put_header(out, 0, 0, NAN, 0)
        number.negative = p < end and p[0] == c'-'
        if p < end and (p[0] == c'-' or p[0] == c'+'):
            p += 1
        if word_is(p, end, b"infinity") or word_is(p, end, b"inf"):
            if self.limited:
                return Status.OUT_OF_RANGE
            return put_header(out, 0, 0, MINUS_INFINITY if number.negative else PLUS_INFINITY, INFINITY_DSCALE)
        status = parse_number(&number, p, end)
        if status:
            return status
        return self.put_text(out, &number)

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


cdef struct Number:
    # A numeric field's header, checked.
    int ndigits
    int weight
    int sign
    int dscale
    const uint8_t* digits


cdef int read_header(Number* number, const uint8_t* data, int32_t n, State* state) noexcept nogil:
    """Check a numeric field's shape and its digits."""
    cdef int i
    if n < HEADER:
        return wrong_length(state, HEADER, n)
    number.ndigits = <uint16_t>get16(data)
    number.weight = get16(data + 2)
    number.sign = <uint16_t>get16(data + 4)
    number.dscale = <uint16_t>get16(data + 6)
    number.digits = data + HEADER
    if n != HEADER + 2 * number.ndigits:
        return wrong_length(state, HEADER + 2 * number.ndigits, n)
    if number.sign not in (POSITIVE, NEGATIVE, NAN, PLUS_INFINITY, MINUS_INFINITY) or number.dscale > DSCALE_MAX:
        # an infinity's dscale is not looked at by the server either, but it always sends one in range
        return Status.BAD_VALUE
    for i in range(number.ndigits):
        if <uint16_t>get16(number.digits + 2 * i) >= BASE:
            return Status.BAD_VALUE
    return Status.OK


cdef class DecimalDecoder(CellDecoder):
    """numeric(p, s) -> decimal128 or decimal256. NaN, infinity, and what p and s cannot hold are errors."""

    cdef int width, scale
    cdef Wide limit
    cdef uint64_t small_limit
    cdef Buf values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.width = cast.arrow.bit_width // 8
        self.scale = cast.arrow.scale
        self.limit = wide_power_of_ten(cast.arrow.precision)
        self.small_limit = power_of_ten(min(19, cast.arrow.precision))

    def __dealloc__(self):
        free(self.values.data)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef Number number
        cdef Wide value
        cdef int status = read_header(&number, data, n, state)
        if status:
            return status
        if number.sign != POSITIVE and number.sign != NEGATIVE:
            return Status.IS_INFINITE
        if BASE_DIGITS * (number.weight + 1) + self.scale <= 18:
            return self.append_small(&number)
        status = self.accumulate(&number, &value)
        if status:
            return status
        if not wide_less(&value, &self.limit):
            return Status.NOT_IN_ARROW
        if number.sign == NEGATIVE:
            wide_negate(&value)
        return append_bytes(&self.values, &value, self.width)

    cdef inline int append_small(self, Number* number) noexcept nogil:
        """Append number * 10 ** scale, where that has 18 digits at the most."""
        cdef uint64_t total = 0, digit
        cdef int64_t words[4]
        cdef int exponent = BASE_DIGITS * number.weight + self.scale  # of the digit's last decimal
        cdef int i
        for i in range(number.ndigits):
            digit = <uint16_t>get16(number.digits + 2 * i)
            if exponent >= 0:
                total += digit * power_of_ten(exponent)
            elif exponent > -BASE_DIGITS:
                if digit % power_of_ten(-exponent):
                    return Status.NOT_IN_ARROW
                total += digit // power_of_ten(-exponent)
            elif digit:
                return Status.NOT_IN_ARROW
            exponent -= BASE_DIGITS
        if total >= self.small_limit:
            return Status.NOT_IN_ARROW
        words[0] = -<int64_t>total if number.sign == NEGATIVE else <int64_t>total
        words[1] = words[2] = words[3] = words[0] >> 63
        return append_bytes(&self.values, words, self.width)

    cdef int accumulate(self, Number* number, Wide* value) noexcept nogil:
        """value = number * 10 ** scale, in 256 bits; NOT_IN_ARROW where that overflows or is not whole."""
        cdef int exponent = BASE_DIGITS * number.weight + self.scale
        cdef int i, power
        cdef uint64_t digit
        memset(value, 0, sizeof(Wide))
        for i in range(number.ndigits):
            digit = <uint16_t>get16(number.digits + 2 * i)
            if exponent <= -BASE_DIGITS:
                if digit:
                    return Status.NOT_IN_ARROW
                power = 0
            else:
                power = min(BASE_DIGITS, BASE_DIGITS + exponent)
                if digit % power_of_ten(BASE_DIGITS - power):
                    return Status.NOT_IN_ARROW
                digit //= power_of_ten(BASE_DIGITS - power)
            if wide_mul_add(value, power_of_ten(power), digit):
                return Status.NOT_IN_ARROW
            exponent -= BASE_DIGITS
        exponent += BASE_DIGITS  # of the last digit: what is missing are zeros
        while exponent > 0 and not (wide_fits64(value) and value.limb[0] == 0):
            if wide_mul_add(value, 10, 0):
                return Status.NOT_IN_ARROW
            exponent -= 1
        return Status.OK

    cdef int blank(self) noexcept nogil:
        cdef Wide zero
        memset(&zero, 0, sizeof(Wide))
        return append_bytes(&self.values, &zero, self.width)

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.values
        return give_array(self, out, buffers, 1)


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


ENCODERS = {
    "decimal": DecimalEncoder,
    "int_to_numeric": IntToNumericEncoder,
    "decimal_to_int": DecimalToIntEncoder,
    "text_to_numeric": TextToNumericEncoder,
}

DECODERS = {"decimal": DecimalDecoder, "numeric_text": NumericTextDecoder}
