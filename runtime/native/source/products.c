#include "products.h"

#include <stdlib.h>
#include <string.h>

size_t pr_packed_floats(size_t depth, size_t width) { return depth * ((width + PR_STRIP - 1) / PR_STRIP * PR_STRIP); }

static float element(const struct pr_matrix *matrix, size_t k, size_t j) {
    size_t place = k * matrix->depth_stride + j * matrix->width_stride;
    if (matrix->type == PR_I8) {
        float code = (float)(int8_t)matrix->data[place];
        return matrix->columns != NULL ? code * matrix->columns[j] : code;
    }
    if (matrix->type == PR_F16) {
        uint16_t half;
        memcpy(&half, matrix->data + 2 * place, 2);
        return pr_half(half);
    }
    float value;
    memcpy(&value, matrix->data + 4 * place, 4);
    return value;
}

void pr_pack(const struct pr_matrix *matrix, size_t first_column, float *strip) {
    for (size_t panel = 0; panel < PR_STRIP / PR_PANEL; panel++, first_column += PR_PANEL) {
        size_t width = first_column < matrix->width ? matrix->width - first_column : 0;
        if (width > PR_PANEL) width = PR_PANEL;
        float *to = strip + panel * matrix->depth * PR_PANEL;
        bool plain = matrix->type == PR_F32 && matrix->width_stride == 1;
        for (size_t k = 0; k < matrix->depth; k++, to += PR_PANEL) {
            if (width < PR_PANEL) memset(to, 0, PR_PANEL * sizeof *to);
            if (plain && width == PR_PANEL)
                memcpy(to, matrix->data + 4 * (k * matrix->depth_stride + first_column), PR_PANEL * sizeof *to);
            else
                for (size_t j = 0; j < width; j++) to[j] = element(matrix, k, first_column + j);
        }
    }
}

bool pr_multiply(struct pr_graph *graph, const float *a, size_t a_stride, size_t rows, const struct pr_matrix *b, float *c,
                 size_t c_stride, float factor) {
    const struct pr_kernels *kernels = pr_kernels();
    float tile[PR_MOST_ROWS * PR_STRIP];
    if (!pr_reserve(&graph->strip, b->depth * PR_STRIP + PR_SLACK, sizeof(float))) return false;
    for (size_t column = 0; column < b->width; column += PR_STRIP) {
        size_t width = b->width - column < PR_STRIP ? b->width - column : PR_STRIP;
        pr_pack(b, column, graph->strip.data);
        for (size_t row = 0; row < rows; row += PR_MOST_ROWS) {
            size_t some = rows - row < PR_MOST_ROWS ? rows - row : PR_MOST_ROWS;
            kernels->multiply(a + row * a_stride, a_stride, (int)some, graph->strip.data, b->depth, tile);
            for (size_t r = 0; r < some; r++)
                for (size_t j = 0; j < width; j++)
                    c[(row + r) * c_stride + column + j] = tile[r * PR_STRIP + j] * factor;
        }
    }
    return true;
}

/* Sums of the columns of `b`, its unsigned codes taken around 128, and whether all are small. Once for each node. */
static bool sum_columns(struct pr_graph *graph, struct pr_node *node, const struct pr_codes *codes, uint8_t flip) {
    if (node->column_sums != NULL) return true;
    int32_t *sums = pr_take(&graph->arena, codes->width * sizeof *sums);
    if (sums == NULL) return false;
    memset(sums, 0, codes->width * sizeof *sums);
    const uint8_t *at = codes->b->data;
    int least = 0, most = 0;
    for (size_t k = 0; k < codes->depth; k++, at += codes->width)
        for (size_t j = 0; j < codes->width; j++) {
            int code = (int8_t)(at[j] ^ flip);
            sums[j] += code;
            least = code < least ? code : least;
            most = code > most ? code : most;
        }
    node->small_codes = least >= -64 && most <= 64;
    node->column_sums = sums;
    return true;
}

