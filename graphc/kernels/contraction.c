/* Sums of products of two factors, C[g, m, n] (+)= scale * sum(A[g, m, k] * B[g, k, n] for k): products of matrices, convolutions.
 *
 * The address of an element is a sum of offsets, one for each index, which come from tables. The columns of B that a register tile needs
 * are read where they are (direct), copied into a panel (packed, transposed), or vectors lie along the summed index (inner). */

#if defined(__GNUC__) && !defined(GC_PLAIN)
#define GC_VECTORISED
#define GC_INLINE static inline __attribute__((always_inline))
#else
#define GC_INLINE static inline
#endif

#if defined(__AVX512F__)
#define GC_BYTES 64
#define GC_VECTORS 4
#elif defined(__AVX2__) && defined(__FMA__)
#define GC_BYTES 32
#define GC_VECTORS 2
#else
#define GC_BYTES 16
#define GC_VECTORS 2
#endif

enum { GC_DIRECT, GC_PACKED, GC_TRANSPOSED, GC_INNER };
enum { GC_ROWS = 6, GC_BLOCK = 384, GC_LONG_BLOCK = 1536, GC_INNER_BLOCK = 64, GC_INNER_PANEL = 8 * GC_VECTORS, GC_PACK_ROWS = 16 };
enum { GC_BESIDE = 4, GC_PAGES = 2048, GC_CACHE = 1 << 20, GC_SCRATCH = 544 * 1024 };

/* A contraction of given sizes: how many points each group of indices has, their offsets in the arrays, and how it is computed. */
typedef struct {
    int64_t groups, height, width, length;
    int64_t *c_batch, *a_batch, *b_batch, *c_rows, *a_rows, *c_columns, *b_columns, *a_depth, *b_depth, *starts;
    int64_t way, block, tiles, pieces;
    bool exchanged;
} gc_plan;

/* How many numbers the tables of a plan take. */
static int64_t gc_plan_room(int64_t groups, int64_t height, int64_t width, int64_t length)
{
    return 3 * groups + 3 * height + 3 * width + 3 * length + 1;
}

/* A plan with tables that begin at `memory`, which moves behind them. */
static gc_plan gc_new_plan(int64_t **memory, int64_t groups, int64_t height, int64_t width, int64_t length)
{
    gc_plan plan = {.groups = groups, .height = height, .width = width, .length = length};
    int64_t **tables[] = {&plan.c_batch, &plan.a_batch, &plan.b_batch, &plan.c_rows, &plan.a_rows,
                          &plan.c_columns, &plan.b_columns, &plan.a_depth, &plan.b_depth};
    const int64_t counts[] = {groups, groups, groups, height, height, width, width, length, length};
    for (int t = 0; t < 9; t++) {
        *tables[t] = *memory;
        *memory += counts[t];
    }
    plan.starts = *memory;
    *memory += height + width + length + 1;
    return plan;
}

/* Offsets of the points of nested loops, the last one innermost: `start`, and a step for each iteration of each of them. */
static void gc_offsets(int64_t *table, int64_t start, int loops, const int64_t *counts, const int64_t *steps)
{
    int64_t made = 1;
    for (int loop = 0; loop < loops; loop++)
        if (counts[loop] == 0)
            return;
    table[0] = start;
    for (int loop = 0; loop < loops; made *= counts[loop++]) {
        for (int64_t point = made - 1; point >= 0; point--) {
            const int64_t first = table[point];
            for (int64_t i = 0; i < counts[loop]; i++)
                table[point * counts[loop] + i] = first + i * steps[loop];
        }
    }
}

/* Cut two tables into pieces of at most `limit` neighbours in both; where each starts, if wanted, and the end of the last. */
static int64_t gc_split(const int64_t *x, const int64_t *y, int64_t count, int64_t limit, int64_t *starts)
{
    int64_t pieces = 0, start = 0;
    for (int64_t i = 1; i <= count; i++) {
        if (i == count || i - start == limit || x[i] - x[i - 1] != 1 || y[i] - y[i - 1] != 1) {
            if (starts)
                starts[pieces] = start;
            pieces++;
            start = i;
        }
    }
    if (starts)
        starts[pieces] = count;
    return pieces;
}

/* The distance of neighbours in a table. */
static int64_t gc_step(const int64_t *table, int64_t count)
{
    return count > 1 ? gc_abs(table[1] - table[0]) : 0;
}

