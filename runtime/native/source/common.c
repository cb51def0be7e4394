#include "common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 16, BLOCK_HEAD = 32 };

struct pr_block {
    struct pr_block *next;
    size_t used, size;
};

bool pr_text_is(struct pr_text text, const char *word) {
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

bool pr_fail(char *error, const char *format, ...) {
    if (error != NULL && error[0] == 0) {
        va_list values;
        va_start(values, format);
        vsnprintf(error, PR_ERROR_BYTES, format, values);
        va_end(values);
    }
    return false;
}

void *pr_take(struct pr_arena *arena, size_t bytes) {
    struct pr_block *block = arena->blocks;
    if (bytes > SIZE_MAX / 2) return NULL;
    bytes = (bytes + 15) & ~(size_t)15;
    if (block == NULL || block->size - block->used < bytes) {
        size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = malloc(BLOCK_HEAD + size);
        if (block == NULL) return NULL;
        block->next = arena->blocks;
        block->used = 0;
        block->size = size;
        arena->blocks = block;
    }
    void *place = (char *)block + BLOCK_HEAD + block->used;
    block->used += bytes;
    return place;
}

void pr_arena_free(struct pr_arena *arena) {
    while (arena->blocks != NULL) {
        struct pr_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

bool pr_reserve(struct pr_buffer *buffer, size_t count, size_t size) {
    if (count > SIZE_MAX / 4 / size) return false;
    if (count * size <= buffer->bytes) return true;
    size_t bytes = count * size + count * size / 2 + 64;
    void *data = realloc(buffer->data, bytes);
    if (data == NULL) return false;
    buffer->data = data;
    buffer->bytes = bytes;
    return true;
}
