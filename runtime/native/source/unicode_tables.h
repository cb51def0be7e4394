/* What the `tokenizers` library does with each character. The tables are written by make_tables.py. */
#ifndef PR_UNICODE_TABLES_H
#define PR_UNICODE_TABLES_H

#include <stdint.h>

enum { PR_DROPPED = 1, PR_MARK = 2, PR_CHINESE = 4, PR_WHITE = 8, PR_PUNCTUATION = 16, PR_SYMBOL = 32 };

/* A text for each of some characters: sorted keys by plane, and UTF-16 units from starts[i] to starts[i + 1]. */
struct pr_mapping {
    uint16_t planes[4]; /* how many keys come before each plane */
    const uint16_t *keys, *starts, *units;
};

/* Runs of characters with one value: code << 8 | value, sorted. */
extern const uint32_t pr_class_spans[], pr_combining_spans[];
extern const unsigned int pr_class_spans_count, pr_combining_spans_count;

extern const struct pr_mapping pr_canonical, pr_compatible, pr_lowercase;

/* Two characters that compose to a third, in threes, sorted. */
extern const uint16_t pr_pairs[];
extern const uint32_t pr_large_pairs[];
extern const unsigned int pr_pairs_count, pr_large_pairs_count;

#endif
