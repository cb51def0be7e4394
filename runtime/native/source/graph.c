#include "graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 30 };

size_t pr_type_bytes(enum pr_type type) {
    switch (type) {
    case PR_F32:
    case PR_I32: return 4;
    case PR_U8:
    case PR_I8:
    case PR_BOOL: return 1;
    case PR_I64: return 8;
    case PR_F16: return 2;
    default: return 0;
    }
}

float pr_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = half >> 10 & 31, fraction = half & 1023, bits;
    if (exponent == 0) {
        float small = (float)fraction * 5.9604644775390625e-08f; /* 2^-24 */
        return sign ? -small : small;
    }
    bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

const struct pr_attribute *pr_attribute_of(const struct pr_node *node, const char *name) {
    for (int place = 0; place < node->attribute_count; place++)
        if (pr_text_is(node->attributes[place].name, name)) return &node->attributes[place];
    return NULL;
}

int64_t pr_integer_of(const struct pr_node *node, const char *name, int64_t otherwise) {
    const struct pr_attribute *attribute = pr_attribute_of(node, name);
    return attribute != NULL ? attribute->integer : otherwise;
}

struct pr_tensor *pr_input(struct pr_graph *graph, const struct pr_node *node, int number) {
    return number < node->input_count && node->inputs[number] >= 0 ? &graph->values[node->inputs[number]] : NULL;
}

bool pr_refuse(struct pr_graph *graph, const struct pr_node *node, const char *why) {
    return pr_fail(graph->error, "the operator %.*s %s; export the ONNX file again with pocketrank",
                   (int)(node->kind.size % 100), node->kind.data, why);
}

/* The smallest free buffer that is large enough, else the largest free one, which grows. */
static int take_slot(struct pr_graph *graph, size_t bytes) {
    int found = -1;
    for (int slot = 0; slot < graph->slot_count; slot++) {
        if (graph->slots[slot].used) continue;
        size_t have = graph->slots[slot].buffer.bytes, best = found < 0 ? 0 : graph->slots[found].buffer.bytes;
        bool better = found < 0 || (best < bytes ? have > best : have >= bytes && have < best);
        if (better) found = slot;
    }
    if (found < 0) {
        if (graph->slot_count == graph->slot_room) return -1;
        found = graph->slot_count++;
    }
    struct pr_slot_buffer *slot = &graph->slots[found];
    if (slot->buffer.bytes < bytes) {
        free(slot->buffer.data); /* nobody needs what it holds */
        slot->buffer.data = malloc(bytes);
        slot->buffer.bytes = slot->buffer.data != NULL ? bytes : 0;
        if (slot->buffer.data == NULL) return -1;
    }
    slot->used = true;
    return found;
}

void *pr_output(struct pr_graph *graph, const struct pr_node *node, int number, enum pr_type type, int rank,
                const int64_t *dims) {
    int64_t count = 1;
    bool fits = rank <= PR_MOST_RANK && number < node->output_count && node->outputs[number] >= 0;
    for (int axis = 0; fits && axis < rank; axis++) {
        fits = dims[axis] >= 0 && dims[axis] <= MOST_BYTES;
        if (fits) count *= dims[axis];
        fits = fits && count <= MOST_BYTES / 8;
    }
    if (!fits) {
        pr_refuse(graph, node, "makes a value that is too large");
        return NULL;
    }
    struct pr_tensor made = {0};
    made.type = type;
    made.rank = rank;
    if (rank > 0) memcpy(made.dims, dims, (size_t)rank * sizeof *dims);
    made.count = count;
    made.constant = node->done;
    size_t bytes = (size_t)count * pr_type_bytes(type) + PR_SLACK;
    if (node->done) {
        made.slot = -1;
        made.data = pr_take(&graph->arena, bytes);
    } else {
        made.slot = take_slot(graph, bytes);
        made.data = made.slot < 0 ? NULL : graph->slots[made.slot].buffer.data;
    }
    if (made.data == NULL) {
        pr_fail(graph->error, "no memory for a text of this length");
        return NULL;
    }
    graph->values[node->outputs[number]] = made;
    return (void *)(uintptr_t)made.data;
}

static bool run_node(struct pr_graph *graph, struct pr_node *node) {
    for (int place = 0; place < node->input_count; place++)
        if (node->inputs[place] >= 0 && graph->values[node->inputs[place]].type == PR_NONE)
            return pr_refuse(graph, node, "reads a value that nothing has made");
    return node->run(graph, node);
}

static void release(struct pr_graph *graph, int value) {
    struct pr_tensor *tensor = &graph->values[value];
    if (tensor->constant) return;
    if (tensor->slot >= 0) graph->slots[tensor->slot].used = false;
    tensor->slot = -1;
    tensor->type = PR_NONE;
}

static bool reads_constants_alone(const struct pr_graph *graph, const struct pr_node *node) {
    bool any = false;
    for (int place = 0; place < node->input_count; place++) {
        if (node->inputs[place] < 0) continue;
        if (!graph->values[node->inputs[place]].constant) return false;
        any = true;
    }
    return any;
}

