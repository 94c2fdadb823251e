enum { GC_LANES_real = GC_BYTES / sizeof(real), GC_WIDTH_real = GC_VECTORS * GC_LANES_real, GC_STRIDE_real = GC_WIDTH_real + GC_LANES_real };

#ifdef GC_VECTORISED
typedef real gc_vector_real __attribute__((vector_size(GC_BYTES)));
#define GC_AT_real(vector, lane) (vector)[lane]
#else
typedef struct {
    real lane[GC_BYTES / sizeof(real)];
} gc_vector_real;
#define GC_AT_real(vector, lane) (vector).lane[lane]
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast")
#endif

GC_INLINE gc_vector_real gc_load_real(const real *source)
{
    gc_vector_real vector;
    memcpy(&vector, source, sizeof vector);
    return vector;
}

/* sum + x * y, lane by lane. */
GC_INLINE gc_vector_real gc_multiply_add_real(gc_vector_real sum, gc_vector_real x, gc_vector_real y)
{
#ifdef GC_VECTORISED
    return sum + x * y;
#else
    for (int lane = 0; lane < GC_LANES_real; lane++)
        sum.lane[lane] += x.lane[lane] * y.lane[lane];
    return sum;
#endif
}

GC_INLINE gc_vector_real gc_splat_real(real x)
{
#ifdef GC_VECTORISED
    return x - (gc_vector_real){0};
#else
    gc_vector_real vector;
    for (int lane = 0; lane < GC_LANES_real; lane++)
        vector.lane[lane] = x;
    return vector;
#endif
}

/* A block of results in registers: C[c_rows[m] + c_columns[v] + lane] (+)= scale * sum(A[a_rows[m] + a_depth[k]] * B[…] for k). */
GC_INLINE void gc_outer_tile_real(
        int rows, int vectors, real *C, const real *A, const real *B, const int64_t *c_rows, const int64_t *a_rows,
        const int64_t *c_columns, const int64_t *b_columns, const int64_t *a_depth, const int64_t *b_depth, int64_t depth, bool add, real scale)
{
    gc_vector_real sums[GC_ROWS][GC_VECTORS], right[GC_VECTORS];
    const real *left[GC_ROWS], *columns[GC_VECTORS];
    for (int m = 0; m < rows; m++)
        left[m] = A + a_rows[m];
    for (int v = 0; v < vectors; v++)
        columns[v] = B + b_columns[v];
    for (int m = 0; m < rows; m++)
        for (int v = 0; v < vectors; v++)
            sums[m][v] = gc_splat_real(0);
    for (int64_t k = 0; k < depth; k++) {
        for (int v = 0; v < vectors; v++)
            right[v] = gc_load_real(columns[v] + b_depth[k]);
        for (int m = 0; m < rows; m++) {
            const gc_vector_real x = gc_splat_real(left[m][a_depth[k]]);
            for (int v = 0; v < vectors; v++)
                sums[m][v] = gc_multiply_add_real(sums[m][v], x, right[v]);
        }
    }
    const gc_vector_real factor = gc_splat_real(scale);
    for (int m = 0; m < rows; m++) {
        for (int v = 0; v < vectors; v++) {
            real *target = C + c_rows[m] + c_columns[v];
            const gc_vector_real old = add ? gc_load_real(target) : gc_splat_real(0);
            const gc_vector_real made = gc_multiply_add_real(old, sums[m][v], factor);
            memcpy(target, &made, sizeof made);
        }
    }
}

static void gc_outer_real(
        int rows, int vectors, real *C, const real *A, const real *B, const int64_t *c_rows, const int64_t *a_rows,
        const int64_t *c_columns, const int64_t *b_columns, const int64_t *a_depth, const int64_t *b_depth, int64_t depth, bool add, real scale)
{
#define GC_SHAPE(m, v) \
    if (rows == m && vectors == v) { \
        gc_outer_tile_real(m, v, C, A, B, c_rows, a_rows, c_columns, b_columns, a_depth, b_depth, depth, add, scale); \
        return; \
    }
#define GC_SHAPES(v) GC_SHAPE(6, v) GC_SHAPE(4, v) GC_SHAPE(2, v) GC_SHAPE(1, v)
#if GC_VECTORS == 4
    GC_SHAPES(4)
    GC_SHAPES(3)
#endif
    GC_SHAPES(2)
    GC_SHAPES(1)
#undef GC_SHAPES
#undef GC_SHAPE
}

