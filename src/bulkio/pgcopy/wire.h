/* Bytes on the wire: big-endian loads and stores, UTF-8 checks. No allocation, no Python. */
#ifndef BULKIO_WIRE_H
#define BULKIO_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bulkio's codec is written for little-endian machines"
#endif

static inline void put16(uint8_t *p, uint16_t v) { v = __builtin_bswap16(v); memcpy(p, &v, 2); }
static inline void put32(uint8_t *p, uint32_t v) { v = __builtin_bswap32(v); memcpy(p, &v, 4); }
static inline void put64(uint8_t *p, uint64_t v) { v = __builtin_bswap64(v); memcpy(p, &v, 8); }

static inline int16_t get16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return (int16_t)__builtin_bswap16(v); }
static inline int32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return (int32_t)__builtin_bswap32(v); }
static inline int64_t get64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return (int64_t)__builtin_bswap64(v); }

static inline int test_bit(const uint8_t *bits, int64_t i) { return (bits[i >> 3] >> (i & 7)) & 1; }

/* Length in bytes of the well-formed UTF-8 sequence at p (Unicode standard, table 3-7), 0 if there is none. */
static inline size_t utf8_sequence(const uint8_t *p, const uint8_t *end) {
    size_t left = (size_t)(end - p);
    uint8_t a = p[0];
    if (a < 0x80) return 1;
    if (a < 0xC2) return 0;
    if (left < 2 || (p[1] & 0xC0) != 0x80) return 0;
    if (a < 0xE0) return 2;
    if (left < 3 || (p[2] & 0xC0) != 0x80) return 0;
    if (a < 0xF0) {
        if (a == 0xE0 && p[1] < 0xA0) return 0; /* overlong */
        if (a == 0xED && p[1] > 0x9F) return 0; /* surrogates */
        return 3;
    }
    if (a > 0xF4 || left < 4 || (p[3] & 0xC0) != 0x80) return 0;
    if (a == 0xF0 && p[1] < 0x90) return 0; /* overlong */
    if (a == 0xF4 && p[1] > 0x8F) return 0; /* past U+10FFFF */
    return 4;
}

/* Buffers double; under AddressSanitizer they get what is asked for and no more, so that one byte too far is seen. */
#ifdef __SANITIZE_ADDRESS__
#define SPARE_ROOM 0
#else
#define SPARE_ROOM 1
#endif

enum { TEXT_OK = 0, TEXT_HAS_NUL = 1, TEXT_NOT_UTF8 = 2 };

static inline uint64_t load64(const uint8_t *p) { uint64_t w; memcpy(&w, p, 8); return w; }
static inline uint32_t load32(const uint8_t *p) { uint32_t w; memcpy(&w, p, 4); return w; }

#define HIGH_BITS 0x8080808080808080ULL
#define LOW_BITS 0x0101010101010101ULL

/* Not 0 where one of the eight bytes is 0 or not ASCII. */
static inline uint64_t odd_bytes(uint64_t w) { return ((w - LOW_BITS) | w) & HIGH_BITS; }

/* Whether all the bytes are ASCII other than NUL, as nearly every text's are. Reads nothing outside [p, p + n). */
static inline int is_plain(const uint8_t *p, size_t n) {
    const uint8_t *last = p + n - 8;
    uint64_t odd = 0;
    if (n < 8) {
        if (n >= 4) return !odd_bytes(load32(p) | (uint64_t)load32(p + n - 4) << 32);
        if (n == 0) return 1;
        return !odd_bytes(p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16 | LOW_BITS << 24);
    }
    for (; p < last; p += 8) odd |= odd_bytes(load64(p));
    return !(odd | odd_bytes(load64(last))); /* the last eight overlap those before */
}

static inline int check_odd_text(const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
#ifdef BULKIO_PLANT_OVERREAD /* in the first build of tests/fuzz/asan.sh alone, which must see it fail */
    if (*end == 1) return TEXT_HAS_NUL;
#endif
    while (p < end) {
        if (*p < 0x80 && end - p >= 8) { /* on to the next byte that is odd; those flagged behind it may be none */
            uint64_t odd = odd_bytes(load64(p));
            if (odd == 0) { p += 8; continue; }
            p += __builtin_ctzll(odd) >> 3;
        }
        if (*p == 0) return TEXT_HAS_NUL;
        size_t step = utf8_sequence(p, end);
        if (step == 0) return TEXT_NOT_UTF8;
        p += step;
    }
    return TEXT_OK;
}

/* What keeps these bytes from being a PostgreSQL text in UTF8. */
static inline int check_text(const uint8_t *p, size_t n) { return is_plain(p, n) ? TEXT_OK : check_odd_text(p, n); }

/* Number of code points in well-formed UTF-8. */
static inline int64_t count_chars(const uint8_t *p, size_t n) {
    int64_t chars = 0;
    for (size_t i = 0; i < n; i++) chars += (p[i] & 0xC0) != 0x80;
    return chars;
}

#endif
