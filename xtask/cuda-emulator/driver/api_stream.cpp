// The driver API: streams and events.
#include "api.h"
#include "report.h"
#include "stream.h"

using namespace emu;

namespace {

Code resolve_event(const char* what, void* handle, Event** event) {
    *event = known(handle);
    return *event ? SUCCESS : complain(INVALID_HANDLE, "%s: no such event", what);
}

} // namespace

API Code cuStreamCreate(void** stream, unsigned) {
    EMU_LOCK;
    if (Code code = with_context("cuStreamCreate")) return code;
    *stream = make_stream(current_device);
    return SUCCESS;
}

API Code cuStreamCreateWithPriority(void** stream, unsigned flags, int) {
    return cuStreamCreate(stream, flags);
}

API Code cuStreamSynchronize(void* handle) {
    EMU_LOCK;
    Stream* stream;
    if (Code code = resolve("cuStreamSynchronize", handle, &stream)) return code;
    return run_until(stream, stream->submitted);
}

// Who asks is answered when the work is done.
API Code cuStreamQuery(void* handle) { return cuStreamSynchronize(handle); }

API Code cuStreamDestroy_v2(void* handle) {
    EMU_LOCK;
    return destroy((Stream*)handle);
}

API Code cuStreamWaitEvent(void* handle, void* event_handle, unsigned) {
    EMU_LOCK;
    Stream* stream;
    Event* event;
    if (Code code = resolve("cuStreamWaitEvent", handle, &stream)) return code;
    if (Code code = resolve_event("cuStreamWaitEvent", event_handle, &event)) return code;
    return wait_in(stream, *event);
}

API Code cuEventCreate(void** event, unsigned) {
    EMU_LOCK;
    if (Code code = with_context("cuEventCreate")) return code;
    *event = make_event();
    return SUCCESS;
}

API Code cuEventRecord(void* event_handle, void* handle) {
    EMU_LOCK;
    Stream* stream;
    Event* event;
    if (Code code = resolve("cuEventRecord", handle, &stream)) return code;
    if (Code code = resolve_event("cuEventRecord", event_handle, &event)) return code;
    return record(event, stream);
}

API Code cuEventSynchronize(void* handle) {
    EMU_LOCK;
    Event* event;
    if (Code code = resolve_event("cuEventSynchronize", handle, &event)) return code;
    return wait_for(*event);
}

API Code cuEventQuery(void* handle) { return cuEventSynchronize(handle); }

API Code cuEventDestroy_v2(void* handle) {
    EMU_LOCK;
    Event* event;
    if (Code code = resolve_event("cuEventDestroy", handle, &event)) return code;
    destroy(event);
    return SUCCESS;
}

API Code cuEventElapsedTime_v2(float* ms, void* start_handle, void* end_handle) {
    EMU_LOCK;
    Event *start, *end;
    if (Code code = resolve_event("cuEventElapsedTime", start_handle, &start)) return code;
    if (Code code = resolve_event("cuEventElapsedTime", end_handle, &end)) return code;
    if (start->seconds == 0 || end->seconds == 0) return NOT_READY;
    *ms = float(1e3 * (end->seconds - start->seconds));
    return SUCCESS;
}

API Code cuEventElapsedTime(float* ms, void* start, void* end) {
    return cuEventElapsedTime_v2(ms, start, end);
}
