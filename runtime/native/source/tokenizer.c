#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

pr_tokenizer *pr_tokenizer_open(const char *json, size_t bytes, int max_length, char *error) {
    if (error != NULL) error[0] = 0;
    struct pr_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (tokenizer == NULL) {
        pr_fail(error, "no memory for a tokenizer");
        return NULL;
    }
    tokenizer->max_length = max_length;
    if (pr_read_tokenizer(tokenizer, json, bytes, error)) return tokenizer;
    pr_tokenizer_close(tokenizer);
    return NULL;
}

void pr_tokenizer_close(pr_tokenizer *tokenizer) {
    if (tokenizer == NULL) return;
    pr_arena_free(&tokenizer->arena);
    free(tokenizer->one.buffer.data);
    free(tokenizer->two.buffer.data);
    free(tokenizer->word.data);
    free(tokenizer->boundaries.data);
    free(tokenizer->best.data);
    free(tokenizer);
}

/* Where ids go, and how many there is room for. */
struct ids {
    int32_t *at;
    int count, room;
};

static void put_id(struct ids *ids, int32_t id) {
    if (ids->count < ids->room) ids->at[ids->count++] = id;
}

/* ---- Normalizer: each step reads `one` and leaves its result there, by way of `two`. ---- */

static void exchange(struct pr_tokenizer *tokenizer) {
    struct pr_points points = tokenizer->one;
    tokenizer->one = tokenizer->two;
    tokenizer->two = points;
    tokenizer->two.count = 0;
}

static bool all_below(struct pr_points *points, uint32_t limit) {
    const uint32_t *at = pr_points_of(points);
    for (size_t place = 0; place < points->count; place++)
        if (at[place] >= limit) return false;
    return true;
}

static const struct pr_replacement *replacement_of(const struct pr_step *step, uint32_t code) {
    size_t low = 0, high = step->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (step->replacements[middle].from < code) low = middle + 1;
        else high = middle;
    }
    return low < step->count && step->replacements[low].from == code ? &step->replacements[low] : NULL;
}

static bool replace(struct pr_tokenizer *tokenizer, const struct pr_step *step) {
    struct pr_points *in = &tokenizer->one, *out = &tokenizer->two;
    if (all_below(in, step->replacements[0].from)) return true;
    for (size_t place = 0; place < in->count; place++) {
        uint32_t code = pr_points_of(in)[place];
        const struct pr_replacement *found = replacement_of(step, code);
        if (found == NULL && !pr_points_add(out, code)) return false;
        for (unsigned int letter = 0; found != NULL && letter < found->count; letter++)
            if (!pr_points_add(out, found->to[letter])) return false;
    }
    exchange(tokenizer);
    return true;
}

static bool compose(struct pr_tokenizer *tokenizer) {
    if (all_below(&tokenizer->one, 0xA0)) return true;
    if (!pr_decompose(&tokenizer->one, &tokenizer->two, true)) return false;
    exchange(tokenizer);
    pr_compose(&tokenizer->one);
    return true;
}

static bool clean(struct pr_tokenizer *tokenizer, const struct pr_step *step) {
    struct pr_points *in = &tokenizer->one, *out = &tokenizer->two;
    for (size_t place = 0; place < in->count; place++) {
        uint32_t code = pr_points_of(in)[place];
        if (code >= ' ' && code < 0x7F) {
            if (!pr_points_add(out, code)) return false;
            continue;
        }
        unsigned int classes = pr_classes(code);
        if (step->clean) {
            if (code == '\t' || code == '\n' || code == '\r') code = ' ';
            else if (classes & PR_DROPPED) continue;
            else if (classes & PR_WHITE) code = ' ';
        }
        bool chinese = step->chinese && (classes & PR_CHINESE);
        if (chinese && !pr_points_add(out, ' ')) return false;
        if (!pr_points_add(out, code) || (chinese && !pr_points_add(out, ' '))) return false;
    }
    exchange(tokenizer);
    return true;
}

static bool strip_accents(struct pr_tokenizer *tokenizer) {
    if (all_below(&tokenizer->one, 0xC0)) return true;
    if (!pr_decompose(&tokenizer->one, &tokenizer->two, false)) return false;
    exchange(tokenizer);
    uint32_t *at = pr_points_of(&tokenizer->one);
    size_t kept = 0;
    for (size_t place = 0; place < tokenizer->one.count; place++)
        if (at[place] < 0x300 || !(pr_classes(at[place]) & PR_MARK)) at[kept++] = at[place];
    tokenizer->one.count = kept;
    return true;
}

static bool lowercase(struct pr_tokenizer *tokenizer) {
    struct pr_points *in = &tokenizer->one;
    for (size_t place = 0; place < in->count; place++)
        if (!pr_add_lowercase(&tokenizer->two, pr_points_of(in)[place])) return false;
    exchange(tokenizer);
    return true;
}

