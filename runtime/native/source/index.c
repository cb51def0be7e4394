/* An index of documents, searched where it lies: vectors and lines are read from the mapped files. */
#if !defined(__wasm__)
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"

#define ADVICE "make the index again with `pocketrank index`"

enum { RESCORED = 50, RESCORED_LEAST = 500 };
enum { WHOLE_DOCUMENTS = 2 }; /* the schema version of indexes without passages */
enum kind { FLOATS, CODES, SIGNS };

struct array {
    struct pr_file file;
    const char *data;
};

struct pr_index {
    struct pr_arena arena; /* of the document that was read last */
    enum kind kind;
    int64_t count, dimension, schema;
    struct array vectors, codes, scales, bits, offsets, document_of;
    struct pr_file documents;
};

/* The number behind `key` in the header of a .npy file; the header is a Python literal that numpy writes in one way. */
static const char *behind(const char *header, size_t size, const char *key) {
    size_t length = strlen(key);
    for (size_t place = 0; place + length <= size; place++)
        if (memcmp(header + place, key, length) == 0) return header + place + length;
    return NULL;
}

static const char *whole_number(const char *at, const char *end, int64_t *number) {
    while (at < end && (*at == ' ' || *at == ',' || *at == '(')) at++;
    if (at == end || *at < '0' || *at > '9') return NULL;
    for (*number = 0; at < end && *at >= '0' && *at <= '9' && *number < (int64_t)1 << 40; at++) *number = *number * 10 + (*at - '0');
    return at;
}

/* Map an array of the type `kind` ("<f4") and the shape [rows, columns], or [rows] when columns is 0. */
static bool open_array(struct array *array, const char *folder, const char *name, const char *kind, size_t bytes, int64_t rows,
                       int64_t columns, char *error) {
    if (!pr_map(&array->file, folder, name, error)) return false;
    const unsigned char *data = array->file.data;
    size_t size = array->file.bytes, head = 0, start = 0;
    if (size >= 12 && memcmp(data, "\x93NUMPY", 6) == 0) {
        start = data[6] == 1 ? 10 : 12;
        head = data[8] | (size_t)data[9] << 8;
        if (data[6] != 1) head |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    }
    bool whole = start > 0 && head <= size - start;
    const char *header = (const char *)data + start, *end = header + (whole ? head : 0);
    const char *type = whole ? behind(header, head, "'descr': '") : NULL, *shape = whole ? behind(header, head, "'shape': (") : NULL;
    int64_t first = 0, second = 0;
    whole = type != NULL && shape != NULL && (size_t)(end - type) > strlen(kind) && memcmp(type, kind, strlen(kind)) == 0 &&
            type[strlen(kind)] == '\'' && behind(header, head, "'fortran_order': False") != NULL;
    shape = whole ? whole_number(shape, end, &first) : NULL;
    whole = shape != NULL && first == rows && (columns == 0 || (whole_number(shape, end, &second) != NULL && second == columns));
    uint64_t expected = (uint64_t)rows * (uint64_t)(columns ? columns : 1) * bytes;
    if (!whole || expected != size - start - head)
        return pr_fail(error, "%s/%s does not hold what index.json says; " ADVICE, folder, name);
    array->data = (const char *)data + start + head;
    return true;
}

static bool number_of(const struct pr_json *json, const char *key, int64_t most, int64_t *number) {
    struct pr_json value;
    return pr_json_find(json, key, &value) && pr_json_integer(&value, 1, most, number);
}

static bool text_of(const struct pr_json *json, const char *key, struct pr_text *text) {
    struct pr_json value;
    return pr_json_find(json, key, &value) && pr_json_string(&value, text);
}

static bool made_by(const struct pr_json *json, const char *key, const char *hash) {
    struct pr_text text;
    return hash[0] == 0 || (text_of(json, key, &text) && pr_text_is(text, hash));
}