/* What depends on constants alone is computed once. */
static bool prepare(struct pr_graph *graph) {
    for (int value = 0; value < graph->value_count; value++) graph->last_use[value] = -1;
    for (int number = 0; number < graph->node_count; number++) {
        struct pr_node *node = &graph->nodes[number];
        for (int place = 0; place < node->output_count; place++) {
            if (node->outputs[place] < 0) continue;
            struct pr_tensor *made = &graph->values[node->outputs[place]];
            if (made->type != PR_NONE || graph->last_use[node->outputs[place]] != -1 ||
                node->outputs[place] == graph->input_ids || node->outputs[place] == graph->attention_mask)
                return pr_refuse(graph, node, "makes a value that is there already");
            graph->last_use[node->outputs[place]] = number;
        }
        for (int place = 0; place < node->input_count; place++)
            if (node->inputs[place] >= 0) graph->last_use[node->inputs[place]] = number;
        if (reads_constants_alone(graph, node)) {
            node->done = true;
            if (!run_node(graph, node)) return false;
        }
    }
    graph->last_use[graph->embedding] = graph->node_count;
    if (graph->input_ids == graph->embedding || graph->values[graph->input_ids].type != PR_NONE ||
        (graph->attention_mask >= 0 && graph->values[graph->attention_mask].type != PR_NONE))
        return pr_fail(graph->error, "the inputs of the ONNX file are made inside it; export it again with pocketrank");
    return true;
}

bool pr_graph_open(struct pr_graph *graph, const void *data, size_t bytes, char *error) {
    memset(graph, 0, sizeof *graph);
    graph->error = error;
    graph->input_ids = graph->attention_mask = graph->embedding = -1;
    graph->slot_room = PR_MOST_NODES;
    graph->values = calloc(PR_MOST_VALUES, sizeof *graph->values);
    graph->names = calloc(PR_MOST_VALUES, sizeof *graph->names);
    graph->last_use = calloc(PR_MOST_VALUES, sizeof *graph->last_use);
    graph->nodes = calloc(PR_MOST_NODES + 1, sizeof *graph->nodes);
    graph->slots = calloc(PR_MOST_NODES, sizeof *graph->slots);
    if (!graph->values || !graph->names || !graph->last_use || !graph->nodes || !graph->slots)
        return pr_fail(error, "no memory for a graph");
    return pr_graph_read(graph, data, bytes) && prepare(graph);
}

void pr_graph_close(struct pr_graph *graph) {
    for (int slot = 0; slot < graph->slot_count; slot++) free(graph->slots[slot].buffer.data);
    free(graph->slots);
    free(graph->nodes);
    free(graph->last_use);
    free(graph->names);
    free(graph->values);
    free(graph->strip.data);
    free(graph->spare.data);
    free(graph->tile.data);
    pr_arena_free(&graph->arena);
}

static void feed(struct pr_graph *graph, int value, const int64_t *data, int count) {
    struct pr_tensor fed = {.type = PR_I64, .rank = 2, .dims = {1, count}, .count = count, .data = data, .slot = -1};
    if (value >= 0) graph->values[value] = fed;
}

static bool run_nodes(struct pr_graph *graph) {
    for (int number = 0; number < graph->node_count; number++) {
        struct pr_node *node = &graph->nodes[number];
        if (node->done) continue;
        if (!run_node(graph, node)) return false;
        for (int place = 0; place < node->input_count; place++)
            if (node->inputs[place] >= 0 && graph->last_use[node->inputs[place]] == number)
                release(graph, node->inputs[place]);
        for (int place = 0; place < node->output_count; place++)
            if (node->outputs[place] >= 0 && graph->last_use[node->outputs[place]] == number)
                release(graph, node->outputs[place]);
    }
    return true;
}

static bool take_embedding(struct pr_graph *graph, float *vector) {
    const struct pr_tensor *made = &graph->values[graph->embedding];
    if (made->type != PR_F32 || made->count != graph->dimension)
        return pr_fail(graph->error, "the ONNX file gives a misshapen vector; export it again with pocketrank");
    memcpy(vector, made->data, (size_t)made->count * sizeof(float));
    for (int64_t place = 0; place < made->count; place++)
        if (!isfinite(vector[place]))
            return pr_fail(graph->error, "the ONNX file gives infinite vectors; run `pocketrank verify` on the bundle");
    return true;
}

bool pr_graph_run(struct pr_graph *graph, const int32_t *ids, int count, float *vector, char *error) {
    int64_t *fed = malloc(((size_t)count * 2 + 1) * sizeof *fed);
    graph->error = error;
    if (fed == NULL) return pr_fail(error, "no memory for a text of this length");
    for (int place = 0; place < count; place++) {
        fed[place] = ids[place];
        fed[count + place] = 1;
    }
    feed(graph, graph->input_ids, fed, count);
    feed(graph, graph->attention_mask, fed + count, count);
    bool done = run_nodes(graph) && take_embedding(graph, vector);
    for (int value = 0; value < graph->value_count; value++) release(graph, value);
    free(fed);
    return done;
}
