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

#ifdef __cplusplus
}
#endif

#endif
