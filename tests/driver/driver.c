/* An imitation of NVIDIA's driver (libcuda): memory of the GPU is memory of the host, kernels do nothing, and every call that matters is
   written to the file that DRIVER_LOG names, one line each. The rest succeeds without doing anything. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef size_t address;
enum { CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76, OUT_OF_MEMORY = 2, REFUSED = 701 };
typedef struct { unsigned grid[3], block[3], shared; void *stream; } LaunchConfig;

static void note(const char *format, ...) {
    static FILE *file;
    va_list values;
    if (!file) file = fopen(getenv("DRIVER_LOG"), "a");
    va_start(values, format);
    vfprintf(file, format, values);
    va_end(values);
    fputc('\n', file);
    fflush(file);
}

static char *made(void) { static char *next = (char *)0x10000; return next += 0x100; }

static int ignored(void) { return 0; }

/* devices and contexts */
static void *current;
static int devices(void) { return getenv("DRIVER_DEVICES") ? atoi(getenv("DRIVER_DEVICES")) : 1; }
static int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
static int cuDeviceGetCount(int *count) { *count = devices(); return 0; }
static int cuDeviceGet(int *device, int number) { *device = number; return 0; }
static int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Imitation", length); return 0; }
static int cuDeviceGetUuid(char *uuid, int device) { memset(uuid, device, 16); return 0; }
static int cuDeviceTotalMem(size_t *bytes, int device) { *bytes = 1ull << 34; return 0; }
static int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == CAPABILITY_MAJOR ? 9 : attribute == CAPABILITY_MINOR ? 0 : 1024;
    return 0;
}
static int cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)(0x1000l + device); return 0; }
static int cuCtxGetCurrent(void **context) { *context = current; return 0; }
static int cuCtxSetCurrent(void *context) { current = context; return 0; }
static int cuCtxPushCurrent(void *context) { current = context; return 0; }
static int cuCtxPopCurrent(void **context) { *context = current; current = (void *)0x1000; return 0; }
static int cuCtxGetDevice(int *device) { *device = (int)((address)current - 0x1000); return 0; }
static int cuCtxSynchronize(void) { note("wait for all"); return 0; }

/* memory */
static int cuMemGetInfo(size_t *left, size_t *total) { *left = 1ull << 33; *total = 1ull << 34; return 0; }
static int cuMemAlloc(address *pointer, size_t bytes) {
    if (bytes > 1ull << 33) return OUT_OF_MEMORY;
    *pointer = (address)aligned_alloc(512, (bytes + 511) / 512 * 512);
    note("allocate %zu", bytes);
    return 0;
}
static int cuMemFree(address pointer) { note("free"); free((void *)pointer); return 0; }
static int cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags) { *pointer = calloc(1, bytes); note("allocate on the host %zu", bytes); return 0; }
static int cuMemcpyHtoD(address to, const void *from, size_t bytes) { note("copy there, waiting %zu", bytes); memcpy((void *)to, from, bytes); return 0; }
static int cuMemcpyDtoH(void *to, address from, size_t bytes) { note("copy back, waiting %zu", bytes); memcpy(to, (void *)from, bytes); return 0; }
static int cuMemcpyHtoDAsync(address to, const void *from, size_t bytes, void *stream) { note("copy there on %zx", stream); memcpy((void *)to, from, bytes); return 0; }
static int cuMemcpyDtoHAsync(void *to, address from, size_t bytes, void *stream) { note("copy back on %zx", stream); memcpy(to, (void *)from, bytes); return 0; }
static int cuMemcpyDtoDAsync(address to, address from, size_t bytes, void *stream) { note("copy on %zx", stream); memcpy((void *)to, (void *)from, bytes); return 0; }
static int cuPointerGetAttribute(void *value, int attribute, address pointer) {
    *(int *)value = pointer >> 56 ? (int)(pointer >> 56) : 0; /* a test writes the device into the address */
    return 0;
}

/* streams and events */
static int cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) { *stream = made(); return 0; }
static int cuStreamSynchronize(void *stream) { note("wait for %zx", stream); return 0; }
static int cuStreamGetCtx(void *stream, void **context, void **green) { *context = current; if (green) *green = 0; return 0; }
static int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { note("%zx follows", stream); return 0; }
static int cuEventCreate(void **event, unsigned flags) { *event = made(); return 0; }
static int cuEventRecord(void *event, void *stream) { note("mark on %zx", stream); return 0; }

