// Streams and events, and whose context is current.
#pragma once
#include <deque>
#include <functional>
#include <mutex>

#include "settings.h"

namespace emu {

// One call of the API at a time: kernels run on the thread that submits or waits for them.
std::recursive_mutex& everything();
#define EMU_LOCK std::lock_guard<std::recursive_mutex> lock(emu::everything())

using Work = std::function<Code()>;

// With EMU_LAZY=1 work stays in the queue until somebody waits for it.
struct Stream {
    int device;
    std::deque<Work> queue;
    unsigned long submitted = 0, done = 0;
};

struct Event {
    Stream* stream = nullptr;
    unsigned long at = 0; // submissions of its stream before it
    double seconds = 0;
};

double now();

// Whether cuInit was called, and the device whose context the calling thread has made current.
extern bool initialized;
extern thread_local int current_device;
constexpr int kNone = -1;

// Complains where there is no context.
Code with_context(const char* what);
// The stream of a handle, which has to be one of the current device.
Code resolve(const char* what, void* handle, Stream** stream);

Stream* make_stream(int device);
Code destroy(Stream* stream);

Code submit(Stream* stream, Work work);
Code run_until(Stream* stream, unsigned long at);
Code run_all();

Event* make_event();
// The event of a handle, or null.
Event* known(void* handle);
void destroy(Event* event);
Code record(Event* event, Stream* stream);
Code wait_for(const Event& event);
// Makes what is submitted to the stream from now on wait for the event.
Code wait_in(Stream* stream, const Event& event);

} // namespace emu