/* The best way, and its cycles for each term of the sum: half a cycle per row and vector, copies, and results that are no neighbours. */
static double gc_estimate(const gc_plan *plan, int64_t size, int64_t *best)
{
    const int64_t lanes = GC_BYTES / size, full = (plan->width + lanes - 1) / lanes;
    const int64_t steps = gc_split(plan->a_depth, plan->b_depth, plan->length, lanes, NULL);
    const double height = (double)plan->height, width = (double)plan->width, length = (double)plan->length;
    const int64_t apart = size * gc_step(plan->b_depth, plan->length);
    const double in_place = apart < GC_PAGES ? 0.625 : apart % 4096 == 0 ? 0.85 : 0.72;
    const double broken = (double)gc_split(plan->c_columns, plan->c_columns, plan->width, lanes, NULL) / (double)gc_max(1, full) - 1;
    const double store = size * gc_step(plan->c_columns, plan->width) % 2048 == 0 ? 6.6 : 2.0;
    const double scattered = store * (broken < 1 ? broken : 1) * height * width / (double)gc_max(1, gc_min(GC_LONG_BLOCK, plan->length));
    const double tile = 0.54 * height * (double)full + scattered;
    const int64_t pieces = gc_split(plan->b_columns, plan->b_columns, plan->width, lanes, NULL);
    double cycles[4];
    cycles[GC_DIRECT] = in_place * height * (double)gc_split(plan->c_columns, plan->b_columns, plan->width, lanes, NULL);
    cycles[GC_PACKED] = tile + 2.5 * (double)(pieces + full) + 10.0 * (double)gc_max(0, pieces - 2 * full);
    const double rounds = (double)(steps * lanes) / (length > 1 ? length : 1);
    cycles[GC_TRANSPOSED] = tile + 0.5 * (double)(lanes * full) * (rounds > 1 ? rounds : 1);
    const int64_t tiles = (plan->height + 1) / 2 * ((plan->width + GC_VECTORS - 1) / GC_VECTORS);
    cycles[GC_INNER] = 1.4 * (double)(tiles * 2 * GC_VECTORS * (steps + 3 * (1 + steps / GC_INNER_BLOCK))) / (length > 1 ? length : 1);
    *best = GC_DIRECT;
    for (int way = GC_PACKED; way <= (plan->length ? GC_INNER : GC_TRANSPOSED); way++)
        if (cycles[way] < cycles[*best])
            *best = way;
    return cycles[*best];
}

/* Decide how a contraction of elements of `size` bytes is computed; its factors change places where this is clearly better. */
static void gc_choose(gc_plan *plan, int64_t size)
{
    gc_plan other = *plan;
    const int64_t lanes = GC_BYTES / size, first = size * plan->height * gc_min(GC_BLOCK, plan->length);
    other.height = plan->width, other.width = plan->height;
    other.a_batch = plan->b_batch, other.b_batch = plan->a_batch;
    other.c_rows = plan->c_columns, other.a_rows = plan->b_columns, other.c_columns = plan->c_rows, other.b_columns = plan->a_rows;
    other.a_depth = plan->b_depth, other.b_depth = plan->a_depth;
    plan->block = GC_BLOCK, plan->tiles = first >= GC_CACHE / 4 ? GC_BESIDE : 1;
    other.block = GC_LONG_BLOCK, other.tiles = 1, other.exchanged = true;
    const double own = gc_estimate(plan, size, &plan->way), swapped = gc_estimate(&other, size, &other.way);
    const bool near = size * gc_step(plan->b_depth, plan->length) < GC_PAGES && plan->height > lanes;
    if (near && plan->way != GC_INNER && other.way != GC_INNER && swapped < 0.97 * own)
        *plan = other;
    if (plan->way == GC_INNER && plan->length > 0) {
        plan->pieces = gc_split(plan->a_depth, plan->b_depth, plan->length, lanes, plan->starts);
    } else if (plan->way == GC_DIRECT) {
        plan->pieces = gc_split(plan->c_columns, plan->b_columns, plan->width, lanes, plan->starts);
    } else {
        plan->pieces = (plan->width + lanes - 1) / lanes;
        for (int64_t v = 0; v < plan->pieces; v++)
            plan->starts[v] = v * lanes;
        plan->starts[plan->pieces] = plan->width;
    }
}

/* Where the share of a thread begins, counted in rows of panels; even within a panel, to suit the tile. */
static int64_t gc_cut(int64_t part, int64_t team, int64_t panels, int64_t rows)
{
    const int64_t position = panels * rows * part / team;
    return position - position % rows % 2;
}
