/* x86 with AVX2 and FMA. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include <immintrin.h>

#define UNROLL _Pragma("GCC unroll 8")
#define LANES 8
#define FMA(a, b, c) ((VF)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define FMA8(a, b, c) ((V8F)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define KERNELS pr_kernels_avx2
#define KERNELS_NAME "avx2"
#define MULTIPLY_CODES multiply_codes

#include "kernels.h"

/* Two products are added in 16 bits, which is exact for |b| <= 64. Otherwise every second code of `a` at a time, so
 * that there is one product in each sum. */
static inline __attribute__((always_inline)) __m256i products(__m256i sum, __m256i a, __m256i b, bool small) {
    __m256i ones = _mm256_set1_epi16(1), even = _mm256_set1_epi16(0xFF);
    if (small) return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    __m256i first = _mm256_maddubs_epi16(_mm256_and_si256(a, even), b);
    __m256i second = _mm256_maddubs_epi16(_mm256_andnot_si256(even, a), b);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(first, ones));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(second, ones));
}

static inline __attribute__((always_inline)) void multiply_some(const uint8_t *a, size_t a_stride, const int rows,
                                                                const int8_t *b, size_t fours, const bool small,
                                                                int32_t *c) {
    for (int panel = 0; panel < PR_STRIP / PR_PANEL; panel++, b += fours * 4 * PR_PANEL) {
        __m256i sums[4][2];
        UNROLL
        for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm256_setzero_si256();
        for (size_t four = 0; four < fours; four++) {
            __m256i left = _mm256_loadu_si256((const __m256i *)(const void *)(b + four * 64));
            __m256i right = _mm256_loadu_si256((const __m256i *)(const void *)(b + four * 64 + 32));
            UNROLL
            for (int r = 0; r < rows; r++) {
                int32_t codes;
                __builtin_memcpy(&codes, a + (size_t)r * a_stride + 4 * four, 4);
                __m256i spread = _mm256_set1_epi32(codes);
                sums[r][0] = products(sums[r][0], spread, left, small);
                sums[r][1] = products(sums[r][1], spread, right, small);
            }
        }
        UNROLL
        for (int r = 0; r < rows; r++)
            for (int part = 0; part < 2; part++)
                _mm256_storeu_si256((__m256i *)(void *)(c + r * PR_STRIP + panel * PR_PANEL + part * 8), sums[r][part]);
    }
}

static void multiply_codes(const uint8_t *a, size_t a_stride, int rows, const int8_t *b, size_t fours, bool small,
                           int32_t *c) {
    for (; rows > 0; rows -= 4, a += 4 * a_stride, c += 4 * PR_STRIP) {
        int some = rows < 4 ? rows : 4;
        if (some == 4 && small) multiply_some(a, a_stride, 4, b, fours, true, c);
        else if (some == 4) multiply_some(a, a_stride, 4, b, fours, false, c);
        else
            for (int r = 0; r < some; r++)
                multiply_some(a + (size_t)r * a_stride, a_stride, 1, b, fours, small, c + r * PR_STRIP);
    }
}

#include "kernels_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int pr_no_avx2;
#endif
