/* Reads `tokenizer.json`: the parts that pocketrank writes, in bounded sizes, and no others. */
#include <string.h>

#include "tokenizer.h"

#define ADVICE "fetch or build the bundle again"

static bool damaged(struct pr_json *json, char *error, const char *what) {
    json->failed = true;
    return pr_fail(error, "tokenizer.json: %s is damaged or has a part that is not known here; " ADVICE, what);
}

static bool kind_of(const struct pr_json *json, struct pr_text *kind) {
    struct pr_json value;
    return pr_json_find(json, "type", &value) && pr_json_string(&value, kind);
}

/* Read one character and make sure that nothing follows it. */
static bool one_character(struct pr_text text, uint32_t *code) {
    const char *at = text.data, *end = text.data + text.size;
    if (at == end) return false;
    *code = pr_next_point(&at, end);
    return at == end;
}

static struct pr_step *add_step(struct pr_tokenizer *tokenizer, enum pr_step_kind kind) {
    if (tokenizer->step_count == PR_MOST_STEPS) return NULL;
    struct pr_step *step = &tokenizer->steps[tokenizer->step_count++];
    memset(step, 0, sizeof *step);
    step->kind = kind;
    return step;
}

/* Add a replacement to the last step, or to a new one behind another kind of step. */
static bool read_replace(struct pr_tokenizer *tokenizer, struct pr_json *json) {
    enum { MOST = 256 };
    struct pr_json part;
    struct pr_text from = {0}, to = {0};
    if (!pr_json_find(json, "pattern", &part)) return false;
    struct pr_json pattern;
    if (!pr_json_find(&part, "String", &pattern) || !pr_json_string(&pattern, &from)) return false;
    if (!pr_json_find(json, "content", &part) || !pr_json_string(&part, &to)) return false;
    struct pr_step *step = tokenizer->step_count ? &tokenizer->steps[tokenizer->step_count - 1] : NULL;
    if (step == NULL || step->kind != PR_STEP_REPLACE) step = add_step(tokenizer, PR_STEP_REPLACE);
    if (step == NULL || step->count == MOST) return false;
    if (step->replacements == NULL) step->replacements = pr_take(&tokenizer->arena, MOST * sizeof *step->replacements);
    if (step->replacements == NULL) return false;
    struct pr_replacement made = {0};
    /* A space divides texts into parts that are read one by one, so it must stay. */
    if (!one_character(from, &made.from) || made.from <= ' ') return false;
    const char *at = to.data, *end = to.data + to.size;
    while (at < end) {
        if (made.count == 3) return false;
        made.to[made.count++] = pr_next_point(&at, end);
    }
    size_t place = step->count;
    for (size_t other = 0; other < step->count; other++) {
        struct pr_replacement *seen = &step->replacements[other];
        /* One pass does what one pass for each would do: nothing that is put in is replaced again. */
        for (unsigned int letter = 0; letter < seen->count; letter++)
            if (seen->to[letter] == made.from) return false;
        for (unsigned int letter = 0; letter < made.count; letter++)
            if (made.to[letter] == seen->from) return false;
        if (seen->from == made.from) return false;
        if (seen->from > made.from && place == step->count) place = other;
    }
    memmove(step->replacements + place + 1, step->replacements + place, (step->count - place) * sizeof made);
    step->replacements[place] = made;
    step->count++;
    return true;
}

static bool read_bert(struct pr_tokenizer *tokenizer, struct pr_json *json) {
    struct pr_step *step = add_step(tokenizer, PR_STEP_BERT);
    struct pr_json value;
    if (step == NULL || !pr_json_find(json, "clean_text", &value) || !pr_json_bool(&value, &step->clean)) return false;
    if (!pr_json_find(json, "handle_chinese_chars", &value) || !pr_json_bool(&value, &step->chinese)) return false;
    if (!pr_json_find(json, "lowercase", &value) || !pr_json_bool(&value, &step->lowercase)) return false;
    step->strip = step->lowercase; /* as BERT has it: accents go with capitals */
    if (pr_json_find(json, "strip_accents", &value) && !pr_json_null(&value)) return pr_json_bool(&value, &step->strip);
    return true;
}

static bool read_normalizer(struct pr_tokenizer *tokenizer, struct pr_json *json) {
    struct pr_text kind;
    if (!kind_of(json, &kind)) return false;
    if (pr_text_is(kind, "Sequence")) {
        struct pr_json parts;
        if (!pr_json_find(json, "normalizers", &parts) || !pr_json_enter(&parts, '[')) return false;
        while (pr_json_next(&parts)) {
            if (!kind_of(&parts, &kind) || pr_text_is(kind, "Sequence")) return false;
            if (!read_normalizer(tokenizer, &parts)) return false;
        }
        return !parts.failed && pr_json_skip(json);
    }
    bool known = pr_text_is(kind, "NFKC")             ? add_step(tokenizer, PR_STEP_NFKC) != NULL
                 : pr_text_is(kind, "Replace")        ? read_replace(tokenizer, json)
                 : pr_text_is(kind, "BertNormalizer") ? read_bert(tokenizer, json)
                                                      : false;
    return known && pr_json_skip(json);
}

