/* Stands in for the driver's library in tests: as much of it as is asked before a kernel runs.
   What it says is given with -D when it is compiled. */
#include <stddef.h>
#include <string.h>
#ifndef VERSION
#define VERSION 12080
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef COUNT
#define COUNT 1
#endif
#ifndef CAPABILITY
#define CAPABILITY 90
#endif

int cuInit(unsigned flags) { return flags == 0 ? INIT : 1; }
int cuDriverGetVersion(int *version) { return *version = VERSION, 0; }
int cuDeviceGetCount(int *count) { return *count = COUNT, 0; }
int cuDeviceGet(int *device, int index) { return *device = index, 0; }
int cuDeviceGetName(char *name, int length, int device) {
    (void)device;
    return strncpy(name, "NVIDIA Stub", (size_t)length), 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return (void)device, *bytes = (size_t)80 << 30, 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    /* A card's capability can be made to depend on its index: COUNT cards of CAPABILITY, +10, ... */
    int capability = CAPABILITY + 10 * device;
    return *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : 0, 0;
}
int cuGetErrorString(int code, const char **text) {
    return *text = code == 803 ? "system has unsupported display driver / cuda driver combination" : "stub", 0;
}
