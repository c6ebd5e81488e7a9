#include "base/log.h"
#include "containers.h"
#include "heir.h"
#include "launch.h"
#include "networks.h"

/* In the order in which they are made; taken down the other way round. */
static const struct alloc_step *const steps[ALLOC_STEPS + 1] = {&disk_step, &network_step,
                                                                &containers_step, NULL};

enum err alloc_steps_ready(struct launch *l, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && steps[i] != NULL; i++)
        e = steps[i]->ready(l, &l->run->alloc->slots[i], why);
    return e;
}

enum err alloc_steps_end(struct alloc_run *run)
{
    enum err all = OK;
    for (size_t i = ALLOC_STEPS; i-- > 0;)
        if (steps[i] != NULL && steps[i]->end != NULL &&
            steps[i]->end(run, &run->slots[i]) == ERR_AGAIN)
            all = ERR_AGAIN;
    return all;
}

void alloc_steps_save(struct alloc_run *run, struct arena *a, Pb__LocalAlloc *out)
{
    for (size_t i = 0; steps[i] != NULL; i++)
        if (steps[i]->save != NULL)
            steps[i]->save(run, run->slots[i], a, out);
}

void alloc_steps_restore(struct alloc_run *run, const Pb__LocalAlloc *saved)
{
    for (size_t i = 0; steps[i] != NULL; i++)
        if (steps[i]->restore != NULL)
            steps[i]->restore(run, &run->slots[i], saved);
}

void alloc_steps_free(struct alloc_run *run)
{
    for (size_t i = 0; steps[i] != NULL; i++)
        if (steps[i]->free != NULL)
            steps[i]->free(run->slots[i]);
}

void *alloc_steps_slot(const struct alloc_run *run, const struct alloc_step *step)
{
    size_t i = 0;
    while (steps[i] != step)
        must(steps[i++] != NULL);
    return run->slots[i];
}

void alloc_run_launch(struct alloc_run *run)
{
    for (size_t i = 0; i < run->task_count; i++)
        if (run->tasks[i].core.phase == TASK_STARTING)
            task_run_launch(&run->tasks[i]);
}
