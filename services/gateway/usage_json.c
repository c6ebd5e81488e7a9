#include "usage_json.h"
#include "wire/json.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct usage {
    double user, system, mhz; /* percent of a core; MHz of one */
    uint64_t rss, swap, memory, memory_max, throttled_periods, throttled_ns;
};

/* Which numbers mean something; the others are 0. NULL stands for "nothing was measured". */
static json_t *measured_cpu(const struct usage *u)
{
    json_t *list = json_pack("[sss]", "System Mode", "User Mode", "Percent");
    if (u->throttled_periods > 0) {
        json_array_append_new(list, json_string("Throttled Periods"));
        json_array_append_new(list, json_string("Throttled Time"));
    }
    return list;
}

static json_t *measured_memory(const struct usage *u)
{
    json_t *list = json_pack("[ss]", "RSS", "Swap");
    if (u->memory > 0) {
        json_array_append_new(list, json_string("Usage"));
        json_array_append_new(list, json_string("Max Usage"));
    }
    return list;
}

static json_t *resources(const struct usage *u, bool any, json_t *devices)
{
    double percent = u->user + u->system;
    json_t *cpu =
        json_pack("{so,sf,sf,sI,sI,sf,sf}", "Measured", any ? measured_cpu(u) : json_null(),
                  "Percent", percent, "SystemMode", u->system, "ThrottledPeriods",
                  (json_int_t)u->throttled_periods, "ThrottledTime", (json_int_t)u->throttled_ns,
                  "TotalTicks", percent / 100 * u->mhz, "UserMode", u->user);
    json_t *memory = json_pack("{si,si,si,sI,so,sI,sI,sI}", "Cache", 0, "KernelMaxUsage", 0,
                               "KernelUsage", 0, "MaxUsage", (json_int_t)u->memory_max, "Measured",
                               any ? measured_memory(u) : json_null(), "RSS", (json_int_t)u->rss,
                               "Swap", (json_int_t)u->swap, "Usage", (json_int_t)u->memory);
    return json_pack("{so,so,so}", "CpuStats", cpu, "DeviceStats", devices, "MemoryStats", memory);
}

static struct usage usage_of(const Pb__TaskUsage *t)
{
    return (struct usage){t->user_percent,
                          t->system_percent,
                          t->mhz,
                          t->rss,
                          t->swap,
                          t->cgroup_memory,
                          t->cgroup_memory_max,
                          t->throttled_periods,
                          t->throttled_ns};
}

static json_t *processes_json(const Pb__TaskUsage *t)
{
    json_t *pids = json_object();
    for (size_t i = 0; i < t->n_processes; i++) {
        const Pb__ProcessUsage *p = t->processes[i];
        const struct usage u = {
            p->user_percent, p->system_percent, t->mhz, p->rss, p->swap, 0, 0, 0, 0};
        char pid[16];
        snprintf(pid, sizeof pid, "%d", p->pid);
        json_object_set_new(pids, pid, resources(&u, true, json_null()));
    }
    return pids;
}

static void add(struct usage *sum, const struct usage *u)
{
    sum->user += u->user;
    sum->system += u->system;
    sum->mhz = u->mhz;
    sum->rss += u->rss;
    sum->swap += u->swap;
    sum->memory += u->memory;
    sum->memory_max += u->memory_max;
    sum->throttled_periods += u->throttled_periods;
    sum->throttled_ns += u->throttled_ns;
}

json_t *usage_json(const Pb__AgentResult *result, const char *task)
{
    json_t *tasks = json_object();
    struct usage sum = {0};
    int64_t newest = 0;
    for (size_t i = 0; i < result->n_usages; i++) {
        const Pb__TaskUsage *t = result->usages[i];
        const struct usage u = usage_of(t);
        if (t->task == NULL || (task != NULL && task[0] != '\0' && strcmp(task, t->task) != 0))
            continue;
        json_put(tasks, t->task,
                 json_pack("{so,so,sI}", "Pids", processes_json(t), "ResourceUsage",
                           resources(&u, true, json_null()), "Timestamp", (json_int_t)t->time));
        add(&sum, &u);
        newest = t->time > newest ? t->time : newest;
    }
    return json_pack("{so,so,sI}", "ResourceUsage",
                     resources(&sum, json_object_size(tasks) > 0, json_array()), "Tasks", tasks,
                     "Timestamp", (json_int_t)newest);
}
