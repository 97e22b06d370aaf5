"""JSON text on its way into jsonb, which keeps neither the first of two equal keys nor the sign of a zero.

jsonb is a version byte, 1, and then the text (src/backend/utils/adt/jsonb.c). Its parser keeps the last of an object's
equal keys, and makes a numeric of each number, which has one zero. Both are refused here; that it forgets blanks, the
order of keys and an exponent is its nature. It puts an escape's character into the database's encoding: a character
that this does not keep is refused as in any text. The server decides what is valid JSON (RFC 8259): this only has to be
right where a text is, and to stay inside where it is not.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free

from bulkio.pgcopy.chars cimport hex_digit, is_digit
from bulkio.pgcopy.codepoints cimport has_any
from bulkio.pgcopy.keys cimport Key, have_equals
from bulkio.pgcopy.strings cimport VersionedEncoder
from bulkio.pgcopy.wire cimport Buf, Out, Status, room

cdef enum:
    # an array that is open; objects have the number of their first key
    NO_OBJECT = -1
    # the field's length and the version byte
    HEAD = 5


cdef inline bint is_json_blank(uint8_t c) noexcept nogil:
    return c == c' ' or c == c'\n' or c == c'\r' or c == c'\t'


cdef const uint8_t* string_end(const uint8_t* p, const uint8_t* end, bint* escaped) noexcept nogil:
    """Find the quote that ends a string; `end` where there is none."""
    escaped[0] = False
    while p < end and p[0] != c'"':
        if p[0] == c'\\':
            escaped[0] = True
            p += 1
        p += 1
    return p if p < end else end


cdef bint is_key(const uint8_t* quote, const uint8_t* end) noexcept nogil:
    """Whether a colon follows the quote that ends a string."""
    cdef const uint8_t* p = quote + 1
    while p < end and is_json_blank(p[0]):
        p += 1
    return p < end and p[0] == c':'


cdef bint is_negative_zero(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Whether the number at p has a minus, and no digit but 0 before its exponent."""
    cdef const uint8_t* first = p + 1
    if p[0] != c'-':
        return False
    p = first
    while p < end and (p[0] == c'0' or p[0] == c'.'):
        p += 1
    return p > first and (p == end or not is_digit(p[0]))


cdef const uint8_t* number_end(const uint8_t* p, const uint8_t* end) noexcept nogil:
    while p < end and (is_digit(p[0]) or p[0] in b"+-.eE"):
        p += 1
    return p


cdef int64_t read_code(const uint8_t* p, const uint8_t* end) noexcept nogil:
    r"""The code unit of \uXXXX at p; -1 where there is none."""
    cdef int64_t code = 0
    cdef int i, digit
    if end - p < 6 or p[0] != c'\\' or p[1] != c'u':
        return -1
    for i in range(2, 6):
        digit = hex_digit(p[i])
        if digit < 0:
            return -1
        code = code << 4 | digit
    return code


cdef uint8_t* put_utf8(uint8_t* out, uint32_t code) noexcept nogil:
    if code < 0x80:
        out[0] = <uint8_t>code
        return out + 1
    if code < 0x800:
        out[0] = <uint8_t>(0xC0 | code >> 6)
    else:
        if code < 0x10000:
            out[0] = <uint8_t>(0xE0 | code >> 12)
        else:
            out[0] = <uint8_t>(0xF0 | code >> 18)
            out += 1
            out[0] = <uint8_t>(0x80 | (code >> 12 & 0x3F))
        out += 1
        out[0] = <uint8_t>(0x80 | (code >> 6 & 0x3F))
    out[1] = <uint8_t>(0x80 | (code & 0x3F))
    return out + 2


cdef uint8_t meant_by(uint8_t letter) noexcept nogil:
    """The character that a backslash and a letter stand for."""
    cdef const char* letters = b"bfnrt"
    cdef const char* meant = b"\b\f\n\r\t"
    cdef int i
    for i in range(5):
        if letter == <uint8_t>letters[i]:
            return <uint8_t>meant[i]
    return letter