static bool read_splitter(struct pr_tokenizer *tokenizer, struct pr_json *json, int position) {
    struct pr_text kind, text;
    struct pr_json value;
    bool flag;
    if (!kind_of(json, &kind)) return false;
    if (pr_text_is(kind, "Sequence") && position == 0) {
        if (!pr_json_find(json, "pretokenizers", &value) || !pr_json_enter(&value, '[')) return false;
        for (position = 0; pr_json_next(&value); position++)
            if (!kind_of(&value, &kind) || pr_text_is(kind, "Sequence") || !read_splitter(tokenizer, &value, position))
                return false;
        return !value.failed && position > 0 && pr_json_skip(json);
    }
    if (position == 0) return pr_text_is(kind, "BertPreTokenizer") && pr_json_skip(json);
    if (pr_text_is(kind, "Split") && tokenizer->mark.size == 0 && !tokenizer->at_symbols) {
        struct pr_json pattern;
        if (!pr_json_find(json, "pattern", &value) || !pr_json_find(&value, "Regex", &pattern)) return false;
        if (!pr_json_string(&pattern, &text) || !pr_text_is(text, "\\p{S}")) return false;
        if (!pr_json_find(json, "behavior", &value) || !pr_json_string(&value, &text) || !pr_text_is(text, "Isolated"))
            return false;
        if (!pr_json_find(json, "invert", &value) || !pr_json_bool(&value, &flag) || flag) return false;
        tokenizer->at_symbols = true;
        return pr_json_skip(json);
    }
    if (pr_text_is(kind, "Metaspace") && tokenizer->mark.size == 0) {
        if (!pr_json_find(json, "prepend_scheme", &value) || !pr_json_string(&value, &text)) return false;
        if (!pr_text_is(text, "always")) return false;
        if (!pr_json_find(json, "split", &value) || !pr_json_bool(&value, &flag) || flag) return false;
        if (!pr_json_find(json, "replacement", &value) || !pr_json_string(&value, &tokenizer->mark)) return false;
        return tokenizer->mark.size > 0 && tokenizer->mark.size <= 64 && pr_json_skip(json);
    }
    return false;
}

static bool read_added(struct pr_tokenizer *tokenizer, struct pr_json *json) {
    tokenizer->added = pr_take(&tokenizer->arena, PR_MOST_ADDED * sizeof *tokenizer->added);
    if (tokenizer->added == NULL || !pr_json_enter(json, '[')) return false;
    while (pr_json_next(json)) {
        static const char *const off[] = {"single_word", "lstrip", "rstrip", "normalized"};
        struct pr_json value;
        struct pr_added *added = &tokenizer->added[tokenizer->added_count];
        int64_t id;
        if (tokenizer->added_count == PR_MOST_ADDED) return false;
        for (int flag = 0; flag < 4; flag++) {
            bool on = false;
            if (pr_json_find(json, off[flag], &value) && (!pr_json_bool(&value, &on) || on)) return false;
        }
        if (!pr_json_find(json, "id", &value) || !pr_json_integer(&value, 0, INT32_MAX, &id)) return false;
        if (!pr_json_find(json, "content", &value) || !pr_json_string(&value, &added->text)) return false;
        if (added->text.size == 0 || added->text.size > PR_LONGEST_TOKEN) return false;
        added->id = (int32_t)id;
        tokenizer->added_start[(unsigned char)added->text.data[0]] = true;
        tokenizer->added_count++;
        if (!pr_json_skip(json)) return false;
    }
    return !json->failed;
}

static bool special_id(const struct pr_json *specials, struct pr_text name, int32_t *id) {
    struct pr_json json = *specials, ids;
    struct pr_text key;
    int64_t number;
    if (!pr_json_enter(&json, '{')) return false;
    while (pr_json_next_key(&json, &key)) {
        bool same = key.size == name.size && memcmp(key.data, name.data, key.size) == 0;
        if (same && pr_json_find(&json, "ids", &ids) && pr_json_enter(&ids, '[') && pr_json_next(&ids) &&
            pr_json_integer(&ids, 0, INT32_MAX, &number) && !pr_json_next(&ids) && !ids.failed) {
            *id = (int32_t)number;
            return true;
        }
        if (!pr_json_skip(&json)) return false;
    }
    return false;
}

