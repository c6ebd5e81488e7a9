/* The payload of a dispatched job, where its task asks for it. */
#include "launch.h"
#include "place.h"

static enum err write_payload(struct launch *l, void **slot, struct reason *why)
{
    const Pb__DispatchPayload *p = l->task->dispatch_payload;
    if (p == NULL || p->file == NULL || l->job->payload.len == 0)
        return OK;
    const char *path = arena_printf(l->arena, "local/%s", p->file);
    const char *place = place_of(l->arena, l->alloc_dir, l->run->name, path);
    if (place == NULL)
        return reason_set(why, ERR_INVALID,
                          "dispatch_payload: file \"%.100s\" is outside of the task's directories",
                          p->file);
    enum err e = place_write(l->alloc_dir, place, l->job->payload.data, l->job->payload.len, 0644,
                             l->uid, l->gid, why);
    l->recoverable = e == ERR_IO;
    return e;
}

const struct launch_step payload_step = {.name = "payload", .ready = write_payload};
