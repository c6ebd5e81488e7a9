#include "waiting.h"
#include "base/err.h"
#include "base/id.h"
#include "base/map.h"
#include "heir.h"
#include <stdlib.h>
#include <string.h>

static void add(struct alloc_run *run, const uint8_t id[ID_SIZE])
{
    memcpy(run->after[run->after_count++].bytes, id, ID_SIZE);
}

void waiting_note(struct alloc_run *run, const Pb__Alloc *alloc, const Pb__TaskGroup *group)
{
    uint8_t from[ID_SIZE];
    bool heir = heir_finds(run->runner, alloc, group, from);
    if (alloc->n_preempted_allocs == 0 && !heir)
        return;
    run->after = xcalloc(alloc->n_preempted_allocs + 2, sizeof *run->after);
    for (size_t i = 0; i < alloc->n_preempted_allocs; i++)
        if (alloc->preempted_allocs[i].len == ID_SIZE)
            add(run, alloc->preempted_allocs[i].data);
    if (heir) {
        add(run, alloc->previous_alloc.data);
        add(run, from);
    }
    run->runner->waiting_count++;
}

void waiting_forget(struct alloc_run *run)
{
    if (run->after != NULL)
        run->runner->waiting_count--;
    free(run->after);
    run->after = NULL;
    run->after_count = 0;
}

bool waiting_is_on(const struct alloc_run *run)
{
    for (size_t i = 0; i < run->after_count; i++) {
        const struct alloc_run *other = map_get_id(run->runner->allocs, run->after[i].bytes);
        if (other != NULL && !other->ended)
            return true;
    }
    return false;
}

void waiting_wake(struct runner *r)
{
    const void *key;
    void *value;
    for (size_t i = 0; r->waiting_count > 0 && map_next(r->allocs, &i, &key, NULL, &value);)
        if (((struct alloc_run *)value)->after != NULL)
            alloc_run_touch(value);
}
