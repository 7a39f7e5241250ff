/* Stands in for NVRTC in tests. It compiles where the first --include-path has own.h, and says what
   the real one says otherwise. What it says of itself is given with -D when it is compiled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef MAJOR
#define MAJOR 12
#endif
#ifndef MINOR
#define MINOR 8
#endif
#ifndef FIRST
#define FIRST 50
#endif
#ifndef LAST
#define LAST 120
#endif

static const char *const message = "kernel(1): catastrophic error: cannot open source file \"own.h\"";

int nvrtcVersion(int *major, int *minor) { return *major = MAJOR, *minor = MINOR, 0; }
int nvrtcGetNumSupportedArchs(int *count) { return *count = 3, 0; }
int nvrtcGetSupportedArchs(int *list) { return list[0] = FIRST, list[1] = 90, list[2] = LAST, 0; }
int nvrtcCreateProgram(void **program, const char *source, const char *name, int headers,
                       const char *const *texts, const char *const *names) {
    (void)source, (void)name, (void)headers, (void)texts, (void)names;
    return *program = malloc(1), 0;
}
int nvrtcCompileProgram(void *program, int count, const char *const *options) {
    (void)program;
    for (int i = 0; i < count; i++) {
        const char *folder = strstr(options[i], "--include-path=");
        char path[4096];
        if (!folder) continue;
        snprintf(path, sizeof path, "%s/own.h", folder + strlen("--include-path="));
        FILE *file = fopen(path, "r");
        if (file) return fclose(file), 0;
    }
    return 6;
}
int nvrtcDestroyProgram(void **program) { return free(*program), 0; }
int nvrtcGetProgramLogSize(void *program, size_t *size) { return (void)program, *size = strlen(message) + 1, 0; }
int nvrtcGetProgramLog(void *program, char *to) { return (void)program, strcpy(to, message), 0; }
