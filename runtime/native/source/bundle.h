#ifndef PR_BUNDLE_H
#define PR_BUNDLE_H

#include "files.h"
#include "graph.h"
#include "json.h"
#include "tokenizer.h"

enum { PR_HASH_BYTES = 65 };

struct pr_bundle {
    struct pr_arena arena;
    struct pr_file model_file, tokenizer_file;
    struct pr_tokenizer *tokenizer;
    struct pr_graph graph;
    struct pr_text prompts[3]; /* by role */
    struct pr_buffer prompted;
    int32_t *ids;
    int max_length;
    char model_hash[PR_HASH_BYTES], tokenizer_hash[PR_HASH_BYTES]; /* as the manifest has them, else empty */
};

#endif
