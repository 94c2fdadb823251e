/* Paragraphs of this file are what exported programs consist of besides their loops; each is written where it is mentioned. */

#ifdef _OPENMP
#include <omp.h>
#define GC_OMP(directive) _Pragma(#directive)
#define GC_BARRIER _Pragma("omp barrier")
#define GC_THREADS omp_get_max_threads()
#define GC_ME omp_get_thread_num()
#define GC_TEAM omp_get_num_threads()
#else
#define GC_OMP(directive)
#define GC_BARRIER
#define GC_THREADS 1
#define GC_ME 0
#define GC_TEAM 1
#endif

#if defined(FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define GC_FUSED
#endif

/* The bits of a number, and the number of some bits. */
static inline uint32_t gc_bits_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float gc_float_f32(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t gc_bits_f64(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double gc_float_f64(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Integers, rounded down where they are divided; the divisor is positive. */
static inline int64_t gc_floor_divide(int64_t x, int64_t divisor)
{
    return x / divisor - (x % divisor < 0);
}

static inline int64_t gc_modulo(int64_t x, int64_t divisor)
{
    const int64_t rest = x % divisor;
    return rest < 0 ? rest + divisor : rest;
}

static inline int64_t gc_max(int64_t x, int64_t y)
{
    return x > y ? x : y;
}

static inline int64_t gc_min(int64_t x, int64_t y)
{
    return x < y ? x : y;
}

static inline int64_t gc_abs(int64_t x)
{
    return x < 0 ? -x : x;
}

/* Where the part of a thread begins of a loop of so many iterations. */
static inline int64_t gc_first(int64_t me, int64_t team, int64_t iterations)
{
    return me * (iterations / team) + gc_min(me, iterations % team);
}

/* The call fails for the reason that this number stands for. */
static inline void gc_report(int64_t *status, int64_t code)
{
    GC_OMP(omp atomic write)
    *status = code;
}

/* A subscript that was read from an array; 0, and the call fails, if it lies outside. */
static inline int64_t gc_checked(int64_t value, int64_t extent, int64_t *status, int64_t code)
{
    if (value >= 0 && value < extent)
        return value;
    gc_report(status, code);
    return 0;
}

/* Set this thread's part of an array to 0. */
static inline void gc_fill(int64_t me, int64_t team, void *array, int64_t bytes)
{
    const int64_t first = gc_first(me, team, bytes);
    memset((char *)array + first, 0, (size_t)(gc_first(me + 1, team, bytes) - first));
}

/* Whether a value lies outside of 0 ... extent - 1. */
static inline bool gc_outside_INTEGER(const INTEGER_t *values, int64_t count, int64_t extent)
{
    for (int64_t k = 0; k < count; k++) {
        const int64_t value = values[k];
        if (value < 0 || value >= extent)
            return true;
    }
    return false;
}

/* Bytes of an array in the workspace, where arrays begin at multiples of 64 bytes. */
static inline size_t gc_aligned(int64_t count, size_t size)
{
    return ((size_t)gc_max(count, 0) * size + 63) / 64 * 64;
}

static inline char *gc_line(void *memory)
{
    return (char *)memory + (64 - (uintptr_t)memory % 64) % 64;
}
