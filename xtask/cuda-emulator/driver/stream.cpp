// Queues of work, run at once or when somebody waits.
#include "stream.h"

#include <chrono>
#include <set>

#include "report.h"

namespace emu {
namespace {

struct Streams {
    std::set<Stream*> streams;
    std::set<Event*> events;
    Stream defaults[kMostDevices];
    Code sticky[kMostDevices] = {}; // the first failure of a device, which every later call gives

    Streams() {
        for (int device = 0; device < kMostDevices; device++) defaults[device].device = device;
    }
    bool alive(Stream* stream) {
        return streams.count(stream) || (stream >= defaults && stream < defaults + kMostDevices);
    }
};

Streams& all() {
    static Streams* const streams = new Streams;
    return *streams;
}

} // namespace

bool initialized = false;
thread_local int current_device = kNone;

std::recursive_mutex& everything() {
    static std::recursive_mutex* const mutex = new std::recursive_mutex;
    return *mutex;
}

double now() {
    auto since = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(since).count();
}

Code with_context(const char* what) {
    if (!initialized) return complain(NOT_INITIALIZED, "%s before cuInit", what);
    if (current_device == kNone)
        return complain(INVALID_CONTEXT, "%s without a current context", what);
    return SUCCESS;
}

Code resolve(const char* what, void* handle, Stream** stream) {
    if (Code code = with_context(what)) return code;
    *stream = handle ? (Stream*)handle : &all().defaults[current_device];
    if (!all().alive(*stream)) return complain(INVALID_HANDLE, "%s: no such stream", what);
    if ((*stream)->device != current_device)
        return complain(INVALID_CONTEXT, "%s: the stream is of device %d, current is %d", what,
                        (*stream)->device, current_device);
    return SUCCESS;
}

Stream* make_stream(int device) {
    Stream* stream = new Stream;
    stream->device = device;
    all().streams.insert(stream);
    return stream;
}

Code destroy(Stream* stream) {
    if (!all().streams.count(stream))
        return complain(INVALID_HANDLE, "cuStreamDestroy: no such stream");
    run_until(stream, stream->submitted);
    all().streams.erase(stream);
    delete stream;
    return SUCCESS;
}

Code run_until(Stream* stream, unsigned long at) {
    Code& sticky = all().sticky[stream->device];
    while (stream->done < at && !stream->queue.empty()) {
        Work work = std::move(stream->queue.front());
        stream->queue.pop_front();
        stream->done++;
        Code code = work();
        if (sticky == SUCCESS) sticky = code;
    }
    return sticky;
}

Code submit(Stream* stream, Work work) {
    if (Code code = all().sticky[stream->device]) return code;
    stream->queue.push_back(std::move(work));
    stream->submitted++;
    if (!settings().lazy) run_until(stream, stream->submitted);
    return SUCCESS;
}

Code run_all() {
    for (Stream* stream : all().streams) run_until(stream, stream->submitted);
    for (Stream& stream : all().defaults) run_until(&stream, stream.submitted);
    return current_device == kNone ? SUCCESS : all().sticky[current_device];
}

Event* make_event() {
    Event* event = new Event;
    all().events.insert(event);
    return event;
}

Event* known(void* handle) {
    auto found = all().events.find((Event*)handle);
    return found == all().events.end() ? nullptr : *found;
}

void destroy(Event* event) {
    all().events.erase(event);
    delete event;
}

Code record(Event* event, Stream* stream) {
    event->stream = stream, event->at = stream->submitted;
    return submit(stream, [event] {
        if (known(event)) event->seconds = now();
        return SUCCESS;
    });
}

Code wait_for(const Event& event) {
    if (!event.stream || !all().alive(event.stream)) return SUCCESS;
    return run_until(event.stream, event.at + 1);
}

Code wait_in(Stream* stream, const Event& event) {
    if (!event.stream) return SUCCESS;
    return submit(stream, [event] {
        wait_for(event); // its device's failure is not this one's
        return SUCCESS;
    });
}

} // namespace emu
