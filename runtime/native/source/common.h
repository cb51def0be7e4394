/* What all parts share: errors, memory that is freed at once, texts that point into files. */
#ifndef PR_COMMON_H
#define PR_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pocketrank.h"

/* Bytes that belong to somebody else, mostly to a mapped file. */
struct pr_text {
    const char *data;
    size_t size;
};

bool pr_text_is(struct pr_text text, const char *word);

/* Write a message, cut to PR_ERROR_BYTES, unless there is one already; always return false. */
__attribute__((format(printf, 2, 3))) bool pr_fail(char *error, const char *format, ...);

/* Memory in blocks, freed together. Returned addresses are multiples of 16; NULL when there is no more. */
struct pr_arena {
    struct pr_block *blocks;
};

void *pr_take(struct pr_arena *arena, size_t bytes);
void pr_arena_free(struct pr_arena *arena);

/* Make room for `count` items of `size` bytes in a buffer that grows; its content is kept. */
struct pr_buffer {
    void *data;
    size_t bytes;
};

bool pr_reserve(struct pr_buffer *buffer, size_t count, size_t size);

#endif
