/* Opens damaged copies of bundles, and encodes texts with those that still open. Built with sanitizers, which stop it at
 * the first byte that is read or written outside of what belongs to it:  make -C runtime/native OUT=folder fuzz
 *
 *     pocketrank-fuzz INPUTS SEED MODEL TOKENIZER [MODEL TOKENIZER ...]
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/pocketrank.h"

struct bytes {
    unsigned char *data;
    size_t size;
};

static uint64_t state;

static uint32_t drawn(uint32_t below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return below ? (uint32_t)((state >> 16) % below) : 0;
}

static struct bytes read_file(const char *path) {
    struct bytes file = {NULL, 0};
    FILE *stream = fopen(path, "rb");
    if (stream == NULL || fseek(stream, 0, SEEK_END) != 0) {
        perror(path);
        exit(2);
    }
    file.size = (size_t)ftell(stream);
    file.data = malloc(file.size + 1);
    rewind(stream);
    if (file.data == NULL || fread(file.data, 1, file.size, stream) != file.size) exit(2);
    fclose(stream);
    return file;
}

/* A copy with some bytes changed, moved, repeated or cut off. It has not a byte more than its size. */
static struct bytes damaged(struct bytes whole, bool harm) {
    struct bytes copy = {malloc(whole.size ? whole.size : 1), whole.size};
    memcpy(copy.data, whole.data, whole.size);
    for (uint32_t change = harm && whole.size > 8 ? 1 + drawn(6) : 0; change > 0; change--) {
        /* The first bytes and the last say what a file is made of; the rest is mostly numbers. */
        uint32_t near = drawn(3) == 0 ? 512 : (uint32_t)copy.size, at = drawn(near < copy.size ? near : (uint32_t)copy.size);
        if (drawn(2)) at = (uint32_t)copy.size - 1 - at;
        uint32_t left = (uint32_t)copy.size - at, run = 1 + drawn(left < 16 ? left : 16);
        static const unsigned char edges[] = {0, 1, 0x7F, 0x80, 0xFF, '"', '{', '}', '[', ']', '\\', ','};
        if (run > left) run = left;
        switch (drawn(6)) {
        case 0: copy.data[at] = (unsigned char)drawn(256); break;
        case 1: copy.data[at] = edges[drawn(sizeof edges)]; break;
        case 2: copy.data[at] ^= (unsigned char)(1u << drawn(8)); break;
        case 3: memmove(copy.data + at, copy.data + drawn((uint32_t)copy.size - run), run); break;
        case 4: memset(copy.data + at, edges[drawn(sizeof edges)], run); break;
        default:
            if (drawn(4) == 0) {
                unsigned char *shorter = malloc(at + 1u);
                memcpy(shorter, copy.data, at + 1u);
                free(copy.data);
                copy.data = shorter;
                copy.size = at + 1u;
            }
        }
        if (copy.size < 9) break;
    }
    return copy;
}

static size_t random_text(char *text, size_t most) {
    static const char *const parts[] = {" ",    "a",  "merge", "[SEP]", "[UNK]",      "\xc3\xa9", "e\xcc\x81", "\xe4\xb8\xad",
                                        "\xff", "\n", "\xef",  "##",    "\xf0\x9f\x98\x80", "\xe1\x84\x80\xe1\x85\xa1", "\xef\xb7\xba"};
    size_t size = 0;
    for (uint32_t left = drawn(40); left > 0 && size + 16 < most; left--) {
        const char *part = parts[drawn(sizeof parts / sizeof *parts)];
        memcpy(text + size, part, strlen(part));
        size += strlen(part);
        if (drawn(8) == 0) text[size++] = (char)drawn(256);
    }
    return size;
}

int main(int count, char **words) {
    long inputs = count > 4 ? atol(words[1]) : 0, opened = 0, encoded = 0;
    int pairs = (count - 3) / 2;
    if (inputs < 1 || count % 2 == 0) {
        fputs("usage: pocketrank-fuzz INPUTS SEED MODEL TOKENIZER [MODEL TOKENIZER ...]\n", stderr);
        return 2;
    }
    state = (uint64_t)atol(words[2]) * 2654435761u + 88172645463325252u;
    struct bytes *files = calloc((size_t)pairs * 2, sizeof *files);
    for (int place = 0; place < 2 * pairs; place++) files[place] = read_file(words[3 + place]);
    for (long input = 0; input < inputs; input++) {
        char error[PR_ERROR_BYTES], given[1024];
        struct bytes *pair = &files[2 * drawn((uint32_t)pairs)];
        uint32_t which = drawn(3); /* model, tokenizer or both */
        struct bytes model = damaged(pair[0], which != 1), tokenizer = damaged(pair[1], which != 0);
        pr_bundle *bundle = pr_bundle_open_memory(model.data, model.size, (const char *)tokenizer.data, tokenizer.size, 24,
                                                  "find: ", NULL, error);
        if (bundle != NULL) {
            float *vector = malloc((size_t)pr_dimension(bundle) * sizeof *vector);
            opened++;
            for (int text = 0; text < 3; text++) {
                size_t size = random_text(given, sizeof given);
                char *exact = malloc(size ? size : 1);
                memcpy(exact, given, size);
                encoded += pr_encode(bundle, (enum pr_role)drawn(3), exact, size, vector, error) == 0;
                free(exact);
            }
            free(vector);
        }
        pr_bundle_close(bundle);
        free(model.data);
        free(tokenizer.data);
    }
    printf("%ld inputs, %ld opened, %ld texts encoded\n", inputs, opened, encoded);
    for (int place = 0; place < 2 * pairs; place++) free(files[place].data);
    free(files);
    return 0;
}
