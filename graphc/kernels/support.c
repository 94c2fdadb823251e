/* Paragraphs of this file are what exported programs consist of besides their loops; each is written where it is mentioned. */

#ifdef _OPENMP
#include <omp.h>
#define GC_OMP(directive) _Pragma(#directive)
#define GC_THREADS omp_get_max_threads()
#define GC_ME omp_get_thread_num()
#define GC_TEAM omp_get_num_threads()
#else
#define GC_OMP(directive)
#define GC_THREADS 1
#define GC_ME 0
#define GC_TEAM 1
#endif

#if defined(FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define GC_FUSED
#endif

#if defined(_OPENMP) && defined(__GNUC__) && defined(__unix__)
#include <sched.h>
#define GC_ATOMIC
#endif

/* All threads wait for each other; after a few microseconds they offer their processors, which the others may need. */
static inline void gc_barrier(int64_t team, int64_t *status)
{
#ifdef GC_ATOMIC
    const int64_t passed = __atomic_load_n(&status[2], __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&status[1], 1, __ATOMIC_ACQ_REL) == team) {
        __atomic_store_n(&status[1], 0, __ATOMIC_RELAXED);
        __atomic_store_n(&status[2], passed + 1, __ATOMIC_RELEASE);
    } else {
        for (int looks = 0; __atomic_load_n(&status[2], __ATOMIC_ACQUIRE) == passed; looks += looks < 200)
            if (looks == 200)
                sched_yield();
    }
#else
    (void)team, (void)status;
    GC_OMP(omp barrier)
#endif
}

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

/* A product of so many equal factors, of which the last 64 bits remain. */
static inline int64_t gc_integer_power(int64_t x, int64_t exponent)
{
    uint64_t result = 1;
    for (uint64_t square = (uint64_t)x; exponent; exponent /= 2, square *= square)
        result *= exponent % 2 ? square : 1;
    return (int64_t)result;
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

/* A float without its fraction; the least integer for NaN and where there is no such integer, as processors of Intel have it. */
static inline int64_t gc_whole(double x)
{
    return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}

/* Where the part of a thread begins of a loop of so many iterations. */
static inline int64_t gc_first(int64_t me, int64_t team, int64_t iterations)
{
    return me * (iterations / team) + gc_min(me, iterations % team);
}

/* The call fails for the reason that this number stands for. */
static inline void gc_report(int64_t *status, int64_t code)
{
    (void)code; /* which a compiler overlooks in the next line */
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

/* 64 random bits of a key and an index: Threefry-2x32 with 20 rounds (Salmon and others, Random numbers: as easy as 1, 2, 3, 2011). */
static inline int64_t gc_draw(int64_t key, int64_t index)
{
    const uint32_t low = (uint32_t)(uint64_t)key, high = (uint32_t)((uint64_t)key >> 32);
    const uint32_t keys[3] = {low, high, low ^ high ^ UINT32_C(0x1BD11BDA)};
    const int turns[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    uint32_t x = (uint32_t)(uint64_t)index + keys[0], y = (uint32_t)((uint64_t)index >> 32) + keys[1];
    for (uint32_t n = 1; n < 6; n++) {
        for (int k = 0; k < 4; k++) {
            const int turn = turns[(n - 1) & 1][k];
            x += y;
            y = ((y << turn) | (y >> (32 - turn))) ^ x;
        }
        x += keys[n % 3];
        y += keys[(n + 1) % 3] + n;
    }
    return (int64_t)((uint64_t)y << 32 | x);
}

/* The first bits as a number in [0, 1). */
static inline float gc_uniform32(int64_t bits)
{
    return (float)(int32_t)((uint64_t)bits >> 40) * 0x1p-24f;
}

static inline double gc_uniform64(int64_t bits)
{
    return (double)(int64_t)((uint64_t)bits >> 11) * 0x1p-53;
}

/* -2^31 log u of a number u in (0, 1) of 32 bits: Box and Muller, A note on the generation of random normal deviates, 1958. */
static inline int64_t gc_length(int64_t bits)
{
    int64_t x = (int64_t)((uint64_t)bits >> 32) | 1, n = 0;
    for (int k = 16; k > 0; k /= 2) {
        const bool small = x < INT64_C(1) << (32 - k);
        x = small ? x << k : x;
        n = small ? n + k : n;
    }
    const int64_t h = INT64_C(0x17FFFFFFF) - (x << 1);
    int64_t q = 13202552 + (7864605 * h >> 32);
    q = 17574312 + (q * h >> 32);
    q = 30795159 + (q * h >> 32);
    q = 56594017 + (q * h >> 32);
    q = 106105756 + (q * h >> 32);
    q = 212096053 + (q * h >> 32);
    q = 477216784 + (q * h >> 32);
    q = 1431655771 + (q * h >> 32);
    q = 617792563 + (q * h >> 32);
    return n * 1488522236 + q;
}

/* 2^31 v of a number v in (-1, 1), from the other 32 bits. */
static inline int64_t gc_turn(int64_t bits)
{
    return ((bits & INT64_C(0xFFFFFFFF)) ^ INT64_C(0x80000000)) - INT64_C(0x80000000) + !(bits & 1);
}

/* 2^31 sin(pi v/2)/(2v). */
static inline int64_t gc_sine(int64_t turn)
{
    const int64_t h = turn * turn >> 31;
    int64_t p = -40150590 + (2605700 * h >> 32);
    p = 342265593 + (p * h >> 32);
    p = -1387196611 + (p * h >> 32);
    return 1686629706 + (p * h >> 32);
}

/* A normally distributed number. */
static inline float gc_normal32(int64_t bits)
{
    const int64_t turn = gc_turn(bits);
    return sqrtf((float)(gc_length(bits) >> 5) * 0x1p-25f) * (float)turn * ((float)gc_sine(turn) * 0x1p-61f);
}

static inline double gc_normal64(int64_t bits)
{
    const int64_t turn = gc_turn(bits);
    return sqrt((double)gc_length(bits) * 0x1p-30) * (double)turn * ((double)gc_sine(turn) * 0x1p-61);
}
