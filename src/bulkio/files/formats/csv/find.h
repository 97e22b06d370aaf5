/* Find the next byte that a CSV's grammar knows. */
#ifndef BULKIO_CSV_FIND_H
#define BULKIO_CSV_FIND_H

#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bytes that end a run, and the same as a table: 1 where a byte is one of them. NUL always is. */
typedef struct {
    uint8_t a, b, c, d;
    uint8_t table[256];
} special_bytes;

static inline const uint8_t *find_special(const uint8_t *p, const uint8_t *end, const special_bytes *special) {
#ifdef __SSE2__
    const __m128i a = _mm_set1_epi8((char)special->a), b = _mm_set1_epi8((char)special->b);
    const __m128i c = _mm_set1_epi8((char)special->c), d = _mm_set1_epi8((char)special->d);
    for (; end - p >= 16; p += 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        const __m128i ab = _mm_or_si128(_mm_cmpeq_epi8(bytes, a), _mm_cmpeq_epi8(bytes, b));
        const __m128i cd = _mm_or_si128(_mm_cmpeq_epi8(bytes, c), _mm_cmpeq_epi8(bytes, d));
        const __m128i nul = _mm_cmpeq_epi8(bytes, _mm_setzero_si128());
        const int hits = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(ab, cd), nul));
        if (hits) return p + __builtin_ctz(hits);
    }
#endif
    while (p < end && !special->table[*p]) p++;
    return p;
}

#endif
