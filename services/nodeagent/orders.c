#include "orders.h"
#include "containers.h"
#include "run.h"
#include <signal.h>
#include <string.h>

static bool runs(const struct task_run *t)
{
    return t->core.phase == TASK_RUNNING && t->shim != NULL;
}

/* How an order is carried out by one task that runs. */
struct order {
    const char *refusal; /* what stands before the name of a task that does not run; "": no name */
    void (*give)(struct task_run *t, const struct order *o);
    const char *name; /* of the signal */
    int number;
};

static void give_restart(struct task_run *t, const struct order *o)
{
    task_run_input(t, (struct task_input){.kind = TASK_IN_RESTART, .text = o->name});
}

static void give_signal(struct task_run *t, const struct order *o)
{
    supervisor_signal(t->shim, o->number);
    task_run_input(t, (struct task_input){.kind = TASK_IN_SIGNALED, .text = o->name});
}

static struct task_run *task_named(struct alloc_run *run, const char *name)
{
    for (size_t i = 0; run != NULL && i < run->task_count; i++)
        if (strcmp(run->tasks[i].name, name) == 0)
            return &run->tasks[i];
    return NULL;
}

static enum err order_one(struct runner *r, const uint8_t alloc[16], const char *task,
                          const struct order *o, struct reason *why)
{
    struct task_run *t = task_named(map_get_id(r->allocs, alloc), task);
    if (t == NULL && runner_find(r, alloc, task) == RUNNER_NO_TASK)
        return reason_set(why, ERR_NOT_FOUND, "Could not find task runner for task: %s", task);
    if (t == NULL || !runs(t))
        return reason_set(why, ERR_UNAVAILABLE, "Task not running");
    o->give(t, o);
    return OK;
}

/* One line for each task that could not be reached: here, all. */
static enum err order_failed(struct runner *r, const uint8_t alloc[16], const struct order *o,
                             struct reason *why)
{
    struct arena *a = arena_new(1u << 20);
    const Pb__LocalAlloc *saved = local_alloc(r->options.local, a, alloc);
    const size_t count = saved == NULL ? 0 : saved->n_tasks;
    char *lines = arena_strdup(a, "");
    for (size_t i = 0; i < count; i++) {
        const char *name = saved->tasks[i]->state->name;
        lines =
            arena_printf(a, "%s\n\t* %s%s%sTask not running", lines, o->refusal,
                         o->refusal[0] == '\0' ? "" : name, o->refusal[0] == '\0' ? "" : ", err: ");
    }
    enum err e = reason_set(why, ERR_UNAVAILABLE, "%zu error%s occurred:%s\n\n", count,
                            count == 1 ? "" : "s", lines);
    arena_free(a);
    return e;
}

static enum err give_order(struct runner *r, const uint8_t alloc[16], const char *task,
                           const struct order *o, struct reason *why)
{
    struct alloc_run *run = map_get_id(r->allocs, alloc);
    size_t given = 0;
    if (task != NULL && task[0] != '\0')
        return order_one(r, alloc, task, o, why);
    for (size_t i = 0; run != NULL && i < run->task_count; i++)
        if (runs(&run->tasks[i])) {
            o->give(&run->tasks[i], o);
            given++;
        }
    return given > 0 ? OK : order_failed(r, alloc, o, why);
}

enum err runner_restart(struct runner *r, const uint8_t alloc[16], const char *task,
                        struct reason *why)
{
    const struct order o = {.refusal = "", .give = give_restart, .name = "User requested restart"};
    return give_order(r, alloc, task, &o, why);
}

enum err runner_signal(struct runner *r, const uint8_t alloc[16], const char *task,
                       const char *signal, struct reason *why)
{
    const char *name = signal == NULL || signal[0] == '\0' ? "SIGINT" : signal;
    const struct order o = {.refusal = "Failed to signal task: ",
                            .give = give_signal,
                            .name = name,
                            .number = signal_number(name)};
    if (o.number == 0)
        return reason_set(why, ERR_INVALID, "signal \"%.60s\" is not known, try SIGHUP or SIGUSR1",
                          name);
    return give_order(r, alloc, task, &o, why);
}

size_t runner_look(struct runner *r, const uint8_t alloc[16], struct arena *a,
                   struct task_look **out)
{
    struct alloc_run *run = map_get_id(r->allocs, alloc);
    const struct cgroups *c = r->options.cgroups;
    size_t count = 0;
    *out = arena_array(a, struct task_look, run == NULL ? 0 : run->task_count);
    for (size_t i = 0; run != NULL && i < run->task_count; i++) {
        const char *name = run->tasks[i].name;
        char tree[600], memory[600], cpu[600];
        cgroups_task_path(c, alloc, name, tree, sizeof tree);
        struct usage_places places = {tree, memory, cpu};
        if (!runs(&run->tasks[i]) ||
            (!containers_places(&run->tasks[i], a, &places) && tree[0] == '\0'))
            continue;
        cgroups_limit_path(c, SHIM_MEMORY, alloc, name, memory, sizeof memory);
        cgroups_limit_path(c, SHIM_CPU, alloc, name, cpu, sizeof cpu);
        struct task_look *look = &(*out)[count++];
        look->task = arena_strdup(a, name);
        usage_look(a, &places, loop_wall_ns(r->loop), &look->look);
    }
    return count;
}
