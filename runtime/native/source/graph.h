/* An ONNX file of the operators that pocketrank writes, run node by node for one text at a time. */
#ifndef PR_GRAPH_H
#define PR_GRAPH_H

#include "common.h"
#include "kernels.h"

enum {
    PR_MOST_RANK = 5,
    PR_MOST_INPUTS = 8,
    PR_MOST_OUTPUTS = 4,
    PR_MOST_ATTRIBUTES = 8,
    PR_MOST_NODES = 1024,
    PR_MOST_VALUES = 4096
};

/* Element types by their numbers in ONNX. */
enum pr_type { PR_NONE = 0, PR_F32 = 1, PR_U8 = 2, PR_I8 = 3, PR_I32 = 6, PR_I64 = 7, PR_BOOL = 9, PR_F16 = 10 };

struct pr_tensor {
    enum pr_type type;
    int rank;
    int64_t dims[PR_MOST_RANK];
    int64_t count;
    const void *data;    /* of a constant maybe not aligned */
    bool constant;       /* the same at every run */
    int slot;            /* the buffer that holds it, -1: none */
    bool widened;        /* of type F16 or I8, and stands for floats: a large constant is widened where it is used */
    const float *columns; /* of a widened I8: what one step is worth, by column */
};

struct pr_attribute {
    struct pr_text name;
    int64_t integer, list[PR_MOST_RANK];
    int list_count;
    float real;
};

struct pr_graph;
struct pr_node;
typedef bool pr_operator(struct pr_graph *graph, struct pr_node *node);

struct pr_node {
    struct pr_text kind, domain;
    pr_operator *run;
    int inputs[PR_MOST_INPUTS], outputs[PR_MOST_OUTPUTS]; /* numbers of values, -1: left out */
    int input_count, output_count;
    struct pr_attribute attributes[PR_MOST_ATTRIBUTES];
    int attribute_count;
    int32_t *column_sums; /* of a product in integers: of the columns of its second factor */
    bool small_codes;
    bool done; /* its outputs are constant */
};

struct pr_slot_buffer {
    struct pr_buffer buffer;
    bool used;
};

struct pr_graph {
    struct pr_arena arena;
    struct pr_tensor *values;
    struct pr_text *names;
    int *last_use; /* the last node that reads a value; node_count for outputs */
    int value_count;
    struct pr_node *nodes;
    int node_count;
    int input_ids, attention_mask, embedding; /* numbers of values, -1: none */
    int64_t dimension;

    struct pr_slot_buffer *slots;
    int slot_count, slot_room;
    struct pr_buffer strip, spare, tile; /* scratch of products */
    char *error;
};

/* Open the bytes of an ONNX file, which must stay where they are. */
bool pr_graph_open(struct pr_graph *graph, const void *data, size_t bytes, char *error);
void pr_graph_close(struct pr_graph *graph);

/* Compute the sentence embedding of `count` token ids into `vector` [dimension]. */
bool pr_graph_run(struct pr_graph *graph, const int32_t *ids, int count, float *vector, char *error);

/* In graph_file.c: values, nodes and attributes from the file. */
bool pr_graph_read(struct pr_graph *graph, const void *data, size_t bytes);

/* In operators.c: the function of an operator, NULL for one that is not known. */
pr_operator *pr_operator_of(struct pr_text domain, struct pr_text kind);

/* For operators. */
size_t pr_type_bytes(enum pr_type type);
const struct pr_attribute *pr_attribute_of(const struct pr_node *node, const char *name);
int64_t pr_integer_of(const struct pr_node *node, const char *name, int64_t otherwise);
struct pr_tensor *pr_input(struct pr_graph *graph, const struct pr_node *node, int number);
/* Make room for an output and return where its data goes; NULL when that cannot be. */
void *pr_output(struct pr_graph *graph, const struct pr_node *node, int number, enum pr_type type, int rank,
                const int64_t *dims);
bool pr_refuse(struct pr_graph *graph, const struct pr_node *node, const char *why);
float pr_half(uint16_t half);

#endif