static bool read_template(struct pr_tokenizer *tokenizer, struct pr_json *json) {
    struct pr_text kind, name;
    struct pr_json pieces, specials, value, id;
    bool text_seen = false;
    if (!kind_of(json, &kind) || !pr_text_is(kind, "TemplateProcessing")) return false;
    if (!pr_json_find(json, "single", &pieces) || !pr_json_find(json, "special_tokens", &specials)) return false;
    if (!pr_json_enter(&pieces, '[')) return false;
    while (pr_json_next(&pieces)) {
        int count = tokenizer->before + tokenizer->after;
        if (pr_json_find(&pieces, "SpecialToken", &value)) {
            if (count == PR_MOST_TEMPLATE || !pr_json_find(&value, "id", &id) || !pr_json_string(&id, &name)) return false;
            if (!special_id(&specials, name, &tokenizer->template_ids[count])) return false;
            if (text_seen) tokenizer->after++;
            else tokenizer->before++;
        } else if (pr_json_find(&pieces, "Sequence", &value) && !text_seen) {
            text_seen = true;
        } else {
            return false;
        }
        if (!pr_json_skip(&pieces)) return false;
    }
    return !pieces.failed && text_seen && pr_json_skip(json);
}

uint32_t pr_hash(uint32_t hash, const char *data, size_t size) {
    for (size_t place = 0; place < size; place++) hash = (hash ^ (unsigned char)data[place]) * 16777619u;
    return hash;
}

static size_t slot_of(const struct pr_tokenizer *tokenizer, uint32_t hash) {
    return (hash ^ hash >> 15) & tokenizer->slot_mask;
}

int32_t pr_token_id(const struct pr_tokenizer *tokenizer, const char *data, size_t size, uint32_t hash) {
    for (size_t place = slot_of(tokenizer, hash);; place = (place + 1) & tokenizer->slot_mask) {
        const struct pr_slot *slot = &tokenizer->slots[place];
        if (slot->data == NULL) return -1;
        if (slot->hash == hash && slot->size == size && memcmp(slot->data, data, size) == 0) return slot->id;
    }
}

static bool put_token(struct pr_tokenizer *tokenizer, struct pr_text token, int32_t id) {
    if (token.size > PR_LONGEST_TOKEN) return false;
    uint32_t hash = pr_hash(PR_HASH, token.data, token.size);
    size_t place = slot_of(tokenizer, hash);
    for (; tokenizer->slots[place].data != NULL; place = (place + 1) & tokenizer->slot_mask) {
        const struct pr_slot *slot = &tokenizer->slots[place];
        if (slot->hash == hash && slot->size == token.size && memcmp(slot->data, token.data, token.size) == 0) break;
    }
    struct pr_slot made = {token.data, hash, id, (uint32_t)token.size};
    tokenizer->slots[place] = made;
    if (token.size > tokenizer->longest) tokenizer->longest = (uint32_t)token.size;
    return true;
}

static bool make_slots(struct pr_tokenizer *tokenizer, size_t count) {
    size_t slots = 16;
    while (slots < count + count / 2) slots *= 2;
    tokenizer->slots = pr_take(&tokenizer->arena, slots * sizeof *tokenizer->slots);
    if (tokenizer->slots == NULL) return false;
    memset(tokenizer->slots, 0, slots * sizeof *tokenizer->slots);
    tokenizer->slot_mask = slots - 1;
    return true;
}

/* No more strings than this can follow, counted without reading them. */
static size_t most_strings(const struct pr_json *json) {
    size_t quotes = 0;
    for (const char *at = json->at; at < json->end; at++) quotes += *at == '"';
    return quotes / 2;
}

/* Read over what is left of the object that `inside` is in, and go on behind it. */
static bool leave(struct pr_json *json, struct pr_json *inside) {
    struct pr_text key;
    while (pr_json_next_key(inside, &key))
        if (!pr_json_skip(inside)) return false;
    *json = *inside;
    return !json->failed;
}

static bool read_word_pieces(struct pr_tokenizer *tokenizer, struct pr_json *json) {
    struct pr_json value;
    struct pr_text token;
    int64_t id;
    if (!pr_json_find(json, "continuing_subword_prefix", &value) || !pr_json_string(&value, &tokenizer->prefix))
        return false;
    if (tokenizer->prefix.size > 64) return false;
    if (!pr_json_find(json, "max_input_chars_per_word", &value)) return false;
    if (!pr_json_integer(&value, 0, PR_LONGEST_WORD, &tokenizer->longest_word)) return false;
    struct pr_text unknown;
    if (!pr_json_find(json, "unk_token", &value) || !pr_json_string(&value, &unknown)) return false;
    if (!pr_json_find(json, "vocab", &value)) return false;
    size_t count = most_strings(&value);
    if (count > PR_MOST_TOKENS || !make_slots(tokenizer, count) || !pr_json_enter(&value, '{')) return false;
    while (pr_json_next_key(&value, &token))
        if (!pr_json_integer(&value, 0, INT32_MAX, &id) || !put_token(tokenizer, token, (int32_t)id)) return false;
    tokenizer->unknown = pr_token_id(tokenizer, unknown.data, unknown.size, pr_hash(PR_HASH, unknown.data, unknown.size));
    return !value.failed && tokenizer->unknown >= 0 && leave(json, &value);
}

