#include "waiting.h"
#include "base/err.h"
#include "base/id.h"
#include "base/map.h"
#include <stdlib.h>
#include <string.h>

void waiting_note(struct alloc_run *run, const Pb__Alloc *alloc)
{
    if (alloc->n_preempted_allocs == 0)
        return;
    run->after = xcalloc(alloc->n_preempted_allocs, sizeof *run->after);
    for (size_t i = 0; i < alloc->n_preempted_allocs; i++)
        if (alloc->preempted_allocs[i].len == ID_SIZE)
            memcpy(run->after[run->after_count++].bytes, alloc->preempted_allocs[i].data, ID_SIZE);
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
