/* pocketrank-native: encode texts with a bundle, search an index with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pocketrank.h"

static const char USAGE[] = "usage: pocketrank-native tokenize BUNDLE TEXT...\n"
                            "       pocketrank-native encode BUNDLE [--query | --document] TEXT...\n"
                            "       pocketrank-native search BUNDLE INDEX QUERY [RESULTS]\n"
                            "Prints a line of JSON for each text, or for each result. Exit code 2: an input is at fault.\n";

static void put_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        unsigned char letter = (unsigned char)*text;
        if (letter == '"' || letter == '\\') printf("\\%c", letter);
        else if (letter < 0x20) printf("\\u%04x", letter);
        else putchar(letter);
    }
    putchar('"');
}

static int fail(const char *message) {
    fprintf(stderr, "pocketrank-native: %s\n", message);
    return 2;
}

static int tokenize(pr_bundle *bundle, const char *text) {
    int32_t *ids = malloc((size_t)pr_max_length(bundle) * sizeof *ids);
    int count = ids != NULL ? pr_tokenize(pr_bundle_tokenizer(bundle), text, strlen(text), ids) : -1;
    for (int place = 0; place < count; place++) printf("%s%d", place ? "," : "[", ids[place]);
    free(ids);
    if (count < 0) return fail("no memory");
    puts(count ? "]" : "[]");
    return 0;
}

static int encode(pr_bundle *bundle, enum pr_role role, const char *text, float *vector) {
    char error[PR_ERROR_BYTES];
    if (pr_encode(bundle, role, text, strlen(text), vector, error) != 0) return fail(error);
    for (int place = 0; place < pr_dimension(bundle); place++) printf("%s%.9g", place ? "," : "[", (double)vector[place]);
    puts("]");
    return 0;
}

static int search(pr_bundle *bundle, pr_index *index, const char *query, int most, float *vector) {
    char error[PR_ERROR_BYTES];
    struct pr_document document;
    struct pr_hit *hits = calloc((size_t)most, sizeof *hits);
    int failed = hits == NULL ? fail("no memory") : 0;
    if (!failed && pr_encode(bundle, PR_QUERY, query, strlen(query), vector, error) != 0) failed = fail(error);
    int count = failed ? 0 : pr_search(index, vector, most, hits, error);
    if (count < 0) failed = fail(error);
    for (int place = 0; place < count && !failed; place++) {
        if (pr_read_document(index, hits[place].document, &document, error) != 0) {
            failed = fail(error);
            break;
        }
        printf("{\"rank\":%d,\"score\":%.6f,\"id\":", place + 1, (double)hits[place].score);
        put_string(document.id);
        fputs(",\"title\":", stdout);
        put_string(document.title);
        puts("}");
    }
    free(hits);
    return failed;
}

int main(int count, char **words) {
    char error[PR_ERROR_BYTES];
    if (count < 4) {
        fputs(USAGE, stderr);
        return 2;
    }
    const char *command = words[1];
    int known = !strcmp(command, "tokenize") || !strcmp(command, "encode") || (!strcmp(command, "search") && count >= 5);
    if (!known) {
        fputs(USAGE, stderr);
        return 2;
    }
    pr_bundle *bundle = pr_bundle_open(words[2], NULL, error);
    if (bundle == NULL) return fail(error);
    float *vector = malloc((size_t)pr_dimension(bundle) * sizeof *vector);
    int failed = vector == NULL ? fail("no memory") : 0;
    if (!failed && !strcmp(command, "search")) {
        int most = count > 5 ? atoi(words[5]) : 10;
        pr_index *index = pr_index_open(words[3], bundle, error);
        if (index == NULL) failed = fail(error);
        else if (most < 1 || most > 100000) failed = fail("the number of results goes from 1 to 100000");
        else failed = search(bundle, index, words[4], most, vector);
        pr_index_close(index);
    } else {
        enum pr_role role = !strcmp(words[3], "--query") ? PR_QUERY : !strcmp(words[3], "--document") ? PR_DOCUMENT : PR_PLAIN;
        int first = !strcmp(command, "encode") && role != PR_PLAIN ? 4 : 3;
        for (int place = first; place < count && !failed; place++)
            failed = !strcmp(command, "tokenize") ? tokenize(bundle, words[place]) : encode(bundle, role, words[place], vector);
    }
    free(vector);
    pr_bundle_close(bundle);
    return failed;
}
