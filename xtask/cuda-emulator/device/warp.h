// What threads do together: atomics, shuffles and votes.
#pragma once
#include "language.h"

// Atomics. Threads of the emulator never run at once, so that plain operations do.
#define EMU_ATOMIC(name, expression)                                                               \
    template <class T, class V> EMU T name(T* at, V given) {                                       \
        T old = *at, value = T(given);                                                             \
        *at = (expression);                                                                        \
        return old;                                                                                \
    }
EMU_ATOMIC(atomicAdd, T(old + value))
EMU_ATOMIC(atomicSub, T(old - value))
EMU_ATOMIC(atomicMin, value < old ? value : old)
EMU_ATOMIC(atomicMax, old < value ? value : old)
EMU_ATOMIC(atomicAnd, T(old& value))
EMU_ATOMIC(atomicOr, T(old | value))
EMU_ATOMIC(atomicXor, T(old ^ value))
EMU_ATOMIC(atomicExch, value)
#undef EMU_ATOMIC
template <class T, class V, class W> EMU T atomicCAS(T* at, V expected, W value) {
    T old = *at;
    if (old == T(expected)) *at = T(value);
    return old;
}

#define EMU_LANE (emu_rt->current->lane)

// Shuffles. Where the source lies outside of the warp a lane keeps its own value.
template <class T> EMU T emu_shuffle(T value, int source, bool inside, const void* site) {
    static_assert(sizeof(T) <= sizeof EmuWarp::slot[0][0]);
    EmuThread& me = *emu_rt->current;
    EmuWarp& warp = *me.warp;
    memcpy(warp.slot[warp.phase & 1][me.lane], &value, sizeof value);
    unsigned half = emu_rt->sync_warp(site);
    if (inside) memcpy(&value, warp.slot[half][source & 31], sizeof value);
    return value;
}
#define __shfl_sync(mask, value, source) emu_shuffle((value), int(source), true, EMU_SITE)
#define __shfl_xor_sync(mask, value, other)                                                        \
    emu_shuffle((value), EMU_LANE ^ int(other), true, EMU_SITE)
#define __shfl_up_sync(mask, value, by)                                                            \
    emu_shuffle((value), EMU_LANE - int(by), EMU_LANE >= int(by), EMU_SITE)
#define __shfl_down_sync(mask, value, by)                                                          \
    emu_shuffle((value), EMU_LANE + int(by), EMU_LANE + int(by) < warpSize, EMU_SITE)

// Votes of the lanes that are still there.
struct EmuVotes {
    unsigned yes, present;
};
EMU EmuVotes emu_vote(bool value, const void* site) {
    EmuThread& me = *emu_rt->current;
    EmuWarp& warp = *me.warp;
    unsigned half = warp.phase & 1;
    if (warp.arrived == 0) warp.present[half] = 0;
    warp.present[half] |= 1u << me.lane;
    warp.slot[half][me.lane][0] = value;
    half = emu_rt->sync_warp(site);
    EmuVotes votes = {0, warp.present[half]};
    for (int lane = 0; lane < warpSize; lane++) {
        bool yes = (votes.present >> lane & 1) && warp.slot[half][lane][0];
        votes.yes |= unsigned(yes) << lane;
    }
    return votes;
}
EMU bool emu_all(EmuVotes votes) { return votes.yes == votes.present; }
#define __ballot_sync(mask, value) (emu_vote(bool(value), EMU_SITE).yes)
#define __any_sync(mask, value) (emu_vote(bool(value), EMU_SITE).yes != 0)
#define __all_sync(mask, value) (emu_all(emu_vote(bool(value), EMU_SITE)))
#define __activemask() 0xffffffffu
// elect.sync: the lowest lane that is there.
#define emu_elect() (EMU_LANE == __builtin_ctz(emu_vote(true, EMU_SITE).present))
