/* A reader of JSON that goes through the text once. After the first mistake every call returns false. */
#ifndef PR_JSON_H
#define PR_JSON_H

#include "common.h"

struct pr_json {
    const char *at, *end;
    struct pr_arena *arena; /* for strings with escapes; the others point into the text */
    bool failed;
    bool first; /* no item of the innermost list or object has been read */
};

struct pr_json pr_json_open(const char *text, size_t bytes, struct pr_arena *arena);

/* Go into an object or array. Then call `next` before every item: false at the end, which it has passed then. */
bool pr_json_enter(struct pr_json *json, char bracket);
bool pr_json_next(struct pr_json *json);
bool pr_json_next_key(struct pr_json *json, struct pr_text *key);

bool pr_json_string(struct pr_json *json, struct pr_text *text);
bool pr_json_number(struct pr_json *json, double *number);
bool pr_json_integer(struct pr_json *json, int64_t least, int64_t most, int64_t *number);
bool pr_json_bool(struct pr_json *json, bool *value);
bool pr_json_null(struct pr_json *json); /* true, and passed, when the next value is null */
bool pr_json_skip(struct pr_json *json);

/* Find the value of `key` in the object that comes next; false when it has none. `json` stays where it is. */
bool pr_json_find(const struct pr_json *json, const char *key, struct pr_json *value);

#endif