static bool normalize(struct pr_tokenizer *tokenizer) {
    tokenizer->two.count = 0;
    for (int number = 0; number < tokenizer->step_count; number++) {
        const struct pr_step *step = &tokenizer->steps[number];
        if (step->kind == PR_STEP_REPLACE && !replace(tokenizer, step)) return false;
        if (step->kind == PR_STEP_NFKC && !compose(tokenizer)) return false;
        if (step->kind != PR_STEP_BERT) continue;
        if ((step->clean || step->chinese) && !clean(tokenizer, step)) return false;
        if (step->strip && !strip_accents(tokenizer)) return false;
        if (step->lowercase && !lowercase(tokenizer)) return false;
    }
    return true;
}

/* ---- Models: one word, in UTF-8 with the places where its characters begin. ---- */

static bool word_pieces(struct pr_tokenizer *tokenizer, size_t characters, struct ids *ids) {
    const char *word = tokenizer->word.data;
    const uint32_t *boundaries = tokenizer->boundaries.data;
    int begin = ids->count;
    if ((int64_t)characters > tokenizer->longest_word) {
        put_id(ids, tokenizer->unknown);
        return true;
    }
    struct ids made = *ids;
    for (size_t start = 0; start < characters;) {
        char piece[PR_LONGEST_TOKEN + 64];
        size_t head = start ? tokenizer->prefix.size : 0;
        memcpy(piece, tokenizer->prefix.data, head);
        uint32_t hash = pr_hash(PR_HASH, piece, head);
        size_t end = start, last = start;
        int32_t id = -1;
        for (; end < characters; end++) {
            size_t from = boundaries[end] - boundaries[start] + head, size = boundaries[end + 1] - boundaries[end];
            if (from + size > tokenizer->longest) break;
            memcpy(piece + from, word + boundaries[end], size);
            hash = pr_hash(hash, piece + from, size);
            int32_t found = pr_token_id(tokenizer, piece, from + size, hash);
            if (found >= 0) id = found, last = end + 1;
        }
        if (id < 0) {
            ids->count = begin;
            put_id(ids, tokenizer->unknown);
            return true;
        }
        put_id(&made, id);
        start = last;
    }
    *ids = made;
    return true;
}

struct cut {
    double score;
    uint32_t start;
    int32_t id; /* -1: not reached */
};

/* The cut of a word with the largest sum of scores; unknown characters that are neighbours are one token. */
static bool unigram(struct pr_tokenizer *tokenizer, size_t characters, struct ids *ids) {
    const char *word = tokenizer->word.data;
    uint32_t *boundaries = tokenizer->boundaries.data;
    if (!pr_reserve(&tokenizer->best, characters + 1, sizeof(struct cut))) return false;
    struct cut *best = tokenizer->best.data;
    for (size_t place = 0; place <= characters; place++) best[place].id = -1;
    best[0].score = 0;
    for (size_t start = 0; start < characters; start++) {
        uint32_t hash = PR_HASH;
        bool alone = false;
        for (size_t end = start + 1; end <= characters; end++) {
            size_t from = boundaries[end - 1], size = boundaries[end] - boundaries[start];
            if (size > tokenizer->longest) break;
            hash = pr_hash(hash, word + from, boundaries[end] - from);
            int32_t id = pr_token_id(tokenizer, word + boundaries[start], size, hash);
            if (id < 0) continue;
            double score = best[start].score + tokenizer->scores[id];
            struct cut cut = {score, (uint32_t)start, id};
            if (best[end].id < 0 || score > best[end].score) best[end] = cut;
            alone = alone || end == start + 1;
        }
        struct cut cut = {best[start].score + tokenizer->unknown_score, (uint32_t)start, tokenizer->unknown};
        if (!alone && (best[start + 1].id < 0 || cut.score > best[start + 1].score)) best[start + 1] = cut;
    }
    /* Chain the ends of pieces forwards: best[start].start becomes the end of the piece that begins there. */
    size_t end = characters;
    for (uint32_t next = 0; end > 0;) {
        size_t start = best[end].start;
        best[end].start = next;
        next = (uint32_t)end;
        end = start;
        if (end == 0) best[0].start = next;
    }
    for (size_t start = 0; start < characters;) {
        size_t stop = best[start].start;
        int32_t id = best[stop].id;
        if (id == tokenizer->unknown) {
            while (stop < characters && best[best[stop].start].id == tokenizer->unknown) stop = best[stop].start;
            const char *data = word + boundaries[start];
            size_t size = boundaries[stop] - boundaries[start];
            int32_t found = pr_token_id(tokenizer, data, size, pr_hash(PR_HASH, data, size));
            id = found >= 0 ? found : tokenizer->unknown;
        }
        put_id(ids, id);
        start = stop;
    }
    return true;
}

