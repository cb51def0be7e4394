#include "unicode.h"

#include <string.h>

enum {
    HANGUL = 0xAC00,
    HANGUL_COUNT = 11172,
    LEADING = 0x1100,
    VOWEL = 0x1161,
    TRAILING = 0x11A7,
    LEADING_COUNT = 19,
    VOWEL_COUNT = 21,
    TRAILING_COUNT = 28,
    FIRST_COMPOSING = 0x300, /* no character below it is the second of a pair */
    FEW = 16
};

bool pr_points_add(struct pr_points *points, uint32_t code) {
    if (!pr_reserve(&points->buffer, points->count + 1, sizeof(uint32_t))) return false;
    pr_points_of(points)[points->count++] = code;
    return true;
}

uint32_t pr_next_point(const char **at, const char *end) {
    const unsigned char *byte = (const unsigned char *)*at;
    unsigned int first = *byte++;
    uint32_t code = first;
    if (first >= 0x80) {
        int more = first >= 0xC2 && first < 0xE0 ? 1 : first >= 0xE0 && first < 0xF0 ? 2 : first >= 0xF0 && first < 0xF5 ? 3 : 0;
        unsigned int low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
        unsigned int high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
        code = more == 0 ? 0xFFFD : first & (0x3F >> more);
        for (; more > 0; more--, low = 0x80, high = 0xBF) {
            if (byte == (const unsigned char *)end || *byte < low || *byte > high) {
                code = 0xFFFD;
                break;
            }
            code = code << 6 | (*byte++ & 0x3F);
        }
    }
    *at = (const char *)byte;
    return code;
}

size_t pr_put_point(char *out, uint32_t code) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t place = count - 1; place > 0; place--, code >>= 6) out[place] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((count == 2 ? 0xC0 : count == 3 ? 0xE0 : 0xF0) | code);
    return count;
}

/* The value of the run that holds `code`. */
static unsigned int span_value(const uint32_t *spans, unsigned int count, uint32_t code) {
    unsigned int low = 0, high = count;
    while (high - low > 1) {
        unsigned int middle = (low + high) / 2;
        if (spans[middle] >> 8 <= code) low = middle;
        else high = middle;
    }
    return spans[low] & 0xFF;
}

unsigned int pr_classes(uint32_t code) { return span_value(pr_class_spans, pr_class_spans_count, code); }

static unsigned int combining_class(uint32_t code) {
    return code < FIRST_COMPOSING ? 0 : span_value(pr_combining_spans, pr_combining_spans_count, code);
}

/* The place of a character's text in a mapping, -1 when it has none. */
static int find_key(const struct pr_mapping *mapping, uint32_t code) {
    if (code >> 16 > 2) return -1;
    int low = mapping->planes[code >> 16], high = mapping->planes[(code >> 16) + 1], end = high;
    uint16_t key = (uint16_t)code;
    while (low < high) {
        int middle = (low + high) / 2;
        if (mapping->keys[middle] < key) low = middle + 1;
        else high = middle;
    }
    return low < end && mapping->keys[low] == key ? low : -1;
}

static bool add_units(struct pr_points *points, const struct pr_mapping *mapping, int place) {
    const uint16_t *unit = mapping->units + mapping->starts[place], *end = mapping->units + mapping->starts[place + 1];
    while (unit < end) {
        uint32_t code = *unit++;
        if (code >= 0xD800 && code < 0xDC00) code = 0x10000 + ((code - 0xD800) << 10) + (*unit++ - 0xDC00u);
        if (!pr_points_add(points, code)) return false;
    }
    return true;
}

static bool add_decomposed(struct pr_points *out, uint32_t code, bool compatible) {
    if (code < 0xA0) return pr_points_add(out, code);
    uint32_t syllable = code - HANGUL;
    if (syllable < HANGUL_COUNT) {
        uint32_t rest = syllable % (VOWEL_COUNT * TRAILING_COUNT), last = rest % TRAILING_COUNT;
        return pr_points_add(out, LEADING + syllable / (VOWEL_COUNT * TRAILING_COUNT)) &&
               pr_points_add(out, VOWEL + rest / TRAILING_COUNT) && (last == 0 || pr_points_add(out, TRAILING + last));
    }
    const struct pr_mapping *mapping = compatible ? &pr_compatible : &pr_canonical;
    int place = find_key(mapping, code);
    if (place < 0 && compatible) {
        mapping = &pr_canonical;
        place = find_key(mapping, code);
    }
    return place < 0 ? pr_points_add(out, code) : add_units(out, mapping, place);
}

