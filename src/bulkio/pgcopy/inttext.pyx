"""Integers from text: decimal digits alone, which all server versions read alike (16 and later take 0x1F, 1_000).

The server's parsers of unsigned types (src/backend/utils/adt/{oid,xid,xid8funcs}.c) let a minus wrap around, and older
ones take any text for an xid, some take 010 for 8; these do not.
"""

from libc.stdint cimport UINT64_MAX, int64_t, uint8_t, uint64_t

from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.chars cimport is_digit
from bulkio.pgcopy.decimaltext cimport take_sign, trim
from bulkio.pgcopy.strings cimport BytesEncoder
from bulkio.pgcopy.wire cimport Out, Status, put_integer


cdef class TextToIntEncoder(BytesEncoder):
    """utf8 -> int2, int4, int8, oid, xid, xid8; blanks around are allowed, and a sign where the type has one."""

    cdef int width
    cdef bint signed
    cdef uint64_t most  # of a signed type, its least is -most - 1

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.width = {"int2": 2, "int4": 4, "int8": 8, "uint4": 4, "uint8": 8}[cast.pg.codec]
        self.signed = cast.pg.codec in ("int2", "int4", "int8")
        self.most = UINT64_MAX >> (64 - 8 * self.width + self.signed)

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* p
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &p)
        if n < 0:
            return Status.DAMAGED
        cdef const uint8_t* end = p + n
        cdef uint64_t value = 0, digit
        cdef bint minus = False, too_big = False
        trim(&p, &end)
        if self.signed:
            minus = take_sign(&p, end)
        if p == end or (not self.signed and p[0] == c'0' and end - p > 1):  # to some servers that is octal
            return Status.BAD_SYNTAX
        while p < end:
            if not is_digit(p[0]):
                return Status.BAD_SYNTAX
            digit = p[0] - c'0'
            too_big = too_big or value > (UINT64_MAX - digit) // 10
            value = 10 * value + digit
            p += 1
        if too_big or value > self.most + minus:
            return Status.OUT_OF_RANGE
        return put_integer(out, <int64_t>(0 - value if minus else value), self.width)


ENCODERS = {"text_to_int": TextToIntEncoder}
DECODERS = {}