static bool put_word(struct pr_tokenizer *tokenizer, const uint32_t *points, size_t count, struct ids *ids) {
    if (ids->count == ids->room) return true;
    struct pr_text mark = tokenizer->mark;
    if (!pr_reserve(&tokenizer->word, count * 4 + mark.size, 1)) return false;
    if (!pr_reserve(&tokenizer->boundaries, count + mark.size + 1, sizeof(uint32_t))) return false;
    char *word = tokenizer->word.data;
    uint32_t *boundaries = tokenizer->boundaries.data;
    size_t size = 0, characters = 0;
    for (size_t place = 0; place < count; place++) {
        boundaries[characters++] = (uint32_t)size;
        size += pr_put_point(word + size, points[place]);
    }
    if (mark.size > 0 && !(size >= mark.size && memcmp(word, mark.data, mark.size) == 0)) {
        size_t letters = 0;
        for (const char *at = mark.data; at < mark.data + mark.size; letters++) pr_next_point(&at, mark.data + mark.size);
        memmove(word + mark.size, word, size);
        memcpy(word, mark.data, mark.size);
        for (size_t place = characters; place > 0; place--)
            boundaries[place - 1 + letters] = boundaries[place - 1] + (uint32_t)mark.size;
        const char *at = mark.data;
        for (size_t place = 0; place < letters; place++) {
            boundaries[place] = (uint32_t)(at - mark.data);
            pr_next_point(&at, mark.data + mark.size);
        }
        size += mark.size;
        characters += letters;
    }
    boundaries[characters] = (uint32_t)size;
    int first = ids->count;
    if (!(tokenizer->unigram ? unigram(tokenizer, characters, ids) : word_pieces(tokenizer, characters, ids))) return false;
    bool unknown = false;
    for (int place = first; place < ids->count; place++) unknown = unknown || ids->at[place] == tokenizer->unknown;
    tokenizer->words++;
    tokenizer->unknown_words += unknown;
    return true;
}

/* Normalize what is in `one`, and give every word of it to the model. */
static bool put_words(struct pr_tokenizer *tokenizer, struct ids *ids) {
    if (!normalize(tokenizer)) return false;
    const uint32_t *points = pr_points_of(&tokenizer->one);
    size_t count = tokenizer->one.count, start = 0;
    unsigned int alone = PR_PUNCTUATION | (tokenizer->at_symbols ? PR_SYMBOL : 0);
    for (size_t place = 0; place <= count; place++) {
        bool letter = place < count && ((points[place] >= 'a' && points[place] <= 'z') ||
                                        (points[place] >= '0' && points[place] <= '9'));
        if (letter) continue;
        unsigned int classes = place < count ? pr_classes(points[place]) : PR_WHITE;
        if (!(classes & (PR_WHITE | alone))) continue;
        if (place > start && !put_word(tokenizer, points + start, place - start, ids)) return false;
        if (!(classes & PR_WHITE) && !put_word(tokenizer, points + place, 1, ids)) return false;
        start = place + 1;
    }
    return true;
}

/* The longest added token that the text begins with. */
static const struct pr_added *added_at(const struct pr_tokenizer *tokenizer, const char *at, const char *end) {
    const struct pr_added *longest = NULL;
    if (!tokenizer->added_start[(unsigned char)*at]) return NULL;
    for (size_t number = 0; number < tokenizer->added_count; number++) {
        const struct pr_added *added = &tokenizer->added[number];
        bool longer = longest == NULL || added->text.size > longest->text.size;
        if (longer && (size_t)(end - at) >= added->text.size && memcmp(at, added->text.data, added->text.size) == 0)
            longest = added;
    }
    return longest;
}

/* Where the first `most` characters of a text end. */
static const char *cut_text(const char *at, const char *end, size_t most) {
    if ((size_t)(end - at) <= most) return end;
    for (; most > 0 && at < end; most--) pr_next_point(&at, end);
    return at;
}

int pr_tokenize(pr_tokenizer *tokenizer, const char *text, size_t bytes, int32_t *ids) {
    struct ids made = {ids, 0, tokenizer->max_length - tokenizer->after};
    for (int place = 0; place < tokenizer->before; place++) put_id(&made, tokenizer->template_ids[place]);
    const char *at = text;
    const char *end = cut_text(text, text + bytes, (size_t)tokenizer->max_length * PR_CHARACTERS_PER_TOKEN);
    tokenizer->one.count = 0;
    tokenizer->words = tokenizer->unknown_words = 0;
    /* Nothing composes across a space and no word goes over it, so a text is read from space to space. */
    while (at < end && made.count < made.room) {
        const struct pr_added *added = added_at(tokenizer, at, end);
        bool apart = added != NULL || *at == ' ' || *at == '\n' || *at == '\r' || *at == '\t';
        if (apart && tokenizer->one.count > 0) {
            if (!put_words(tokenizer, &made)) return -1;
            tokenizer->one.count = 0;
        }
        if (added != NULL) {
            put_id(&made, added->id);
            tokenizer->words++;
            tokenizer->unknown_words += added->id == tokenizer->unknown;
            at += added->text.size;
        } else if (!pr_points_add(&tokenizer->one, pr_next_point(&at, end))) {
            return -1;
        }
    }
    if (tokenizer->one.count > 0 && made.count < made.room && !put_words(tokenizer, &made)) return -1;
    made.room = tokenizer->max_length;
    for (int place = 0; place < tokenizer->after; place++)
        put_id(&made, tokenizer->template_ids[tokenizer->before + place]);
    return made.count;
}

void pr_words(const pr_tokenizer *tokenizer, int *words, int *unknown) {
    *words = tokenizer->words;
    *unknown = tokenizer->unknown_words;
}
