/* x86 with AVX-512 and its products of four codes (VNNI). */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")
#endif
#include <immintrin.h>

#define UNROLL _Pragma("GCC unroll 8")
#define LANES 16
#define FMA(a, b, c) ((VF)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define FMA8(a, b, c) ((V8F)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define KERNELS pr_kernels_avx512
#define KERNELS_NAME "avx512"
#define MULTIPLY_CODES multiply_codes

#include "kernels.h"

static inline __attribute__((always_inline)) void multiply_some(const uint8_t *a, size_t a_stride, const int rows,
                                                                const int8_t *b, size_t fours, int32_t *c) {
    __m512i sums[PR_MOST_ROWS][2];
    UNROLL
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm512_setzero_si512();
    for (size_t four = 0; four < fours; four++) {
        __m512i left = _mm512_loadu_si512(b + four * 64), right = _mm512_loadu_si512(b + (fours + four) * 64);
        UNROLL
        for (int r = 0; r < rows; r++) {
            int32_t codes;
            __builtin_memcpy(&codes, a + (size_t)r * a_stride + 4 * four, 4);
            __m512i spread = _mm512_set1_epi32(codes);
            sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], spread, left);
            sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], spread, right);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        _mm512_storeu_si512(c + r * PR_STRIP, sums[r][0]);
        _mm512_storeu_si512(c + r * PR_STRIP + PR_PANEL, sums[r][1]);
    }
}

static void multiply_codes(const uint8_t *a, size_t a_stride, int rows, const int8_t *b, size_t fours, bool small,
                           int32_t *c) {
    (void)small;
    switch (rows) {
    case 1: multiply_some(a, a_stride, 1, b, fours, c); break;
    case 2: multiply_some(a, a_stride, 2, b, fours, c); break;
    case 3: multiply_some(a, a_stride, 3, b, fours, c); break;
    case 4: multiply_some(a, a_stride, 4, b, fours, c); break;
    case 5: multiply_some(a, a_stride, 5, b, fours, c); break;
    case 6: multiply_some(a, a_stride, 6, b, fours, c); break;
    case 7: multiply_some(a, a_stride, 7, b, fours, c); break;
    default: multiply_some(a, a_stride, 8, b, fours, c); break;
    }
}

#include "kernels_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int pr_no_avx512;
#endif
