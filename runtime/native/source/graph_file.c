/* Reads the parts of an ONNX file (protobuf) that a graph of ours has. Nothing outside the file's bytes is read. */
#include <string.h>

#include "graph.h"

#define ADVICE "export it again with pocketrank"

struct message {
    const uint8_t *at, *end;
    bool failed;
};

struct field {
    uint32_t number, kind;
    uint64_t integer; /* kind 0 */
    struct message bytes;
};

static bool number(struct message *message, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 70 && message->at < message->end; shift += 7) {
        uint8_t byte = *message->at++;
        if (shift < 64) *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    message->failed = true;
    return false;
}

static bool next(struct message *message, struct field *field) {
    uint64_t key, size;
    if (message->failed || message->at == message->end || !number(message, &key)) return false;
    field->number = (uint32_t)(key >> 3);
    field->kind = key & 7;
    if (field->kind == 0) return number(message, &field->integer);
    if (field->kind == 1) size = 8;
    else if (field->kind == 5) size = 4;
    else if (field->kind != 2 || !number(message, &size)) return !(message->failed = true);
    if (size > (uint64_t)(message->end - message->at)) return !(message->failed = true);
    field->bytes.at = message->at;
    field->bytes.end = message->at += size;
    field->bytes.failed = false;
    return true;
}

static struct pr_text text_of(const struct field *field) {
    struct pr_text text = {"", 0};
    if (field->kind == 2) {
        text.data = (const char *)field->bytes.at;
        text.size = (size_t)(field->bytes.end - field->bytes.at);
    }
    return text;
}

/* Read a repeated integer, packed or not. */
static bool add_integers(const struct field *field, int64_t *list, int *count) {
    struct message packed = field->bytes;
    uint64_t value = field->integer;
    if (field->kind == 0) {
        if (*count == PR_MOST_RANK) return false;
        list[(*count)++] = (int64_t)value;
        return true;
    }
    while (field->kind == 2 && packed.at < packed.end) {
        if (*count == PR_MOST_RANK || !number(&packed, &value)) return false;
        list[(*count)++] = (int64_t)value;
    }
    return field->kind == 2;
}

/* The number of a value by its name, made when it is new; -1 for the empty name or when there are too many. */
static int value_of(struct pr_graph *graph, struct pr_text name) {
    if (name.size == 0) return -1;
    for (int value = graph->value_count - 1; value >= 0; value--)
        if (graph->names[value].size == name.size && memcmp(graph->names[value].data, name.data, name.size) == 0)
            return value;
    if (graph->value_count == PR_MOST_VALUES) return -2;
    graph->names[graph->value_count] = name;
    graph->values[graph->value_count].slot = -1;
    return graph->value_count++;
}

static bool read_tensor(struct pr_graph *graph, struct message message) {
    struct pr_tensor tensor = {0};
    struct pr_text name = {"", 0}, data = {"", 0};
    struct field field;
    bool ok = true;
    tensor.constant = true;
    tensor.slot = -1;
    while (next(&message, &field)) {
        if (field.number == 1) ok = ok && add_integers(&field, tensor.dims, &tensor.rank);
        else if (field.number == 2) tensor.type = (enum pr_type)(field.kind == 0 && field.integer < 64 ? field.integer : 0);
        else if (field.number == 8) name = text_of(&field);
        else if (field.number == 9) data = text_of(&field);
        else if (field.number != 12) ok = false; /* values in other places, or outside the file */
    }
    size_t size = pr_type_bytes(tensor.type);
    tensor.count = 1;
    for (int axis = 0; axis < tensor.rank; axis++) {
        ok = ok && tensor.dims[axis] >= 0 && tensor.dims[axis] <= (1 << 30);
        if (ok) tensor.count *= tensor.dims[axis];
        ok = ok && tensor.count <= (1 << 30);
    }
    if (message.failed || !ok || size == 0 || (uint64_t)tensor.count * size != data.size)
        return pr_fail(graph->error, "the ONNX file has a damaged tensor '%.*s'; " ADVICE, (int)(name.size % 100), name.data);
    tensor.data = data.data;
    if (size > 1 && (uintptr_t)tensor.data % size != 0 && tensor.count <= 65536) {
        void *aligned = pr_take(&graph->arena, data.size);
        if (aligned == NULL) return pr_fail(graph->error, "no memory for a graph");
        memcpy(aligned, data.data, data.size);
        tensor.data = aligned;
    }
    int value = value_of(graph, name);
    if (value < 0 || graph->values[value].type != PR_NONE) return pr_fail(graph->error, "a tensor has no name of its own");
    graph->values[value] = tensor;
    return true;
}

