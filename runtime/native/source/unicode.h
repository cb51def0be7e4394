/* Normal forms and classes of characters, as the `tokenizers` library has them. */
#ifndef PR_UNICODE_H
#define PR_UNICODE_H

#include "common.h"
#include "unicode_tables.h"

/* A text of code points that grows. */
struct pr_points {
    struct pr_buffer buffer;
    size_t count;
};

static inline uint32_t *pr_points_of(struct pr_points *points) { return points->buffer.data; }

bool pr_points_add(struct pr_points *points, uint32_t code);

/* Read one code point of UTF-8 before `end`; U+FFFD stands for what is malformed. */
uint32_t pr_next_point(const char **at, const char *end);

/* Write a code point in UTF-8 and return how many bytes it took, at most 4. */
size_t pr_put_point(char *out, uint32_t code);

/* The classes PR_DROPPED, PR_MARK, ... of a character, as bits. */
unsigned int pr_classes(uint32_t code);

/* Append the normal form D (or KD) of `in` to `out`, which is empty; false when there is no memory. */
bool pr_decompose(struct pr_points *in, struct pr_points *out, bool compatible);

/* Compose what `pr_decompose` left, in place. */
void pr_compose(struct pr_points *points);

/* Append the lower case of a character. */
bool pr_add_lowercase(struct pr_points *points, uint32_t code);

#endif