static bool read_facts(struct pr_index *index, const char *folder, const pr_bundle *bundle, char *error) {
    struct pr_file file;
    struct pr_text kind;
    if (!pr_map(&file, folder, "index.json", error)) return false;
    struct pr_json json = pr_json_open(file.data, file.bytes, &index->arena), whole = json;
    bool read = pr_json_skip(&whole) && number_of(&json, "count", (int64_t)1 << 32, &index->count) &&
                number_of(&json, "dimension", 65536, &index->dimension) && text_of(&json, "vectors", &kind) &&
                number_of(&json, "schema_version", 1000, &index->schema);
    /* An index that was changed lives in segments, beside files of its first generation: read, those would answer wrongly. */
    int64_t generation;
    bool changed = read && number_of(&json, "generation", INT64_MAX, &generation);
    if (read) {
        index->kind = pr_text_is(kind, "float32") ? FLOATS : pr_text_is(kind, "int8") ? CODES : SIGNS;
        read = index->kind != SIGNS || pr_text_is(kind, "binary");
    }
    bool same = !read || bundle == NULL ||
                (made_by(&json, "model_sha256", bundle->model_hash) && made_by(&json, "tokenizer_sha256", bundle->tokenizer_hash) &&
                 index->dimension == bundle->graph.dimension);
    pr_unmap(&file);
    if (!read) return pr_fail(error, "%s/index.json is damaged; " ADVICE, folder);
    if (changed) return pr_fail(error, "%s was changed after it was made, which is not read here; " ADVICE, folder);
    return same || pr_fail(error, "%s was made with another model or tokenizer than the bundle's; name the index's own bundle, "
                                  "or " ADVICE, folder);
}

static bool open_arrays(struct pr_index *index, const char *folder, char *error) {
    int64_t rows = index->count, columns = index->dimension;
    if (!open_array(&index->offsets, folder, "offsets.npy", "<i8", 8, rows + 1, 0, error)) return false;
    if (index->schema == WHOLE_DOCUMENTS) {
        if (!pr_map(&index->documents, folder, "documents.jsonl", error)) return false;
    } else if (!pr_map(&index->documents, folder, "passages.jsonl", error) ||
               !open_array(&index->document_of, folder, "document_of.npy", "<i4", 4, rows, 0, error)) {
        return false;
    }
    if (index->kind == FLOATS) return open_array(&index->vectors, folder, "vectors.npy", "<f4", 4, rows, columns, error);
    if (index->kind == SIGNS && !open_array(&index->bits, folder, "bits.npy", "<u8", 8, rows, (columns + 63) / 64, error))
        return false;
    return open_array(&index->codes, folder, "codes.npy", "|i1", 1, rows, columns, error) &&
           open_array(&index->scales, folder, "scales.npy", "<f4", 4, rows, 0, error);
}

pr_index *pr_index_open(const char *folder, const pr_bundle *bundle, char *error) {
    if (error != NULL) error[0] = 0;
    struct pr_index *index = calloc(1, sizeof *index);
    if (index == NULL) {
        pr_fail(error, "no memory for an index");
        return NULL;
    }
    if (read_facts(index, folder, bundle, error) && open_arrays(index, folder, error)) return index;
    pr_index_close(index);
    return NULL;
}

void pr_index_close(pr_index *index) {
    if (index == NULL) return;
    struct array *arrays[] = {&index->vectors, &index->codes, &index->scales, &index->bits, &index->offsets, &index->document_of};
    for (size_t place = 0; place < sizeof arrays / sizeof *arrays; place++) pr_unmap(&arrays[place]->file);
    pr_unmap(&index->documents);
    pr_arena_free(&index->arena);
    free(index);
}

int64_t pr_index_count(const pr_index *index) { return index->count; }
int pr_index_dimension(const pr_index *index) { return (int)index->dimension; }

/* Keep the best hits, sorted; of equal scores the earlier passage stays in front. With `document_of`, int32 by row, one
 * hit a document: that of its best passage. */
struct best {
    struct pr_hit *hits;
    int64_t count, room;
    const char *document_of;
};

static int32_t document_at(const struct best *best, int64_t row) {
    int32_t document;
    memcpy(&document, best->document_of + 4 * row, sizeof document);
    return document;
}

/* Take out the hit of the document of `row`; false where it is as good as `score`. */
static bool make_way(struct best *best, int64_t row, float score) {
    for (int64_t place = 0; place < best->count; place++) {
        if (document_at(best, best->hits[place].document) != document_at(best, row)) continue;
        if (best->hits[place].score >= score) return false;
        best->count--;
        memmove(best->hits + place, best->hits + place + 1, (size_t)(best->count - place) * sizeof *best->hits);
        return true;
    }
    return true;
}

static void offer(struct best *best, int64_t document, float score) {
    if (!isfinite(score)) score = -INFINITY; /* a damaged file; it ranks last */
    if (best->count == best->room && !(score > best->hits[best->count - 1].score)) return;
    if (best->document_of != NULL && !make_way(best, document, score)) return;
    int64_t low = 0, high = best->count;
    while (low < high) { /* behind all that are as good */
        int64_t middle = (low + high) / 2;
        if (best->hits[middle].score >= score) low = middle + 1;
        else high = middle;
    }
    if (best->count < best->room) best->count++;
    memmove(best->hits + low + 1, best->hits + low, (size_t)(best->count - 1 - low) * sizeof *best->hits);
    best->hits[low].document = document;
    best->hits[low].score = score;
}

