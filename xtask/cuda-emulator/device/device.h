// The CUDA C++ dialect that CubeCL writes, for a host compiler: what a kernel's text finds instead
// of NVIDIA's headers. Compiled once, as a precompiled header, when the emulator is built.
#include "copies.h"
#include "half.h"
#include "language.h"
#include "tensor_cores.h"
#include "warp.h"

// A launch's arguments, as the driver has them, become a kernel's parameters.
template <class T>
using EmuValue = typename std::remove_const<typename std::remove_reference<T>::type>::type;
template <class... A, size_t... I>
EMU void emu_call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*reinterpret_cast<EmuValue<A>*>(arguments[I])...);
}
template <class... A> EMU void emu_call(void (*kernel)(A...), void** arguments) {
    emu_call(kernel, arguments, std::index_sequence_for<A...>());
}
template <class F> struct EmuArguments;
template <class... A> struct EmuArguments<void (*)(A...)> {
    static constexpr int count = sizeof...(A);
    static constexpr unsigned bytes[sizeof...(A) + 1] = {unsigned(sizeof(A))..., 0};
};