static bool read_attribute(struct pr_attribute *attribute, struct message message) {
    struct field field;
    while (next(&message, &field)) {
        if (field.number == 1) attribute->name = text_of(&field);
        else if (field.number == 2 && field.kind == 5) memcpy(&attribute->real, field.bytes.at, 4);
        else if (field.number == 3 && field.kind == 0) attribute->integer = (int64_t)field.integer;
        else if (field.number == 8 && !add_integers(&field, attribute->list, &attribute->list_count)) return false;
        else if (field.number == 5 || field.number == 6) return false; /* a tensor, a graph */
    }
    return !message.failed;
}

static bool read_node(struct pr_graph *graph, struct message message) {
    struct pr_node *node = &graph->nodes[graph->node_count];
    struct field field;
    bool ok = graph->node_count < PR_MOST_NODES;
    while (ok && next(&message, &field)) {
        if (field.number == 1) {
            ok = node->input_count < PR_MOST_INPUTS;
            if (ok) node->inputs[node->input_count++] = value_of(graph, text_of(&field));
        } else if (field.number == 2) {
            ok = node->output_count < PR_MOST_OUTPUTS;
            if (ok) node->outputs[node->output_count++] = value_of(graph, text_of(&field));
        } else if (field.number == 4) {
            node->kind = text_of(&field);
        } else if (field.number == 5) {
            ok = node->attribute_count < PR_MOST_ATTRIBUTES && field.kind == 2;
            if (ok) ok = read_attribute(&node->attributes[node->attribute_count++], field.bytes);
        } else if (field.number == 7) {
            node->domain = text_of(&field);
        }
    }
    for (int place = 0; place < node->input_count; place++) ok = ok && node->inputs[place] > -2;
    for (int place = 0; place < node->output_count; place++) ok = ok && node->outputs[place] > -2;
    if (!ok || message.failed) return pr_fail(graph->error, "the ONNX file has a node that is not known here; " ADVICE);
    node->run = pr_operator_of(node->domain, node->kind);
    if (node->run == NULL)
        return pr_fail(graph->error, "the ONNX file has the operator '%.*s', which is not known here; " ADVICE,
                       (int)(node->kind.size % 100), node->kind.data);
    graph->node_count++;
    return true;
}

/* The name of an input or output, and the last number of its shape, 0 when it has none. */
static bool read_value(struct message message, struct pr_text *name, int64_t *last) {
    struct field field, type, tensor, dimension;
    *last = 0;
    while (next(&message, &field)) {
        if (field.number == 1) *name = text_of(&field);
        if (field.number != 2 || field.kind != 2) continue;
        while (next(&field.bytes, &type)) {
            if (type.number != 1 || type.kind != 2) continue;
            while (next(&type.bytes, &tensor)) {
                if (tensor.number != 2 || tensor.kind != 2) continue;
                while (next(&tensor.bytes, &dimension)) { /* of the shape */
                    struct field extent;
                    *last = 0;
                    if (dimension.number != 1 || dimension.kind != 2) continue;
                    while (next(&dimension.bytes, &extent))
                        if (extent.number == 1 && extent.kind == 0) *last = (int64_t)extent.integer;
                }
            }
        }
    }
    return !message.failed;
}

static bool read_graph(struct pr_graph *graph, struct message message) {
    struct message again = message;
    struct field field;
    struct pr_text name = {"", 0};
    int64_t last;
    while (next(&message, &field)) /* tensors first: nodes name them */
        if (field.number == 5 && (field.kind != 2 || !read_tensor(graph, field.bytes))) return false;
    bool ok = !message.failed;
    while (ok && next(&again, &field)) {
        if (field.number == 1 && (field.kind != 2 || !read_node(graph, field.bytes))) return false;
        if (field.number == 11 && field.kind == 2 && read_value(field.bytes, &name, &last)) {
            if (pr_text_is(name, "input_ids")) graph->input_ids = value_of(graph, name);
            else if (pr_text_is(name, "attention_mask")) graph->attention_mask = value_of(graph, name);
        }
        if (field.number == 12 && field.kind == 2 && read_value(field.bytes, &name, &last))
            if (pr_text_is(name, "sentence_embedding")) {
                graph->embedding = value_of(graph, name);
                graph->dimension = last;
            }
    }
    return ok;
}

bool pr_graph_read(struct pr_graph *graph, const void *data, size_t bytes) {
    struct message message = {data, (const uint8_t *)data + bytes, false};
    struct field field;
    bool seen = false;
    while (next(&message, &field))
        if (field.number == 7) {
            if (seen || field.kind != 2 || !read_graph(graph, field.bytes))
                return pr_fail(graph->error, "this is no whole ONNX file; " ADVICE);
            seen = true;
        }
    if (message.failed || !seen) return pr_fail(graph->error, "this is no whole ONNX file; " ADVICE);
    if (graph->input_ids < 0 || graph->embedding < 0 || graph->dimension < 1 || graph->dimension > 65536)
        return pr_fail(graph->error, "input_ids and sentence_embedding are needed; " ADVICE);
    return true;
}