static float code_score(const struct pr_index *index, const float *vector, int64_t row) {
    float scale;
    memcpy(&scale, index->scales.data + 4 * row, sizeof scale);
    const int8_t *codes = (const int8_t *)index->codes.data + row * index->dimension;
    return pr_kernels()->dot_codes(vector, codes, (size_t)index->dimension) * scale;
}

static int by_document(const void *one, const void *two) {
    int64_t a = ((const struct pr_hit *)one)->document, b = ((const struct pr_hit *)two)->document;
    return (a > b) - (a < b);
}

/* First by the signs that differ, then the best of those by their codes. */
static bool search_signs(const struct pr_index *index, const float *vector, int most, struct best *best) {
    int64_t words = (index->dimension + 63) / 64, room = (int64_t)most * RESCORED;
    if (room < RESCORED_LEAST) room = RESCORED_LEAST;
    if (room > index->count) room = index->count;
    struct pr_hit *hits = malloc((size_t)room * sizeof *hits);
    unsigned char *signs = calloc((size_t)words, 8);
    if (hits == NULL || signs == NULL) {
        free(hits);
        free(signs);
        return false;
    }
    struct best candidates = {hits, 0, room, NULL};
    for (int64_t i = 0; i < index->dimension; i++)
        if (vector[i] > 0) signs[i / 8] |= (unsigned char)(0x80 >> i % 8);
    for (int64_t row = 0; row < index->count; row++) {
        int differing = 0;
        for (int64_t word = 0; word < words; word++) {
            uint64_t one, two;
            memcpy(&one, index->bits.data + (row * words + word) * 8, 8);
            memcpy(&two, signs + word * 8, 8);
            differing += __builtin_popcountll(one ^ two);
        }
        offer(&candidates, row, (float)-differing);
    }
    qsort(hits, (size_t)candidates.count, sizeof *hits, by_document);
    for (int64_t place = 0; place < candidates.count; place++)
        offer(best, hits[place].document, code_score(index, vector, hits[place].document));
    free(hits);
    free(signs);
    return true;
}

int pr_search(pr_index *index, const float *vector, int most, struct pr_hit *hits, char *error) {
    if (error != NULL) error[0] = 0;
    bool finite = true;
    for (int64_t i = 0; i < index->dimension; i++) finite = finite && isfinite(vector[i]);
    if (most < 1 || !finite) {
        pr_fail(error, "at least 1 result and a finite vector are needed; encode the query again");
        return -1;
    }
    struct best best = {hits, 0, most < index->count ? most : index->count, index->document_of.data};
    if (index->kind == SIGNS && !search_signs(index, vector, most, &best)) {
        pr_fail(error, "no memory to search");
        return -1;
    }
    for (int64_t row = 0; index->kind == FLOATS && row < index->count; row++)
        offer(&best, row, pr_kernels()->dot(vector, index->vectors.data + row * index->dimension * 4, (size_t)index->dimension));
    for (int64_t row = 0; index->kind == CODES && row < index->count; row++) offer(&best, row, code_score(index, vector, row));
    return (int)best.count;
}

static const char *copied(struct pr_index *index, const struct pr_json *json, const char *key) {
    struct pr_text text;
    if (!text_of(json, key, &text)) return NULL;
    char *copy = pr_take(&index->arena, text.size + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    return copy;
}

int pr_read_document(pr_index *index, int64_t position, struct pr_document *document, char *error) {
    int64_t limits[2] = {0, 0};
    if (error != NULL) error[0] = 0;
    pr_arena_free(&index->arena);
    if (position >= 0 && position < index->count) memcpy(limits, index->offsets.data + 8 * position, sizeof limits);
    if (limits[0] < 0 || limits[1] <= limits[0] || (uint64_t)limits[1] > index->documents.bytes) {
        pr_fail(error, "there is no document %lld in the index, or offsets.npy is damaged; " ADVICE, (long long)position);
        return -1;
    }
    struct pr_json json = pr_json_open((const char *)index->documents.data + limits[0], (size_t)(limits[1] - limits[0]), &index->arena);
    document->id = copied(index, &json, "id");
    document->title = copied(index, &json, "title");
    document->snippet = copied(index, &json, index->schema == WHOLE_DOCUMENTS ? "snippet" : "text");
    if (document->id != NULL && document->title != NULL && document->snippet != NULL) return 0;
    pr_fail(error, "the index is damaged at byte %lld of its texts; " ADVICE, (long long)limits[0]);
    return -1;
}
#else
typedef int pr_no_index;
#endif
