/* Removes all that is left of an allocation: its local record at once, its directories by the
 * worker; or a disk that did not come. */
#include "allocdir.h"
#include "base/log.h"
#include "heir.h"
#include "run.h"
#include <stdlib.h>
#include <string.h>

struct removal {
    struct worker_job job;
    enum err (*remove)(const char *data_dir, const uint8_t alloc[16], struct reason *why);
    char *data_dir;
    uint8_t alloc[16];
    struct reason why;
};

static void remove_dirs(struct worker_job *job)
{
    struct removal *m = container_of(job, struct removal, job);
    if (m->remove(m->data_dir, m->alloc, &m->why) == OK)
        m->why.text[0] = '\0';
}

static void removed_dirs(struct worker_job *job)
{
    struct removal *m = container_of(job, struct removal, job);
    if (m->why.text[0] == '\0' && m->remove == allocdir_destroy)
        log_info("alloc_removed", "alloc=%s", log_id(m->alloc));
    else if (m->why.text[0] != '\0')
        log_warn("alloc_not_removed", "alloc=%s reason=%s", log_id(m->alloc),
                 log_quote(m->why.text));
    free(m->data_dir);
    free(m);
}

static void submit(struct runner *r, const uint8_t id[16],
                   enum err (*remove)(const char *data_dir, const uint8_t alloc[16],
                                      struct reason *why))
{
    struct removal *m = xcalloc(1, sizeof *m);
    m->job.work = remove_dirs;
    m->job.done = removed_dirs;
    m->remove = remove;
    m->data_dir = xstrdup(r->options.data_dir);
    memcpy(m->alloc, id, 16);
    if (r->worker == NULL)
        r->worker = worker_new(r->loop);
    worker_submit(r->worker, &m->job);
}

void runner_remove_files(struct runner *r, const uint8_t id[16])
{
    local_delete_alloc(r->options.local, id);
    submit(r, id, allocdir_destroy);
}

void runner_remove_moving(struct runner *r, const uint8_t id[16])
{
    submit(r, id, allocdir_drop_moving);
}

bool runner_has(const struct runner *r, const uint8_t alloc[16])
{
    return map_get_id(r->allocs, alloc) != NULL || heir_is_due(r, alloc);
}

struct over {
    struct runner *runner;
    uint8_t (*ids)[16];
    size_t count, room;
};

static void note_over(void *owner, const Pb__LocalAlloc *saved)
{
    struct over *o = owner;
    if (saved->alloc == NULL || saved->alloc->id.len != 16 ||
        runner_has(o->runner, saved->alloc->id.data))
        return;
    if (o->count == o->room) {
        o->room = o->room == 0 ? 64 : 2 * o->room;
        o->ids = xrealloc(o->ids, o->room * sizeof *o->ids);
    }
    memcpy(o->ids[o->count++], saved->alloc->id.data, 16);
}

bool runner_collect(struct runner *r)
{
    struct over over = {.runner = r};
    if (local_is_dirty(r->options.local))
        return false;
    local_each_alloc(r->options.local, note_over, &over);
    for (size_t i = 0; i < over.count; i++)
        runner_remove_files(r, over.ids[i]);
    free(over.ids);
    runner_write_soon(r);
    return true;
}

void runner_forget(struct runner *r, const uint8_t alloc[16])
{
    if (runner_has(r, alloc))
        return; /* it has begun anew, its end is yet to be told, or its disk goes on */
    runner_remove_files(r, alloc);
    runner_write_soon(r);
}
