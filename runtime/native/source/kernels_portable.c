/* Any processor: vectors of four, which is SSE2 on x86, NEON on ARM and SIMD in WebAssembly. */
#include "kernels.h"

#define UNROLL _Pragma("GCC unroll 8")
#define LANES 4
#if defined(__aarch64__)
#include <arm_neon.h>
#define FMA(a, b, c) ((VF)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif
#define FMA8(a, b, c) ((a) * (b) + (c))
#define KERNELS pr_kernels_portable
#define KERNELS_NAME "portable"
#define MULTIPLY_CODES multiply_codes

static void multiply_codes(const uint8_t *a, size_t a_stride, int rows, const int8_t *b, size_t fours, bool small,
                           int32_t *c) {
    (void)small;
    for (int r = 0; r < rows; r++, a += a_stride, c += PR_STRIP) {
        for (int panel = 0; panel < PR_STRIP / PR_PANEL; panel++) {
            const int8_t *at = b + (size_t)panel * fours * 4 * PR_PANEL;
            int32_t sums[PR_PANEL] = {0};
            for (size_t four = 0; four < fours; four++, at += 4 * PR_PANEL) {
                int first = a[4 * four], second = a[4 * four + 1], third = a[4 * four + 2], last = a[4 * four + 3];
                for (int j = 0; j < PR_PANEL; j++)
                    sums[j] += first * at[4 * j] + second * at[4 * j + 1] + third * at[4 * j + 2] + last * at[4 * j + 3];
            }
            for (int j = 0; j < PR_PANEL; j++) c[panel * PR_PANEL + j] = sums[j];
        }
    }
}

#include "kernels_body.h"

const struct pr_kernels *pr_kernels(void) {
#if defined(__x86_64__)
    static const struct pr_kernels *chosen;
    if (chosen == NULL) {
        __builtin_cpu_init();
        bool eight = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        bool sixteen = eight && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vnni");
        chosen = sixteen ? &pr_kernels_avx512 : eight ? &pr_kernels_avx2 : &pr_kernels_portable;
    }
    return chosen;
#else
    return &pr_kernels_portable;
#endif
}
