"""numeric, from and to Arrow decimals and integers; for the wire format see numericwire.pxd."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memset

from bulkio.pgcopy.fixed cimport FixedDecoder, FixedEncoder
from bulkio.pgcopy.integers cimport IntKind, int_kind, load_int
from bulkio.pgcopy.limbs cimport (
    Wide, power_of_ten, wide_div, wide_fits64, wide_less, wide_load, wide_mul_add, wide_negate,
)
from bulkio.pgcopy.numericwire cimport (
    BASE, BASE_DIGITS, GROUPS_MAX, NEGATIVE, POSITIVE, Number, put_header, read_header,
)
from bulkio.pgcopy.wire cimport Out, State, Status, append_bytes, get16, put16, put_integer

cdef inline int floor_div(int a, int b) noexcept nogil:
    return a // b if a >= 0 else -((-a + b - 1) // b)


cdef int decimal_width(bytes format) except -1:
    """Bytes of one value, from a format string such as ``d:15,2`` or ``d:40,2,256``."""
    parts = format[2:].split(b",")
    return int(parts[2]) // 8 if len(parts) == 3 else 16


cdef int decimal_scale(bytes format) except? -9999:
    return int(format[2:].split(b",")[1])


cdef inline bint load_decimal(Wide* value, const void* values, int width, int64_t i) noexcept nogil:
    """Load the magnitude of decimal `i`; gives whether it is negative."""
    return wide_load(value, <const uint8_t*>values + width * i, width)


cdef Wide wide_power_of_ten(int exponent) except *:
    """10 ** exponent, or the largest Wide where that does not fit; 1 where exponent is negative."""
    cdef Wide result
    cdef int _i
    memset(&result, 0, sizeof(Wide))
    result.limb[0] = 1
    if exponent > 77:
        memset(&result, 0xFF, sizeof(Wide))
        return result
    for _i in range(exponent):
        wide_mul_add(&result, 10, 0)
    return result


cdef int put_numeric(Out* out, Wide* value, bint negative, int scale) noexcept nogil:
    """Append value * 10 ** -scale as a numeric field. `value` is used up."""
    cdef uint16_t groups[GROUPS_MAX]  # least significant first
    cdef int n = 0, low = 0, i, _place
    cdef int partial = scale - BASE_DIGITS * floor_div(scale, BASE_DIGITS)  # digits in the lowest group
    cdef int lowest_weight = -floor_div(scale + BASE_DIGITS - 1, BASE_DIGITS)
    cdef uint64_t rest
    if partial:
        groups[0] = <uint16_t>(wide_div(value, power_of_ten(partial)) * power_of_ten(BASE_DIGITS - partial))
        n = 1
    while not wide_fits64(value):  # four groups a time
        rest = wide_div(value, 10000000000000000ULL)
        for _place in range(4):
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


cdef class NumericEncoder(FixedEncoder):
    """The checks that every exact number meets on its way into numeric(p, s): range and rounding.

    A value with `scale` decimal places goes out with the places it has, cut to the column's where the rest are zeros.
    """

    cdef int scale  # of the values that come
    cdef int kept_scale  # of those that go: display scale
    cdef int drop  # decimal digits that must be zero
    cdef bint limited, small_limited, lossy
    cdef Wide limit  # magnitudes, at `scale`, must be below
    cdef uint64_t small_limit, drop_divisor

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.scale = self.source_scale()
        self.kept_scale = self.scale
        self.drop = 0
        self.limited = False
        self.lossy = cast.policies.allow_lossy
        if cast.pg.precision is not None:
            self.constrain(cast.pg.precision, cast.pg.scale)
        # magnitudes of one word: where the limit is wider, no such word reaches it
        self.small_limit = self.limit.limb[0]
        self.small_limited = self.limited and wide_fits64(&self.limit)
        self.drop_divisor = power_of_ten(self.drop) if self.drop < 20 else 0

    cdef int source_scale(self) except? -9999:
        return 0

    cdef int constrain(self, int precision, int scale) except -1:
        if not self.lossy:  # else the server rounds
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

    cdef int source_scale(self) except? -9999:
        self.width = decimal_width(self.format)
        return decimal_scale(self.format)

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef Wide value
        cdef const int64_t* words
        cdef bint negative
        if self.width == 16 and self.scale >= 0:
            words = <const int64_t*>(<const uint8_t*>self.values + 16 * (self.offset + row))
            if words[1] == words[0] >> 63:  # it fits one word
                negative = words[0] < 0
                return put_small(self, out, 0 - <uint64_t>words[0] if negative else <uint64_t>words[0], negative)
        negative = load_decimal(&value, self.values, self.width, self.offset + row)
        return self.put(out, &value, negative)


cdef class IntToNumericEncoder(NumericEncoder):
    """Any Arrow integer -> numeric."""

    cdef IntKind kind

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.kind = int_kind(self.format)

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t value = load_int(self.values, self.kind, self.offset + row)
        cdef bint negative = value < 0 and self.kind != IntKind.UINT64
        return put_small(self, out, 0 - <uint64_t>value if negative else <uint64_t>value, negative)


cdef class DecimalToIntEncoder(FixedEncoder):
    """decimal -> int2, int4, int8, and money as its smallest units; only for whole numbers in range."""

    cdef int width, target  # bytes
    cdef int drop  # decimal digits that must be zero, negative where zeros are appended
    cdef uint64_t high

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.width = decimal_width(self.format)
        self.drop = decimal_scale(self.format) - (cast.pg.money_scale if cast.pg.codec == "money" else 0)
        self.target = {"int2": 2, "int4": 4, "int8": 8, "money": 8}[cast.pg.codec]
        self.high = <uint64_t>1 << (8 * self.target - 1)

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef Wide value
        cdef bint negative = load_decimal(&value, self.values, self.width, self.offset + row)
        cdef int left = self.drop, _digit
        cdef uint64_t magnitude
        while left > 0:
            if wide_div(&value, power_of_ten(min(left, 18))):
                return Status.WOULD_ROUND
            left -= 18
        for _digit in range(self.drop, 0):
            if wide_mul_add(&value, 10, 0):
                return Status.OUT_OF_RANGE
        magnitude = value.limb[0]
        if not wide_fits64(&value) or magnitude > self.high or (magnitude == self.high and not negative):
            return Status.OUT_OF_RANGE
        return put_integer(out, <int64_t>(0 - magnitude if negative else magnitude), self.target)


cdef class DecimalDecoder(FixedDecoder):
    """numeric(p, s) -> decimal128 or decimal256. NaN, infinity, and what p and s cannot hold are errors."""

    cdef int scale
    cdef Wide limit
    cdef uint64_t small_limit
    cdef bint nan_is_null

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.scale = cast.arrow.scale
        self.nan_is_null = cast.policies.nan == "null"
        self.limit = wide_power_of_ten(cast.arrow.precision)
        self.small_limit = power_of_ten(min(19, cast.arrow.precision))

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef Number number
        cdef Wide value
        cdef int status = read_header(&number, data, n, state)
        if status:
            return status
        if number.sign != POSITIVE and number.sign != NEGATIVE:
            return Status.AS_NULL if self.nan_is_null else Status.IS_INFINITE
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


ENCODERS = {
    "decimal": DecimalEncoder,
    "int_to_numeric": IntToNumericEncoder,
    "decimal_to_int": DecimalToIntEncoder,
}

DECODERS = {"decimal": DecimalDecoder}
