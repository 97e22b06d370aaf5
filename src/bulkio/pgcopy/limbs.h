/* Unsigned integers of four 64-bit limbs, least significant first: enough for decimal256. */
#ifndef BULKIO_LIMBS_H
#define BULKIO_LIMBS_H

#include <stdint.h>
#include <string.h>

#define LIMBS 4

typedef struct { uint64_t limb[LIMBS]; } Wide;

static const uint64_t POWERS_OF_TEN[20] = {
    1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL, 1000000000ULL,
    10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL, 100000000000000ULL,
    1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL,
    10000000000000000000ULL,
};

static inline uint64_t power_of_ten(int n) { return POWERS_OF_TEN[n]; }

static inline int wide_fits64(const Wide *w) { return !(w->limb[1] | w->limb[2] | w->limb[3]); }

/* w = w * factor + addend; gives the carry out of the top limb, 0 where the result fits. */
static inline uint64_t wide_mul_add(Wide *w, uint64_t factor, uint64_t addend) {
    unsigned __int128 carry = addend;
    for (int i = 0; i < LIMBS; i++) {
        carry += (unsigned __int128)w->limb[i] * factor;
        w->limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    return (uint64_t)carry;
}

/* w = w / divisor; gives the remainder. */
static inline uint64_t wide_div(Wide *w, uint64_t divisor) {
    unsigned __int128 rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        rest = (rest << 64) | w->limb[i];
        w->limb[i] = (uint64_t)(rest / divisor);
        rest %= divisor;
    }
    return (uint64_t)rest;
}

static inline int wide_less(const Wide *a, const Wide *b) {
    for (int i = LIMBS - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i];
    return 0;
}

static inline void wide_negate(Wide *w) {
    uint64_t carry = 1;
    for (int i = 0; i < LIMBS; i++) {
        w->limb[i] = ~w->limb[i] + carry;
        carry = carry && w->limb[i] == 0;
    }
}

/* Load a little-endian two's complement integer of 4, 8, 16 or 32 bytes as magnitude; gives 1 where it is negative. */
static inline int wide_load(Wide *w, const uint8_t *p, int width) {
    int64_t top;
    if (width == 4) { int32_t v; memcpy(&v, p, 4); top = v; w->limb[0] = (uint64_t)top; }
    else { memcpy(w->limb, p, (size_t)width); memcpy(&top, p + width - 8, 8); }
    for (int i = (width + 7) / 8; i < LIMBS; i++) w->limb[i] = top < 0 ? ~0ULL : 0;
    if (top < 0) wide_negate(w);
    return top < 0;
}

#endif