/* Pack PR_STRIP columns; what is not there is zero. */
static void pack_strip(const struct pr_codes *codes, size_t column, uint8_t flip, int8_t *strip, uint8_t *padded) {
    size_t fours = (codes->depth + 3) / 4;
    const uint8_t *data = codes->b->data;
    for (int panel = 0; panel < PR_STRIP / PR_PANEL; panel++, column += PR_PANEL, strip += fours * 4 * PR_PANEL) {
        if (column + PR_PANEL <= codes->width) {
            pr_kernels()->pack_codes(data + column, codes->width, codes->depth, strip, flip);
            continue;
        }
        if (column >= codes->width) {
            memset(strip, 0, fours * 4 * PR_PANEL);
            continue;
        }
        memset(padded, 0, codes->depth * PR_PANEL);
        for (size_t k = 0; k < codes->depth; k++)
            memcpy(padded + k * PR_PANEL, data + k * codes->width + column, codes->width - column);
        pr_kernels()->pack_codes(padded, PR_PANEL, codes->depth, strip, flip);
    }
}

struct corrections {
    int32_t *columns; /* of the tile: what is taken from every product of a column */
    uint32_t b_zero, both;
};

static void finish(const struct pr_codes *codes, const struct corrections *taken, int32_t *tile, size_t row, size_t rows,
                   size_t column, size_t width) {
    for (size_t r = 0; r < rows; r++, tile += PR_STRIP) {
        uint32_t of_row = taken->both;
        if (taken->b_zero != 0) {
            uint32_t sum = 0;
            const uint8_t *a = codes->a + (row + r) * codes->depth;
            for (size_t k = 0; k < codes->depth; k++) sum += a[k];
            of_row -= taken->b_zero * sum;
        }
        for (size_t j = 0; j < PR_STRIP; j++)
            tile[j] = (int32_t)((uint32_t)tile[j] - (uint32_t)taken->columns[j] + of_row);
        size_t place = (row + r) * codes->width + column;
        if (codes->scales == NULL) memcpy((int32_t *)codes->c + place, tile, width * sizeof *tile);
        else
            pr_kernels()->scale(tile, codes->scales + column, codes->bias != NULL ? codes->bias + column : NULL,
                                (float *)codes->c + place, width);
    }
}

bool pr_multiply_codes(struct pr_graph *graph, struct pr_node *node, const struct pr_codes *codes) {
    const struct pr_kernels *kernels = pr_kernels();
    uint8_t flip = codes->b->type == PR_U8 ? 0x80 : 0;
    int b_zero = codes->b_zero - (flip ? 128 : 0);
    size_t fours = (codes->depth + 3) / 4;
    if (!codes->b->constant || (size_t)codes->b->count != codes->depth * codes->width)
        return pr_refuse(graph, node, "has a second factor that is no constant matrix");
    if (!sum_columns(graph, node, codes, flip) || !pr_reserve(&graph->strip, fours * 4 * PR_STRIP + PR_SLACK, 1) ||
        !pr_reserve(&graph->tile, codes->depth * PR_PANEL + PR_SLACK, 1))
        return pr_fail(graph->error, "no memory for a product");
    for (size_t column = 0; column < codes->width; column += PR_STRIP) {
        size_t width = codes->width - column < PR_STRIP ? codes->width - column : PR_STRIP;
        int32_t tile[PR_MOST_ROWS * PR_STRIP], columns[PR_STRIP] = {0};
        for (size_t j = 0; j < width; j++)
            columns[j] = (int32_t)((uint32_t)codes->a_zero * (uint32_t)node->column_sums[column + j]);
        struct corrections taken = {columns, (uint32_t)b_zero,
                                    (uint32_t)codes->depth * (uint32_t)codes->a_zero * (uint32_t)b_zero};
        pack_strip(codes, column, flip, graph->strip.data, graph->tile.data);
        for (size_t row = 0; row < codes->rows; row += PR_MOST_ROWS) {
            size_t some = codes->rows - row < PR_MOST_ROWS ? codes->rows - row : PR_MOST_ROWS;
            kernels->multiply_codes(codes->a + row * codes->depth, codes->depth, (int)some, graph->strip.data, fours,
                                    node->small_codes, tile);
            finish(codes, &taken, tile, row, some, column, width);
        }
    }
    return true;
}
