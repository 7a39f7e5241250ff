// device.h for EMU_MEMCHECK=1: kernels are then compiled with the calls that the kernel's address
// sanitizer makes before every access, and these hand them to the driver.
#include "device.h"

#define EMU_UNCHECKED extern "C" __attribute__((no_sanitize_address))
#define EMU_CHECK(n)                                                                               \
    EMU_UNCHECKED void __asan_load##n##_noabort(uintptr_t at) {                                    \
        emu_rt->check((void*)at, n, false);                                                        \
    }                                                                                              \
    EMU_UNCHECKED void __asan_store##n##_noabort(uintptr_t at) {                                   \
        emu_rt->check((void*)at, n, true);                                                         \
    }
EMU_CHECK(1)
EMU_CHECK(2)
EMU_CHECK(4)
EMU_CHECK(8)
EMU_CHECK(16)
EMU_UNCHECKED void __asan_loadN_noabort(uintptr_t at, size_t n) {
    emu_rt->check((void*)at, n, false);
}
EMU_UNCHECKED void __asan_storeN_noabort(uintptr_t at, size_t n) {
    emu_rt->check((void*)at, n, true);
}
EMU_UNCHECKED void __asan_handle_no_return() {}
