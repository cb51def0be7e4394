#include "json.h"

#include <string.h>

enum { MOST_DEPTH = 64 };

struct pr_json pr_json_open(const char *text, size_t bytes, struct pr_arena *arena) {
    struct pr_json json = {text, text + bytes, arena, false, false};
    return json;
}

static bool fail(struct pr_json *json) {
    json->failed = true;
    json->at = json->end;
    return false;
}

/* The next character that is no white space, 0 at the end. */
static char peek(struct pr_json *json) {
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
    return json->at < json->end ? *json->at : 0;
}

static bool pass(struct pr_json *json, char wanted) {
    if (json->failed || peek(json) != wanted || json->at == json->end) return fail(json);
    json->at++;
    return true;
}

bool pr_json_enter(struct pr_json *json, char bracket) {
    json->first = true;
    return pass(json, bracket);
}

bool pr_json_next(struct pr_json *json) {
    char next = json->failed ? 0 : peek(json);
    if (next == ']' || next == '}') {
        json->at++;
        json->first = false;
        return false;
    }
    if (!json->first && !pass(json, ',')) return false;
    json->first = false;
    return !json->failed;
}

bool pr_json_next_key(struct pr_json *json, struct pr_text *key) {
    return pr_json_next(json) && pr_json_string(json, key) && pass(json, ':');
}

static int hexadecimal(const char *at) {
    int code = 0;
    for (int place = 0; place < 4; place++) {
        char digit = at[place];
        int value = digit >= '0' && digit <= '9'   ? digit - '0'
                    : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                    : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                                   : -1;
        if (value < 0) return -1;
        code = code << 4 | value;
    }
    return code;
}

static size_t put_character(char *out, uint32_t code) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t place = count - 1; place > 0; place--, code >>= 6) out[place] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((count == 2 ? 0xC0 : count == 3 ? 0xE0 : 0xF0) | code);
    return count;
}

/* Decode what stands between the quotes, which is never shorter than what it stands for. */
static bool decode(struct pr_json *json, const char *at, const char *end, struct pr_text *text) {
    char *out = pr_take(json->arena, (size_t)(end - at) + 4), *start = out;
    if (out == NULL) return fail(json);
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        static const char names[] = "\"\\/bfnrt", stands_for[] = "\"\\/\b\f\n\r\t";
        const char *name = at[1] ? strchr(names, at[1]) : NULL;
        if (name != NULL) {
            *out++ = stands_for[name - names];
            at += 2;
            continue;
        }
        int code = at[1] == 'u' && end - at >= 6 ? hexadecimal(at + 2) : -1;
        if (code < 0) return fail(json);
        at += 6;
        if (code >= 0xD800 && code < 0xE000) {
            int low = code < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hexadecimal(at + 2) : -1;
            bool pair = low >= 0xDC00 && low < 0xE000;
            code = pair ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : 0xFFFD;
            at += pair ? 6 : 0;
        }
        out += put_character(out, (uint32_t)code);
    }
    text->data = start;
    text->size = (size_t)(out - start);
    return true;
}

bool pr_json_string(struct pr_json *json, struct pr_text *text) {
    if (!pass(json, '"')) return false;
    const char *start = json->at;
    bool escaped = false;
    while (json->at < json->end && *json->at != '"') {
        if ((unsigned char)*json->at < 0x20) return fail(json);
        if (*json->at == '\\') {
            escaped = true;
            json->at++;
            if (json->at == json->end) return fail(json);
        }
        json->at++;
    }
    if (json->at == json->end) return fail(json);
    const char *end = json->at++;
    if (escaped) return decode(json, start, end, text);
    text->data = start;
    text->size = (size_t)(end - start);
    return true;
}

bool pr_json_number(struct pr_json *json, double *number) {
    if (json->failed) return false;
    peek(json);
    const char *at = json->at, *end = json->end;
    bool negative = at < end && *at == '-';
    at += negative;
    uint64_t digits = 0;
    int exponent = 0, count = 0;
    bool point = false, any = false;
    for (; at < end && ((*at >= '0' && *at <= '9') || (*at == '.' && !point)); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        any = true;
        bool kept = count < 18;
        if (kept) digits = digits * 10 + (uint64_t)(*at - '0');
        count += kept && digits > 0;
        exponent += (kept ? 0 : 1) - (point ? 1 : 0);
        if (at - json->at > 4096) return fail(json);
    }
    if (at < end && (*at == 'e' || *at == 'E') && any) {
        at++;
        bool minus = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        int power = 0;
        any = false;
        for (; at < end && *at >= '0' && *at <= '9'; at++, any = true)
            power = power < 10000 ? power * 10 + (*at - '0') : power;
        exponent += minus ? -power : power;
    }
    if (!any) return fail(json);
    /* Exact to the last bit up to 15 digits and 10^22, which is more than any score of ours has. */
    double value = (double)digits, step = 10;
    int left = exponent < 0 ? -exponent : exponent;
    double power = 1;
    for (left = left > 400 ? 400 : left; left > 0; left >>= 1, step *= step)
        if (left & 1) power *= step;
    value = exponent < 0 ? value / power : value * power;
    if (digits == 0) value = 0;
    *number = negative ? -value : value;
    json->at = at;
    return true;
}

bool pr_json_integer(struct pr_json *json, int64_t least, int64_t most, int64_t *number) {
    double value;
    if (!pr_json_number(json, &value)) return false;
    if (!(value >= (double)least && value <= (double)most) || value != (double)(int64_t)value) return fail(json);
    *number = (int64_t)value;
    return true;
}

static bool word(struct pr_json *json, const char *name) {
    size_t size = strlen(name);
    peek(json);
    if (json->failed || (size_t)(json->end - json->at) < size || memcmp(json->at, name, size) != 0) return false;
    json->at += size;
    return true;
}

bool pr_json_bool(struct pr_json *json, bool *value) {
    *value = word(json, "true");
    return *value || word(json, "false") || fail(json);
}

bool pr_json_null(struct pr_json *json) { return word(json, "null"); }

static bool skip(struct pr_json *json, int depth) {
    struct pr_text text;
    double number;
    bool value;
    char next = json->failed ? 0 : peek(json);
    if (depth > MOST_DEPTH) return fail(json);
    if (next == '{' || next == '[') {
        pr_json_enter(json, next);
        while (next == '{' ? pr_json_next_key(json, &text) : pr_json_next(json))
            if (!skip(json, depth + 1)) return false;
        return !json->failed;
    }
    if (next == '"') return pr_json_string(json, &text);
    if (next == 't' || next == 'f') return pr_json_bool(json, &value);
    return next == 'n' ? pr_json_null(json) || fail(json) : pr_json_number(json, &number);
}

bool pr_json_skip(struct pr_json *json) { return skip(json, 0); }

bool pr_json_find(const struct pr_json *json, const char *key, struct pr_json *value) {
    struct pr_text name;
    *value = *json;
    if (!pr_json_enter(value, '{')) return false;
    while (pr_json_next_key(value, &name)) {
        if (pr_text_is(name, key)) return true;
        if (!pr_json_skip(value)) return false;
    }
    return false;
}