/* out[m][n] = sum(A[a_rows[m] + a_steps[i] + lane] * B[b_columns[n] + b_steps[i] + lane]) over i and lane < lanes[i]. */
GC_INLINE void gc_inner_tile_real(
        int rows, real out[GC_ROWS][GC_VECTORS], const real *A, const real *B, const int64_t *a_rows, const int64_t *b_columns,
        const int64_t *a_steps, const int64_t *b_steps, const int64_t *lanes, int64_t steps)
{
    gc_vector_real sums[GC_ROWS][GC_VECTORS], right[GC_VECTORS];
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < GC_VECTORS; n++)
            sums[m][n] = gc_splat_real(0), out[m][n] = 0;
    for (int64_t i = 0; i < steps; i++) {
        if (lanes[i] == GC_LANES_real) {
            for (int n = 0; n < GC_VECTORS; n++)
                right[n] = gc_load_real(B + b_columns[n] + b_steps[i]);
            for (int m = 0; m < rows; m++) {
                const gc_vector_real x = gc_load_real(A + a_rows[m] + a_steps[i]);
                for (int n = 0; n < GC_VECTORS; n++)
                    sums[m][n] = gc_multiply_add_real(sums[m][n], x, right[n]);
            }
        } else {
            for (int m = 0; m < rows; m++)
                for (int n = 0; n < GC_VECTORS; n++)
                    for (int64_t lane = 0; lane < lanes[i]; lane++)
                        out[m][n] += A[a_rows[m] + a_steps[i] + lane] * B[b_columns[n] + b_steps[i] + lane];
        }
    }
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < GC_VECTORS; n++)
            for (int lane = 0; lane < GC_LANES_real; lane++)
                out[m][n] += GC_AT_real(sums[m][n], lane);
}