cdef uint8_t* unescape(uint8_t* out, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Write what a string's characters are, which never takes more bytes; gives the end."""
    cdef int64_t code, low
    while p < end:
        if p[0] != c'\\' or end - p < 2:
            out[0] = p[0]
            out += 1
            p += 1
            continue
        code = read_code(p, end)
        if code < 0:
            out[0] = meant_by(p[1])
            out += 1
            p += 2
            continue
        p += 6
        low = read_code(p, end)
        if 0xD800 <= code < 0xDC00 and 0xDC00 <= low < 0xE000:
            code = 0x10000 + ((code & 0x3FF) << 10 | (low & 0x3FF))
            p += 6
        out = put_utf8(out, <uint32_t>code)
    return out


cdef class JsonbEncoder(VersionedEncoder):
    """utf8 -> jsonb."""

    cdef Buf keys  # of the objects that are open
    cdef Buf opened  # for each object or array that is open, the number of its first key
    cdef Buf plain  # keys that had escapes, without them
    cdef int64_t n_keys, depth, n_plain

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.refuses_escapes = False

    def __dealloc__(self):
        free(self.keys.data)
        free(self.opened.data)
        free(self.plain.data)

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t start = out.pos - out.start
        cdef int status = VersionedEncoder.write(self, out, row)
        return status or self.check(out.start + start + HEAD, out.pos)

    cdef int check(self, const uint8_t* p, const uint8_t* end) noexcept nogil:
        cdef int64_t size = end - p
        cdef const uint8_t* last
        cdef bint escaped
        cdef int status = Status.OK
        self.n_keys = self.depth = self.n_plain = 0
        while p < end and status == Status.OK:
            if p[0] == c'"':
                last = string_end(p + 1, end, &escaped)
                if is_key(last, end) and self.in_object():
                    status = self.add_key(p + 1, last, size if escaped else 0)
                if status == Status.OK and escaped and self.changed.n:
                    status = self.check_escapes(p + 1, last, size)
                p = last
            elif p[0] == c'-' or is_digit(p[0]):
                if is_negative_zero(p, end):
                    return Status.SIGNED_ZERO
                p = number_end(p, end)
                continue
            elif p[0] == c'{' or p[0] == c'[':
                status = self.open(self.n_keys if p[0] == c'{' else NO_OBJECT)
            elif p[0] == c'}' or p[0] == c']':
                status = self.close()
            p += 1
        return status

    cdef bint in_object(self) noexcept nogil:
        return self.depth > 0 and (<int64_t*>self.opened.data)[self.depth - 1] != NO_OBJECT

    cdef int open(self, int64_t first_key) noexcept nogil:
        if room(&self.opened, (self.depth + 1) * sizeof(int64_t)):
            return Status.NO_MEMORY
        (<int64_t*>self.opened.data)[self.depth] = first_key
        self.depth += 1
        return Status.OK

    cdef int add_key(self, const uint8_t* first, const uint8_t* last, int64_t plain_room) noexcept nogil:
        """Note a key; `plain_room` is the text's size, so that what is unescaped of it never moves."""
        cdef uint8_t* plain
        if room(&self.keys, (self.n_keys + 1) * sizeof(Key)) or room(&self.plain, 2 * plain_room):
            return Status.NO_MEMORY
        if plain_room:
            plain = self.plain.data + self.n_plain
            last = unescape(plain, first, last)
            first = plain
            self.n_plain += last - first
        (<Key*>self.keys.data)[self.n_keys] = Key(first, last - first)
        self.n_keys += 1
        return Status.OK

    cdef int check_escapes(self, const uint8_t* first, const uint8_t* last, int64_t plain_room) noexcept nogil:
        """Find a character that the database's encoding does not keep; the room behind the keys is enough for it."""
        cdef uint8_t* plain
        if room(&self.plain, 2 * plain_room):
            return Status.NO_MEMORY
        plain = self.plain.data + self.n_plain
        return Status.CHANGED_CHAR if has_any(&self.changed, plain, unescape(plain, first, last)) else Status.OK

    cdef int close(self) noexcept nogil:
        cdef int64_t first
        if self.depth == 0:
            return Status.OK
        self.depth -= 1
        first = (<int64_t*>self.opened.data)[self.depth]
        if first == NO_OBJECT:
            return Status.OK
        if have_equals(<Key*>self.keys.data + first, self.n_keys - first):
            return Status.DUPLICATE_KEY
        self.n_keys = first
        return Status.OK


ENCODERS = {"jsonb": JsonbEncoder}
DECODERS = {}
