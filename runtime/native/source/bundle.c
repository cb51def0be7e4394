#include "bundle.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST_NAME = 1024, LONGEST_TEXT = 65536 };

static struct pr_text copied(struct pr_bundle *bundle, struct pr_text text) {
    char *copy = pr_take(&bundle->arena, text.size + 1);
    struct pr_text none = {"", 0}, made = {copy, text.size};
    if (copy == NULL) return none;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    return made;
}

static bool open_parts(struct pr_bundle *bundle, const void *model, size_t model_bytes, const char *tokenizer,
                       size_t tokenizer_bytes, char *error) {
    if (bundle->max_length < 3 || bundle->max_length > LONGEST_TEXT)
        return pr_fail(error, "max_length is %d, and goes from 3 to %d; build the bundle again", bundle->max_length, LONGEST_TEXT);
    bundle->ids = malloc((size_t)bundle->max_length * sizeof *bundle->ids);
    if (bundle->ids == NULL) return pr_fail(error, "no memory for a bundle");
    char own[PR_ERROR_BYTES] = "";
    if (tokenizer != NULL) bundle->tokenizer = pr_tokenizer_open(tokenizer, tokenizer_bytes, bundle->max_length, own);
    if (tokenizer != NULL && bundle->tokenizer == NULL) return pr_fail(error, "%s", own);
    return pr_graph_open(&bundle->graph, model, model_bytes, error);
}

pr_bundle *pr_bundle_open_memory(const void *model, size_t model_bytes, const char *tokenizer, size_t tokenizer_bytes,
                                 int max_length, const char *query_prompt, const char *document_prompt, char *error) {
    if (error != NULL) error[0] = 0;
    struct pr_bundle *bundle = calloc(1, sizeof *bundle);
    if (bundle == NULL) {
        pr_fail(error, "no memory for a bundle");
        return NULL;
    }
    const char *prompts[3] = {"", query_prompt != NULL ? query_prompt : "", document_prompt != NULL ? document_prompt : ""};
    for (int role = 0; role < 3; role++) {
        struct pr_text prompt = {prompts[role], strlen(prompts[role])};
        bundle->prompts[role] = copied(bundle, prompt);
    }
    bundle->max_length = max_length;
    if (open_parts(bundle, model, model_bytes, tokenizer, tokenizer_bytes, error)) return bundle;
    pr_bundle_close(bundle);
    return NULL;
}

#if !defined(__wasm__)
struct facts {
    char model[LONGEST_NAME];
    int64_t max_length;
};

static void take_hash(const struct pr_json *files, struct pr_text name, char *hash) {
    struct pr_json json = *files, value;
    struct pr_text key, text;
    hash[0] = 0;
    if (!pr_json_enter(&json, '{')) return;
    while (pr_json_next_key(&json, &key)) {
        bool same = key.size == name.size && memcmp(key.data, name.data, key.size) == 0;
        if (same && pr_json_find(&json, "sha256", &value) && pr_json_string(&value, &text) && text.size == PR_HASH_BYTES - 1) {
            memcpy(hash, text.data, text.size);
            hash[text.size] = 0;
        }
        if (!pr_json_skip(&json)) return;
    }
}

/* Find the entry of a variant: the name of its file. */
static bool variant_file(const struct pr_json *manifest, struct pr_text wanted, struct pr_text *file) {
    struct pr_json variants, value;
    struct pr_text key;
    if (!pr_json_find(manifest, "variants", &variants) || !pr_json_enter(&variants, '{')) return false;
    while (pr_json_next_key(&variants, &key)) {
        if (key.size == wanted.size && memcmp(key.data, wanted.data, key.size) == 0)
            return pr_json_find(&variants, "file", &value) && pr_json_string(&value, file);
        if (!pr_json_skip(&variants)) return false;
    }
    return false;
}

static bool read_manifest(struct pr_bundle *bundle, const char *folder, const char *variant, struct facts *facts, char *error) {
    struct pr_file file;
    struct pr_json value, prompts;
    struct pr_text wanted = {variant, strlen(variant)}, name, prompt, tokenizer = {"tokenizer.json", 14};
    if (!pr_map(&file, folder, "manifest.json", error)) return false;
    struct pr_json manifest = pr_json_open(file.data, file.bytes, &bundle->arena), whole = manifest;
    bool read = pr_json_skip(&whole);
    if (wanted.size == 0) read = read && pr_json_find(&manifest, "default_variant", &value) && pr_json_string(&value, &wanted);
    read = read && pr_json_find(&manifest, "max_length", &value) && pr_json_integer(&value, 3, LONGEST_TEXT, &facts->max_length);
    if (read && !variant_file(&manifest, wanted, &name))
        read = pr_fail(error, "%s has no variant '%.*s'; name another one", folder, (int)(wanted.size % 100), wanted.data);
    read = read && pr_inside(name, facts->model, sizeof facts->model);
    if (read && pr_json_find(&manifest, "prompts", &prompts)) {
        static const char *const roles[3] = {NULL, "query", "document"};
        for (int role = 1; role < 3; role++)
            if (pr_json_find(&prompts, roles[role], &value) && pr_json_string(&value, &prompt))
                bundle->prompts[role] = copied(bundle, prompt);
    }
    if (read && pr_json_find(&manifest, "files", &value)) {
        take_hash(&value, name, bundle->model_hash);
        take_hash(&value, tokenizer, bundle->tokenizer_hash);
    }
    pr_unmap(&file);
    return read || pr_fail(error, "%s/manifest.json is damaged; fetch or build the bundle again", folder);
}

