/* `tokenizer.json` in C: normalizer, words, WordPiece and Unigram. */
#ifndef PR_TOKENIZER_H
#define PR_TOKENIZER_H

#include "json.h"
#include "unicode.h"

enum {
    PR_CHARACTERS_PER_TOKEN = 128, /* beyond max_length times this, a text is not read */
    PR_MOST_STEPS = 8,
    PR_MOST_TEMPLATE = 16,
    PR_MOST_TOKENS = 1000000,
    PR_MOST_ADDED = 1000,
    PR_LONGEST_WORD = 200,   /* characters that WordPiece looks at */
    PR_LONGEST_TOKEN = 1024, /* bytes */
};

/* Replacements of one character by up to three others, sorted. */
struct pr_replacement {
    uint32_t from, to[3];
    unsigned int count;
};

enum pr_step_kind { PR_STEP_REPLACE, PR_STEP_NFKC, PR_STEP_BERT };

struct pr_step {
    enum pr_step_kind kind;
    struct pr_replacement *replacements;
    size_t count;
    bool clean, chinese, strip, lowercase;
};

/* Token -> id by open addressing. */
struct pr_slot {
    const char *data;
    uint32_t hash;
    int32_t id;
    uint32_t size;
};

struct pr_added {
    struct pr_text text;
    int32_t id;
};

struct pr_tokenizer {
    struct pr_arena arena;
    int max_length;
    struct pr_step steps[PR_MOST_STEPS];
    int step_count;
    struct pr_added *added;
    size_t added_count;
    bool added_start[256]; /* bytes that an added token begins with */
    bool at_symbols;       /* a symbol is a word */
    struct pr_text mark;   /* in front of every word; empty without Metaspace */
    int32_t template_ids[PR_MOST_TEMPLATE];
    int before, after; /* how many of them stand before the text and behind it */

    struct pr_slot *slots;
    size_t slot_mask;
    uint32_t longest; /* bytes of the longest token */
    int32_t unknown;
    bool unigram;
    struct pr_text prefix; /* WordPiece: of pieces inside a word */
    int64_t longest_word;  /* WordPiece: characters */
    double *scores; /* Unigram: by id */
    size_t score_count;
    double unknown_score;

    int words, unknown_words; /* of the text that was read last */

    /* Scratch. */
    struct pr_points one, two;
    struct pr_buffer word, boundaries, best;
};

/* The id of a token, -1 when it is none. `hash` is what `pr_hash` made of its bytes, beginning with PR_HASH. */
#define PR_HASH 2166136261u
uint32_t pr_hash(uint32_t hash, const char *data, size_t size);
int32_t pr_token_id(const struct pr_tokenizer *tokenizer, const char *data, size_t size, uint32_t hash);

/* Read the file; in tokenizer_file.c. */
bool pr_read_tokenizer(struct pr_tokenizer *tokenizer, const char *json, size_t bytes, char *error);

#endif