/* Sort marks by their class, those of one class in their order. */
static bool sort_marks(uint32_t *marks, size_t count, struct pr_points *spare) {
    if (count <= FEW) {
        for (size_t end = 1; end < count; end++) {
            uint32_t mark = marks[end];
            unsigned int own = combining_class(mark);
            size_t place = end;
            for (; place > 0 && combining_class(marks[place - 1]) > own; place--) marks[place] = marks[place - 1];
            marks[place] = mark;
        }
        return true;
    }
    if (!pr_reserve(&spare->buffer, count, sizeof(uint32_t))) return false;
    size_t starts[257] = {0};
    for (size_t place = 0; place < count; place++) starts[combining_class(marks[place]) + 1]++;
    for (int class = 0; class < 256; class++) starts[class + 1] += starts[class];
    for (size_t place = 0; place < count; place++)
        pr_points_of(spare)[starts[combining_class(marks[place])]++] = marks[place];
    memcpy(marks, spare->buffer.data, count * sizeof(uint32_t));
    return true;
}

bool pr_decompose(struct pr_points *in, struct pr_points *out, bool compatible) {
    out->count = 0;
    for (size_t place = 0; place < in->count; place++)
        if (!add_decomposed(out, pr_points_of(in)[place], compatible)) return false;
    uint32_t *points = pr_points_of(out);
    for (size_t place = 0; place < out->count; place++) {
        if (points[place] < FIRST_COMPOSING || combining_class(points[place]) == 0) continue;
        size_t end = place + 1;
        while (end < out->count && combining_class(points[end]) != 0) end++;
        if (end - place > 1 && !sort_marks(points + place, end - place, in)) return false; /* `in` has been read */
        place = end;
    }
    return true;
}

/* The character that two compose to, 0 when they do not. */
static uint32_t composed(uint32_t first, uint32_t second) {
    uint32_t leading = first - LEADING, vowel = second - VOWEL, syllable = first - HANGUL, trailing = second - TRAILING;
    if (leading < LEADING_COUNT && vowel < VOWEL_COUNT)
        return HANGUL + (leading * VOWEL_COUNT + vowel) * TRAILING_COUNT;
    if (syllable < HANGUL_COUNT && syllable % TRAILING_COUNT == 0 && trailing > 0 && trailing < TRAILING_COUNT)
        return first + trailing;
    if (first > 0xFFFF || second > 0xFFFF) {
        for (unsigned int place = 0; place < pr_large_pairs_count; place += 3)
            if (pr_large_pairs[place] == first && pr_large_pairs[place + 1] == second) return pr_large_pairs[place + 2];
        return 0;
    }
    unsigned int low = 0, high = pr_pairs_count / 3;
    uint32_t wanted = first << 16 | second;
    while (low < high) {
        unsigned int middle = (low + high) / 2;
        uint32_t pair = (uint32_t)pr_pairs[3 * middle] << 16 | pr_pairs[3 * middle + 1];
        if (pair == wanted) return pr_pairs[3 * middle + 2];
        if (pair < wanted) low = middle + 1;
        else high = middle;
    }
    return 0;
}

void pr_compose(struct pr_points *points) {
    uint32_t *at = pr_points_of(points);
    size_t starter = SIZE_MAX, kept = 0;
    unsigned int last = 0; /* class of the last character that was kept behind the starter */
    for (size_t place = 0; place < points->count; place++) {
        uint32_t code = at[place];
        unsigned int own = combining_class(code);
        bool open = starter != SIZE_MAX && (starter + 1 == kept || last < own);
        uint32_t made = open && code >= FIRST_COMPOSING ? composed(at[starter], code) : 0;
        if (made != 0) {
            at[starter] = made;
            continue;
        }
        if (own == 0) starter = kept;
        last = own;
        at[kept++] = code;
    }
    points->count = kept;
}

bool pr_add_lowercase(struct pr_points *points, uint32_t code) {
    if (code < 0x80) return pr_points_add(points, code >= 'A' && code <= 'Z' ? code + 32 : code);
    int place = find_key(&pr_lowercase, code);
    return place < 0 ? pr_points_add(points, code) : add_units(points, &pr_lowercase, place);
}