static int64_t number_in(const char *folder, const char *name, const char *key) {
    struct pr_file file;
    struct pr_arena arena = {NULL};
    struct pr_json value;
    double number = 0;
    if (!pr_file_exists(folder, name) || !pr_map(&file, folder, name, NULL)) return 0;
    struct pr_json json = pr_json_open(file.data, file.bytes, &arena);
    if (!pr_json_find(&json, key, &value) || !pr_json_number(&value, &number)) number = 0;
    pr_unmap(&file);
    pr_arena_free(&arena);
    return number >= 3 && number <= LONGEST_TEXT ? (int64_t)number : 0;
}

/* A folder without manifest: onnx/<variant>.onnx, tokenizer.json and config.json. */
static bool read_bare(const char *folder, const char *variant, struct facts *facts, char *error) {
    char name[LONGEST_NAME] = "onnx/";
    const char *stem = variant[0] ? variant : "model_quantized";
    if (strlen(stem) > LONGEST_NAME - 16) return pr_fail(error, "the name of the variant is too long; name another one");
    strcat(strcat(name, stem), ".onnx");
    struct pr_text file = {name, strlen(name)};
    if (!pr_inside(file, facts->model, sizeof facts->model)) return pr_fail(error, "'%s' is no variant; name another one", stem);
    int64_t positions = number_in(folder, "config.json", "max_position_embeddings");
    int64_t tokens = number_in(folder, "tokenizer_config.json", "model_max_length");
    facts->max_length = positions == 0 || (tokens != 0 && tokens < positions) ? tokens : positions;
    return facts->max_length > 0 || pr_fail(error, "%s is no bundle: neither manifest.json nor a config.json with "
                                                   "max_position_embeddings; name a bundle's folder", folder);
}

pr_bundle *pr_bundle_open(const char *folder, const char *variant, char *error) {
    if (error != NULL) error[0] = 0;
    struct pr_bundle *bundle = calloc(1, sizeof *bundle);
    struct facts facts;
    if (bundle == NULL) {
        pr_fail(error, "no memory for a bundle");
        return NULL;
    }
    variant = variant != NULL ? variant : "";
    bool read = pr_file_exists(folder, "manifest.json") ? read_manifest(bundle, folder, variant, &facts, error)
                                                        : read_bare(folder, variant, &facts, error);
    if (read) bundle->max_length = (int)facts.max_length;
    if (read && pr_map(&bundle->model_file, folder, facts.model, error) &&
        pr_map(&bundle->tokenizer_file, folder, "tokenizer.json", error) &&
        open_parts(bundle, bundle->model_file.data, bundle->model_file.bytes, bundle->tokenizer_file.data,
                   bundle->tokenizer_file.bytes, error))
        return bundle;
    pr_bundle_close(bundle);
    return NULL;
}
#endif

void pr_bundle_close(pr_bundle *bundle) {
    if (bundle == NULL) return;
    pr_graph_close(&bundle->graph);
    pr_tokenizer_close(bundle->tokenizer);
#if !defined(__wasm__)
    pr_unmap(&bundle->model_file);
    pr_unmap(&bundle->tokenizer_file);
#endif
    free(bundle->prompted.data);
    free(bundle->ids);
    pr_arena_free(&bundle->arena);
    free(bundle);
}

int pr_dimension(const pr_bundle *bundle) { return (int)bundle->graph.dimension; }
int pr_max_length(const pr_bundle *bundle) { return bundle->max_length; }
pr_tokenizer *pr_bundle_tokenizer(pr_bundle *bundle) { return bundle->tokenizer; }
const char *pr_processor(void) { return pr_kernels()->name; }

int pr_encode_ids(pr_bundle *bundle, const int32_t *ids, int count, float *vector, char *error) {
    if (error != NULL) error[0] = 0;
    if (count < 0 || count > bundle->max_length) {
        pr_fail(error, "%d token ids were given, and a text has at most %d; cut them", count, bundle->max_length);
        return -1;
    }
    if (count == 0) {
        memset(vector, 0, (size_t)bundle->graph.dimension * sizeof *vector);
        return 0;
    }
    return pr_graph_run(&bundle->graph, ids, count, vector, error) ? 0 : -1;
}

int pr_encode(pr_bundle *bundle, enum pr_role role, const char *text, size_t bytes, float *vector, char *error) {
    struct pr_text prompt = bundle->prompts[role == PR_QUERY || role == PR_DOCUMENT ? role : PR_PLAIN];
    if (error != NULL) error[0] = 0;
    if (bundle->tokenizer == NULL) {
        pr_fail(error, "the bundle was opened without a tokenizer; encode token ids, or open it with one");
        return -1;
    }
    if (prompt.size > 0) {
        size_t most = (size_t)bundle->max_length * PR_CHARACTERS_PER_TOKEN * 4; /* more is not read */
        if (bytes > most) bytes = most;
        if (!pr_reserve(&bundle->prompted, prompt.size + bytes, 1)) {
            pr_fail(error, "no memory for a text of this length");
            return -1;
        }
        memcpy(bundle->prompted.data, prompt.data, prompt.size);
        if (bytes > 0) memcpy((char *)bundle->prompted.data + prompt.size, text, bytes);
        text = bundle->prompted.data;
        bytes += prompt.size;
    }
    int count = pr_tokenize(bundle->tokenizer, text, bytes, bundle->ids);
    if (count >= 0) return pr_encode_ids(bundle, bundle->ids, count, vector, error);
    pr_fail(error, "no memory to tokenize a text");
    return -1;
}
