// NVRTC's functions.
#include <cstring>

#include "compile.h"

#define API extern "C" __attribute__((visibility("default")))

using namespace emu;

API int nvrtcVersion(int* major, int* minor) {
    *major = version().major, *minor = version().minor;
    return COMPILED;
}

API const char* nvrtcGetErrorString(int code) {
    switch (code) {
    case COMPILED: return "NVRTC_SUCCESS";
    case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
    case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
    case COMPILATION: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}

API int nvrtcGetNumSupportedArchs(int* count) {
    *count = int(version().archs.size());
    return COMPILED;
}

API int nvrtcGetSupportedArchs(int* archs) {
    std::memcpy(archs, version().archs.data(), version().archs.size() * sizeof(int));
    return COMPILED;
}

API int nvrtcCreateProgram(void** program, const char* source, const char*, int headers,
                           const char* const*, const char* const*) {
    if (!source || headers) return INVALID_INPUT;
    *program = new Program{source, "", ""};
    return COMPILED;
}

API int nvrtcDestroyProgram(void** program) {
    delete (Program*)*program;
    *program = nullptr;
    return COMPILED;
}

API int nvrtcCompileProgram(void* program, int count, const char* const* options) {
    return compile(*(Program*)program, {options, options + count});
}

API int nvrtcGetPTXSize(void* program, size_t* size) {
    *size = ((Program*)program)->ptx.size() + 1;
    return COMPILED;
}

API int nvrtcGetPTX(void* program, char* to) {
    std::strcpy(to, ((Program*)program)->ptx.c_str());
    return COMPILED;
}

API int nvrtcGetCUBINSize(void* program, size_t* size) { return nvrtcGetPTXSize(program, size); }
API int nvrtcGetCUBIN(void* program, char* to) { return nvrtcGetPTX(program, to); }

API int nvrtcGetProgramLogSize(void* program, size_t* size) {
    *size = ((Program*)program)->log.size() + 1;
    return COMPILED;
}

API int nvrtcGetProgramLog(void* program, char* to) {
    std::strcpy(to, ((Program*)program)->log.c_str());
    return COMPILED;
}

API int nvrtcAddNameExpression(void*, const char*) { return COMPILED; }
