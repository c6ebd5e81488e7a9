/* What the servers hear, and what they have acknowledged. */
#include "healthwatch.h"
#include "networks.h"
#include "run.h"
#include "wire/wire.h"

static Pb__AllocUpdate *update_of(struct arena *a, struct alloc_run *run)
{
    struct group_status status = alloc_run_status(run);
    Pb__AllocUpdate *u = arena_alloc(a, sizeof *u);
    pb__alloc_update__init(u);
    u->has_alloc_id = u->has_client_status = u->has_sequence = true;
    u->alloc_id = wire_id(a, run->id);
    u->sequence = (uint64_t)run->runner->options.starts << 32 | ++run->runner->reports;
    u->client_status = status.status;
    u->client_description = arena_strdup(a, status.description);
    u->n_tasks = run->task_count;
    u->tasks = arena_array(a, Pb__TaskState *, run->task_count);
    for (size_t i = 0; i < run->task_count; i++)
        u->tasks[i] = task_state(a, &run->tasks[i].core, run->tasks[i].name);
    healthwatch_tell(run, a, u);
    networks_tell(run, a, u);
    return u;
}

Pb__AllocUpdates *runner_updates(struct runner *r, struct arena *a, size_t max)
{
    const void *key;
    void *value;
    if (r->stopping_all)
        return NULL;
    Pb__AllocUpdates *all = arena_alloc(a, sizeof *all);
    pb__alloc_updates__init(all);
    all->allocs = arena_array(a, Pb__AllocUpdate *, max);
    for (size_t i = 0; all->n_allocs < max && map_next(r->allocs, &i, &key, NULL, &value);) {
        struct alloc_run *run = value;
        if (run->changed == run->acknowledged || run->removed ||
            (alloc_run_is_over(run) && !run->ended))
            continue;
        run->sent = run->changed;
        run->under_way = true;
        all->allocs[all->n_allocs++] = update_of(a, run);
    }
    return all->n_allocs == 0 ? NULL : all;
}

void runner_sent(struct runner *r, bool acknowledged)
{
    const void *key;
    void *value;
    for (size_t i = 0; map_next(r->allocs, &i, &key, NULL, &value);) {
        struct alloc_run *run = value;
        if (!run->under_way)
            continue;
        run->under_way = false;
        healthwatch_told(run, acknowledged);
        if (!acknowledged)
            continue;
        run->acknowledged = run->sent;
        if (run->changed != run->acknowledged)
            continue;
        alloc_run_save(run); /* written with the next step: hearing it twice does no harm */
        runner_write_soon(r);
        if (alloc_run_is_settled(run) && !link_is_linked(&run->touched))
            alloc_run_free(run);
    }
}
