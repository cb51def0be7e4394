/* pocketrank: search with a bundle, without any other library.
 *
 * Opens the folders that `pocketrank run` makes: tokenizes, encodes, and searches an index. Files are mapped, not read,
 * so keep them as they are while they are open. The hashes of a bundle's manifest are not checked here; `pocketrank
 * verify` does, and so does whoever fetches a bundle. Whatever a file or a text holds, nothing is read outside of it.
 *
 * Functions that can fail return NULL or a negative number and write what is wrong, and what to do, into `error`, a
 * buffer of PR_ERROR_BYTES or NULL. An object serves one thread at a time; different objects do not know each other.
 */
#ifndef POCKETRANK_H
#define POCKETRANK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PR_API __attribute__((visibility("default")))
#define PR_ERROR_BYTES 400

/* ---- Tokenizer: a `tokenizer.json` of the parts that pocketrank writes (WordPiece or Unigram). ---- */

typedef struct pr_tokenizer pr_tokenizer;

/* Open the `bytes` bytes of a tokenizer.json, which must stay where they are until it is closed. Texts are cut to
 * `max_length` tokens, those of the template ([CLS], [SEP]) included. */
PR_API pr_tokenizer *pr_tokenizer_open(const char *json, size_t bytes, int max_length, char *error);
PR_API void pr_tokenizer_close(pr_tokenizer *tokenizer);

/* Write the token ids of a text in UTF-8 into `ids`, which has room for `max_length`, and return how many they are.
 * Malformed bytes are read as U+FFFD; of a text only the first max_length * 128 characters are read. Negative when
 * there is no memory. */
PR_API int pr_tokenize(pr_tokenizer *tokenizer, const char *text, size_t bytes, int32_t *ids);

/* How many words the text that was tokenized last has, as far as it was read, and how many are not in the vocabulary. */
PR_API void pr_words(const pr_tokenizer *tokenizer, int *words, int *unknown);

/* ---- Bundle: tokenizer and graph. ---- */

typedef struct pr_bundle pr_bundle;

/* What is put in front of a text: nothing, or the bundle's prompt of queries or documents. */
enum pr_role { PR_PLAIN = 0, PR_QUERY = 1, PR_DOCUMENT = 2 };

/* Open the folder of a bundle. `variant` names one of its ONNX files; NULL or "" is the default. */
PR_API pr_bundle *pr_bundle_open(const char *folder, const char *variant, char *error);

/* Open an ONNX file and a tokenizer.json that are in memory already and stay there. Prompts may be NULL;
 * without a tokenizer (NULL) only token ids can be encoded. */
PR_API pr_bundle *pr_bundle_open_memory(const void *model, size_t model_bytes, const char *tokenizer,
                                        size_t tokenizer_bytes, int max_length, const char *query_prompt,
                                        const char *document_prompt, char *error);
PR_API void pr_bundle_close(pr_bundle *bundle);

PR_API int pr_dimension(const pr_bundle *bundle);  /* numbers of a vector */
PR_API int pr_max_length(const pr_bundle *bundle); /* tokens that are read of a text */
PR_API pr_tokenizer *pr_bundle_tokenizer(pr_bundle *bundle); /* closed with the bundle */

/* Write the vector of a text in UTF-8, of length 1, into `vector`, which has room for pr_dimension numbers. Returns 0,
 * or -1 with a message. The same text gives the same vector at every call. */
PR_API int pr_encode(pr_bundle *bundle, enum pr_role role, const char *text, size_t bytes, float *vector, char *error);

/* The same for token ids, which are not more than pr_max_length. */
PR_API int pr_encode_ids(pr_bundle *bundle, const int32_t *ids, int count, float *vector, char *error);

/* ---- Index: a folder of `pocketrank index`. ---- */

typedef struct pr_index pr_index;

struct pr_hit {
    int64_t document; /* the position of its best passage, from 0 */
    float score;      /* dot product of the unit vectors */
};

struct pr_document {
    const char *id, *title, *snippet; /* in UTF-8; they stand until the next call with the same index */
};

/* Open the index in `folder`. With `bundle`, refuse one that the manifests say was made by another model or tokenizer. */
PR_API pr_index *pr_index_open(const char *folder, const pr_bundle *bundle, char *error);
PR_API void pr_index_close(pr_index *index);
PR_API int64_t pr_index_count(const pr_index *index);
PR_API int pr_index_dimension(const pr_index *index);

/* Write the `most` best documents for the vector of a query into `hits`, best first, equal scores in the order of the
 * documents. Returns how many they are, or -1 with a message. */
PR_API int pr_search(pr_index *index, const float *vector, int most, struct pr_hit *hits, char *error);

/* Read what is shown of a document; 0, or -1 with a message. */
PR_API int pr_read_document(pr_index *index, int64_t position, struct pr_document *document, char *error);

/* The instructions that were chosen for this processor: "portable", "avx2", "avx512". */
PR_API const char *pr_processor(void);

#ifdef __cplusplus
}
#endif

#endif