static bool read_unigram(struct pr_tokenizer *tokenizer, struct pr_json *json) {
    struct pr_json value;
    struct pr_text token;
    int64_t unknown;
    bool flag = false;
    if (pr_json_find(json, "byte_fallback", &value) && (!pr_json_bool(&value, &flag) || flag)) return false;
    if (!pr_json_find(json, "vocab", &value)) return false;
    size_t most = most_strings(&value), count = 0;
    if (most > PR_MOST_TOKENS || !make_slots(tokenizer, most)) return false;
    tokenizer->scores = pr_take(&tokenizer->arena, most * sizeof(double));
    if (tokenizer->scores == NULL || !pr_json_enter(&value, '[')) return false;
    double least = 1e300;
    for (; pr_json_next(&value); count++) {
        double *score = &tokenizer->scores[count];
        if (count == most || !pr_json_enter(&value, '[') || !pr_json_next(&value) || !pr_json_string(&value, &token)) return false;
        if (!pr_json_next(&value) || !pr_json_number(&value, score) || pr_json_next(&value)) return false;
        if (!put_token(tokenizer, token, (int32_t)count)) return false;
        if (*score < least) least = *score;
    }
    tokenizer->score_count = count;
    tokenizer->unknown_score = least - 10.0;
    tokenizer->unigram = true;
    struct pr_json other;
    if (value.failed || count == 0 || !pr_json_find(json, "unk_id", &other)) return false;
    if (!pr_json_integer(&other, 0, (int64_t)count - 1, &unknown)) return false;
    tokenizer->unknown = (int32_t)unknown;
    return leave(json, &value);
}

static bool read_model(struct pr_tokenizer *tokenizer, struct pr_json *json) {
    struct pr_text kind;
    if (tokenizer->slots != NULL || !kind_of(json, &kind)) return false;
    bool known = pr_text_is(kind, "WordPiece") ? read_word_pieces(tokenizer, json)
                 : pr_text_is(kind, "Unigram") ? read_unigram(tokenizer, json)
                                               : false;
    return known;
}

bool pr_read_tokenizer(struct pr_tokenizer *tokenizer, const char *text, size_t bytes, char *error) {
    struct pr_json json = pr_json_open(text, bytes, &tokenizer->arena);
    struct pr_text key;
    if (!pr_json_enter(&json, '{')) return damaged(&json, error, "the file");
    while (pr_json_next_key(&json, &key)) {
        if (pr_json_null(&json)) continue;
        if (pr_text_is(key, "normalizer") && tokenizer->step_count == 0) {
            if (!read_normalizer(tokenizer, &json)) return damaged(&json, error, "its normalizer");
        } else if (pr_text_is(key, "pre_tokenizer") && !tokenizer->at_symbols && tokenizer->mark.size == 0) {
            if (!read_splitter(tokenizer, &json, 0)) return damaged(&json, error, "its pre-tokenizer");
        } else if (pr_text_is(key, "added_tokens") && tokenizer->added == NULL) {
            if (!read_added(tokenizer, &json)) return damaged(&json, error, "the list of added tokens");
        } else if (pr_text_is(key, "post_processor") && tokenizer->before + tokenizer->after == 0) {
            if (!read_template(tokenizer, &json)) return damaged(&json, error, "its post-processor");
        } else if (pr_text_is(key, "model")) {
            if (!read_model(tokenizer, &json)) return damaged(&json, error, "its model");
        } else if (pr_text_is(key, "version") || pr_text_is(key, "truncation") || pr_text_is(key, "padding") ||
                   pr_text_is(key, "decoder")) {
            if (!pr_json_skip(&json)) return damaged(&json, error, "the file");
        } else {
            return damaged(&json, error, "a section");
        }
    }
    if (json.failed) return damaged(&json, error, "the file");
    if (tokenizer->slots == NULL) return pr_fail(error, "tokenizer.json has no model; " ADVICE);
    if (tokenizer->before + tokenizer->after >= tokenizer->max_length)
        return pr_fail(error, "tokenizer.json: its template is longer than max_length; " ADVICE);
    return true;
}