static void gc_inner_real(
        int64_t rows, real out[GC_ROWS][GC_VECTORS], const real *A, const real *B, const int64_t *a_rows, const int64_t *b_columns,
        const int64_t *a_steps, const int64_t *b_steps, const int64_t *lanes, int64_t steps)
{
    if (rows == GC_ROWS)
        gc_inner_tile_real(GC_ROWS, out, A, B, a_rows, b_columns, a_steps, b_steps, lanes, steps);
    else
        gc_inner_tile_real(2, out, A, B, a_rows, b_columns, a_steps, b_steps, lanes, steps);
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

/* Tables of a tile: where its vectors are, and for a copy the pieces of neighbouring columns, or a column for each lane. */
typedef struct {
    int64_t c_vectors[GC_VECTORS], b_vectors[GC_VECTORS], lanes[GC_VECTORS], counts[GC_WIDTH_real], positions[GC_WIDTH_real], offsets[GC_WIDTH_real];
    int64_t pieces;
    bool packed, scattered, dense[GC_VECTORS]; /* whether results of a vector are neighbours */
} gc_panel_real;

static void gc_describe_real(gc_panel_real *panel, const gc_plan *plan, int64_t first, int64_t end)
{
    const int64_t *c = plan->c_columns, *b = plan->b_columns, *starts = plan->starts;
    panel->packed = plan->way != GC_DIRECT, panel->scattered = false, panel->pieces = 0;
    for (int64_t v = first; v < end; v++) {
        const int64_t n = starts[v], count = starts[v + 1] - n, slot = v - first;
        panel->c_vectors[slot] = c[n], panel->b_vectors[slot] = b[n], panel->lanes[slot] = count;
        panel->dense[slot] = true;
        if (count < GC_LANES_real)
            panel->packed = panel->scattered = true;
        for (int64_t i = 0; i < count; i++) {
            if (i > 0 && c[n + i] - c[n + i - 1] != 1)
                panel->scattered = true, panel->dense[slot] = false;
            if (plan->way == GC_TRANSPOSED) {
                panel->offsets[slot * GC_LANES_real + i] = b[n + i];
            } else if (i > 0 && b[n + i] - b[n + i - 1] == 1) {
                panel->counts[panel->pieces - 1]++;
            } else {
                panel->counts[panel->pieces] = 1, panel->positions[panel->pieces] = slot * GC_LANES_real + i;
                panel->offsets[panel->pieces++] = b[n + i];
            }
        }
        for (int64_t i = count; plan->way == GC_TRANSPOSED && i < GC_LANES_real; i++)
            panel->offsets[slot * GC_LANES_real + i] = b[n + count - 1];
    }
    for (int64_t slot = 0; slot < end - first; slot++) {
        if (panel->packed)
            panel->b_vectors[slot] = slot * GC_LANES_real;
        if (panel->scattered)
            panel->c_vectors[slot] = slot * GC_LANES_real;
    }
}

/* Copy terms of the columns of a tile into dense rows; lanes without a column are 0. */
static void gc_pack_real(real *target, const real *B, const int64_t *depth, int64_t length, const gc_panel_real *panel, int64_t vectors)
{
    for (int64_t v = 0; v < vectors; v++)
        for (int64_t k = 0; panel->lanes[v] < GC_LANES_real && k < length; k++)
            memset(target + k * GC_STRIDE_real + v * GC_LANES_real, 0, GC_BYTES);
    for (int64_t start = 0; start < length; start += GC_PACK_ROWS) {
        const int64_t end = gc_min(start + GC_PACK_ROWS, length);
        for (int64_t piece = 0; piece < panel->pieces; piece++) {
            const real *source = B + panel->offsets[piece];
            real *to = target + panel->positions[piece];
            const int64_t count = panel->counts[piece];
            for (int64_t k = start; k < end; k++) {
                if (count == GC_LANES_real)
                    memcpy(to + k * GC_STRIDE_real, source + depth[k], GC_BYTES);
                else
                    for (int64_t i = 0; i < count; i++)
                        to[k * GC_STRIDE_real + i] = source[depth[k] + i];
            }
        }
    }
}

/* The same for columns whose terms are neighbours: squares of a vector's width are transposed. */
static void gc_pack_transposed_real(
        real *target, const real *B, const int64_t *depth, int64_t length, const gc_panel_real *panel, int64_t vectors)
{
#if defined(GC_VECTORISED) && !defined(__clang__)
    __typeof__((gc_vector_real){0} < (gc_vector_real){0}) upper[4], lower[4]; /* by the size of the squares that change places */
    for (int level = 0, half = 1; half < GC_LANES_real; level++, half *= 2) {
        for (int lane = 0; lane < GC_LANES_real; lane++) {
            upper[level][lane] = lane & half ? GC_LANES_real + lane - half : lane;
            lower[level][lane] = lane & half ? GC_LANES_real + lane : lane + half;
        }
    }
#endif
    for (int64_t start = 0, end; start < length; start = end) {
        end = start + 1;
        while (end < length && end - start < GC_LANES_real && depth[end] - depth[end - 1] == 1)
            end++;
        for (int64_t v = 0; v < vectors; v++) {
            real *to = target + start * GC_STRIDE_real + v * GC_LANES_real;
            const int64_t *offsets = panel->offsets + v * GC_LANES_real;
#if defined(GC_VECTORISED) && !defined(__clang__)
            if (end - start == GC_LANES_real) {
                gc_vector_real rows[GC_LANES_real];
                for (int i = 0; i < GC_LANES_real; i++)
                    rows[i] = gc_load_real(B + offsets[i] + depth[start]);
                for (int level = 0, half = 1; half < GC_LANES_real; level++, half *= 2) {
                    for (int i = 0; i < GC_LANES_real; i++) {
                        if (i & half)
                            continue;
                        const gc_vector_real x = rows[i], y = rows[i + half];
                        rows[i] = __builtin_shuffle(x, y, upper[level]);
                        rows[i + half] = __builtin_shuffle(x, y, lower[level]);
                    }
                }
                for (int i = 0; i < GC_LANES_real; i++)
                    memcpy(to + i * GC_STRIDE_real, &rows[i], GC_BYTES);
                continue;
            }
#endif
            for (int64_t lane = 0; lane < GC_LANES_real; lane++)
                for (int64_t k = start; k < end; k++)
                    to[(k - start) * GC_STRIDE_real + lane] = B[offsets[lane] + depth[k]];
        }
    }
}

/* Move a row of results of the vectors from `first` on to where it belongs. */
static void gc_scatter_real(real *C, const real *values, const gc_plan *plan, const gc_panel_real *panel, int64_t first, int64_t vectors, bool add)
{
    for (int64_t slot = 0; slot < vectors; slot++, values += GC_LANES_real) {
        const int64_t *columns = plan->c_columns + plan->starts[first + slot], count = panel->lanes[slot];
        if (panel->dense[slot] && !add) {
            memcpy(C + columns[0], values, (size_t)count * sizeof(real));
        } else if (panel->dense[slot]) {
            for (int64_t i = 0; i < count; i++)
                C[columns[0] + i] += values[i];
        } else {
            for (int64_t i = 0; i < count; i++)
                C[columns[i]] = add ? C[columns[i]] + values[i] : values[i];
        }
    }
}

/* The share of a thread, with vectors along the columns. */
static void gc_outer_share_real(
        int64_t me, int64_t team, real *C, const real *A, const real *B, const gc_plan *plan, bool accumulate, real scale, char *scratch)
{
    const int64_t height = plan->height, length = plan->length, vectors = plan->pieces;
    int64_t tiles = gc_max(1, gc_min(plan->tiles, plan->groups * vectors / (GC_VECTORS * team)));
    tiles = gc_min(tiles, (vectors + GC_VECTORS - 1) / GC_VECTORS);
    const int64_t panels = (vectors + GC_VECTORS * tiles - 1) / (GC_VECTORS * tiles);
    const int64_t blocks = gc_max(1, (length + plan->block - 1) / plan->block);
    const int64_t block = gc_max(1, (length + blocks - 1) / blocks), room = (block + GC_LANES_real) * GC_STRIDE_real;
    real *tile = (real *)scratch, *copies = tile + GC_ROWS * GC_WIDTH_real;
    int64_t tile_rows[GC_ROWS], panel_depth[GC_LONG_BLOCK], ends[GC_BESIDE + 1];
    gc_panel_real parts[GC_BESIDE];
    for (int64_t row = 0; row < GC_ROWS; row++)
        tile_rows[row] = row * GC_WIDTH_real;
    for (int64_t k = 0; k < block; k++)
        panel_depth[k] = k * GC_STRIDE_real;
    int64_t position = gc_cut(me, team, plan->groups * panels, height);
    const int64_t last = gc_cut(me + 1, team, plan->groups * panels, height);
    while (position < last) {
        const int64_t unit = position / height, first_row = position % height, end_row = gc_min(height, first_row + last - position);
        position += end_row - first_row;
        const int64_t group = unit / panels, number = unit % panels;
        const int64_t first = vectors * number / panels, end = vectors * (number + 1) / panels;
        const int64_t here = (end - first + GC_VECTORS - 1) / GC_VECTORS;
        for (int64_t t = 0; t <= here; t++)
            ends[t] = first + (end - first) * t / here;
        for (int64_t t = 0; t < here; t++)
            gc_describe_real(&parts[t], plan, ends[t], ends[t + 1]);
        real *result = C + plan->c_batch[group];
        const real *left = A + plan->a_batch[group], *right = B + plan->b_batch[group];
        for (int64_t start = 0; start < gc_max(1, length); start += block) {
            const int64_t terms = gc_min(block, length - start);
            const bool add = accumulate || start > 0;
            for (int64_t t = 0; t < here; t++) {
                if (parts[t].packed && plan->way == GC_TRANSPOSED)
                    gc_pack_transposed_real(copies + t * room, right, plan->b_depth + start, terms, &parts[t], ends[t + 1] - ends[t]);
                else if (parts[t].packed)
                    gc_pack_real(copies + t * room, right, plan->b_depth + start, terms, &parts[t], ends[t + 1] - ends[t]);
            }
            for (int64_t row = first_row, count; row < end_row; row += count) {
                count = end_row - row >= 6 ? 6 : end_row - row >= 4 ? 4 : end_row - row >= 2 ? 2 : 1;
                for (int64_t t = 0; t < here; t++) {
                    const bool packed = parts[t].packed, scattered = parts[t].scattered;
                    gc_outer_real((int)count, (int)(ends[t + 1] - ends[t]), scattered ? tile : result, left, packed ? copies + t * room : right,
                                  scattered ? tile_rows : plan->c_rows + row, plan->a_rows + row, parts[t].c_vectors, parts[t].b_vectors,
                                  plan->a_depth + start, packed ? panel_depth : plan->b_depth + start, terms, add && !scattered, scale);
                    if (scattered)
                        for (int64_t m = 0; m < count; m++)
                            gc_scatter_real(result + plan->c_rows[row + m], tile + m * GC_WIDTH_real, plan, &parts[t], ends[t],
                                            ends[t + 1] - ends[t], add);
                }
            }
        }
    }
}

/* The share of a thread, with vectors along the summed index. */
static void gc_inner_share_real(
        int64_t me, int64_t team, real *C, const real *A, const real *B, const gc_plan *plan, bool accumulate, real scale)
{
    const int64_t height = plan->height, width = plan->width, panels = (width + GC_INNER_PANEL - 1) / GC_INNER_PANEL;
    int64_t a_steps[GC_INNER_BLOCK], b_steps[GC_INNER_BLOCK], lanes[GC_INNER_BLOCK], a_rows[GC_ROWS], b_columns[GC_VECTORS];
    real tile[GC_ROWS][GC_VECTORS];
    int64_t position = gc_cut(me, team, plan->groups * panels, height);
    const int64_t last = gc_cut(me + 1, team, plan->groups * panels, height);
    while (position < last) {
        const int64_t unit = position / height, first_row = position % height, end_row = gc_min(height, first_row + last - position);
        position += end_row - first_row;
        const int64_t group = unit / panels, number = unit % panels;
        const int64_t first = number * GC_INNER_PANEL, end = gc_min(width, (number + 1) * GC_INNER_PANEL);
        real *result = C + plan->c_batch[group];
        const real *left = A + plan->a_batch[group], *right = B + plan->b_batch[group];
        for (int64_t start = 0; start < plan->pieces; start += GC_INNER_BLOCK) {
            const int64_t here = gc_min(GC_INNER_BLOCK, plan->pieces - start);
            for (int64_t i = 0; i < here; i++) {
                const int64_t k = plan->starts[start + i];
                a_steps[i] = plan->a_depth[k], b_steps[i] = plan->b_depth[k], lanes[i] = plan->starts[start + i + 1] - k;
            }
            for (int64_t row = first_row, count; row < end_row; row += count) {
                /* A tile that is not full repeats its last row or column and forgets the result. */
                const int64_t rows = end_row - row > 4 ? GC_ROWS : 2;
                count = gc_min(rows, end_row - row);
                for (int64_t m = 0; m < rows; m++)
                    a_rows[m] = plan->a_rows[row + gc_min(m, count - 1)];
                for (int64_t column = first; column < end; column += GC_VECTORS) {
                    const int64_t columns = gc_min(GC_VECTORS, end - column);
                    for (int64_t n = 0; n < GC_VECTORS; n++)
                        b_columns[n] = plan->b_columns[column + gc_min(n, columns - 1)];
                    gc_inner_real(rows, tile, left, right, a_rows, b_columns, a_steps, b_steps, lanes, here);
                    for (int64_t m = 0; m < count; m++) {
                        for (int64_t n = 0; n < columns; n++) {
                            real *target = result + plan->c_rows[row + m] + plan->c_columns[column + n];
                            *target = accumulate || start > 0 ? *target + scale * tile[m][n] : scale * tile[m][n];
                        }
                    }
                }
            }
        }
    }
}

/* C (+)= scale * sum of A * B: this thread's share. */
static void gc_contract_real(
        int64_t me, int64_t team, real *C, const real *A, const real *B, const gc_plan *plan, bool accumulate, real scale, char *scratch)
{
    if (!plan->groups || !plan->height || !plan->width || (!plan->length && accumulate))
        return;
    const real *left = plan->exchanged ? B : A, *right = plan->exchanged ? A : B;
    if (plan->way == GC_INNER && plan->length > 0)
        gc_inner_share_real(me, team, C, left, right, plan, accumulate, scale);
    else
        gc_outer_share_real(me, team, C, left, right, plan, accumulate, scale, scratch + me * GC_SCRATCH);
}