/* kernels */
static int cuLibraryLoadData(void **library, const void *code) { *library = made(); return 0; }
static int cuLibraryGetKernel(void **kernel, void *library, const char *name) { *kernel = made(); return 0; }
static int cuLibraryGetModule(void **module, void *library) { *module = library; return 0; }
static int cuKernelGetFunction(void **function, void *kernel) { *function = kernel; return 0; }
static int cuKernelGetAttribute(int *value, int attribute, void *kernel, int device) { *value = 32; return 0; }
static int cuFuncGetAttribute(int *value, int attribute, void *function) { *value = 32; return 0; }
static int cuOccupancyMaxPotentialBlockSize(int *grid, int *block) { *grid = 1; *block = 128; return 0; }
static int cuLaunchKernelEx(const LaunchConfig *config) {
    if (getenv("DRIVER_REFUSES")) return REFUSED;
    note("launch on %zx", config->stream);
    return 0;
}

static int cuGetErrorName(int error, const char **name) {
    *name = error == REFUSED ? "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES" : "CUDA_ERROR_OTHER";
    return 0;
}
static int cuGetErrorString(int error, const char **text) { *text = "of an imitation"; return 0; }

/* graphs */
static int capturing;
static int cuStreamBeginCapture(void *stream, int mode) { capturing = 1; note("record on %zx", stream); return 0; }
static int cuStreamEndCapture(void *stream, void **graph) { capturing = 0; *graph = made(); note("recorded"); return 0; }
static int cuStreamIsCapturing(void *stream, int *status) { *status = capturing; return 0; }
static int cuStreamGetCaptureInfo(void *stream, int *status, size_t *id, void **graph, void **nodes, void **edges, size_t *count) {
    *status = capturing;
    if (id) *id = 1;
    if (graph) *graph = made();
    if (count) *count = 0;
    return 0;
}
static int cuGraphInstantiateWithParams(void **executable) { *executable = made(); return 0; }
static int cuGraphLaunch(void *executable, void *stream) { note("launch a graph on %zx", stream); return 0; }

#define IS(name) {#name, (void *)name},
static const struct { const char *name; void *function; } known[] = {
    IS(cuDriverGetVersion) IS(cuDeviceGetCount) IS(cuDeviceGet) IS(cuDeviceGetName) IS(cuDeviceGetUuid) IS(cuDeviceTotalMem)
    IS(cuDeviceGetAttribute) IS(cuDevicePrimaryCtxRetain) IS(cuCtxGetCurrent) IS(cuCtxSetCurrent) IS(cuCtxPushCurrent) IS(cuCtxPopCurrent)
    IS(cuCtxGetDevice) IS(cuCtxSynchronize) IS(cuMemGetInfo) IS(cuMemAlloc) IS(cuMemFree) IS(cuMemHostAlloc) IS(cuMemcpyHtoD)
    IS(cuMemcpyDtoH) IS(cuMemcpyHtoDAsync) IS(cuMemcpyDtoHAsync) IS(cuMemcpyDtoDAsync) IS(cuPointerGetAttribute)
    IS(cuStreamCreateWithPriority) IS(cuStreamSynchronize) IS(cuStreamGetCtx) IS(cuStreamWaitEvent) IS(cuEventCreate) IS(cuEventRecord)
    IS(cuLibraryLoadData) IS(cuLibraryGetKernel) IS(cuLibraryGetModule) IS(cuKernelGetFunction) IS(cuKernelGetAttribute)
    IS(cuFuncGetAttribute) IS(cuOccupancyMaxPotentialBlockSize) IS(cuLaunchKernelEx) IS(cuGetErrorName) IS(cuGetErrorString) IS(cuStreamBeginCapture) IS(cuStreamEndCapture)
    IS(cuStreamIsCapturing) IS(cuStreamGetCaptureInfo) IS(cuGraphInstantiateWithParams) IS(cuGraphLaunch) {0, 0}};

int cuGetProcAddress_v2(const char *name, void **function, int version, size_t flags, int *status) {
    if (status) *status = 0;
    *function = strcmp(name, "cuGetProcAddress") ? (void *)ignored : (void *)cuGetProcAddress_v2;
    for (int k = 0; known[k].name; k++) if (!strcmp(known[k].name, name)) *function = known[k].function;
    return 0;
}

int cuGetProcAddress(const char *name, void **function, int version, size_t flags) {
    return cuGetProcAddress_v2(name, function, version, flags, 0);
}
