/* What is wrong with a task group and its tasks. */
#include "base/duration.h"
#include "base/facility.h"
#include "problems.h"
#include "sched/reconcile.h"
#include "wire/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NAME = 128, MOST_TASKS = 100 };

/* ---- tasks */

static void validate_minimum(struct texts *errors, const Pb__Resources *r)
{
    if (r->cores == 0 && (r->cpu < 1 || is_negative(r->cpu)))
        texts_add(errors, "minimum CPU value is 1; got %d", (int)r->cpu);
    if (r->memory_mb < 10 || is_negative(r->memory_mb))
        texts_add(errors, "minimum MemoryMB value is 10; got %d", (int)r->memory_mb);
    if (is_negative(r->disk_mb))
        texts_add(errors, "minimum DiskMB value is 0; got %d", (int)r->disk_mb);
    if (is_negative(r->iops))
        texts_add(errors, "minimum IOPS value is 0; got %d", (int)r->iops);
}

static void validate_resources(struct texts *errors, const Pb__Resources *r)
{
    struct texts inner = {.arena = errors->arena}, minimum = {.arena = errors->arena};
    if (r->cores > 0 && r->cpu > 0)
        texts_add(&inner, "Task can only ask for 'cpu' or 'cores' resource, not both.");
    validate_minimum(&minimum, r);
    texts_nest(&inner, &minimum, "%s", "");
    if (r->memory_max_mb != 0 && r->memory_max_mb < r->memory_mb)
        texts_add(&inner, "MemoryMaxMB value (%d) should be larger than MemoryMB value (%u)",
                  (int)r->memory_max_mb, r->memory_mb);
    validate_devices(&inner, r->devices, r->n_devices);
    validate_networks(&inner, r->networks, r->n_networks, "task network");
    texts_nest(errors, &inner, "%s", "");
}

static void validate_task_name(struct texts *errors, const char *name)
{
    if (name == NULL) {
        texts_add(errors, "Missing task name");
        return;
    }
    validate_name(errors, "Task", name, LONGEST_NAME);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "alloc") == 0)
        texts_add(errors,
                  "Task name \"%s\" is reserved: it would collide with a directory of the "
                  "allocation",
                  name);
}

static bool is_text(const char *text, const char *expected)
{
    return text != NULL && strcmp(text, expected) == 0;
}

static bool is_set(const char *text)
{
    return text != NULL && *text != '\0';
}

static void validate_forward(struct texts *errors, const Pb__LogConfig *logs)
{
    const bool known = is_text(logs->forward, "syslog") || is_text(logs->forward, "journald");
    if (is_set(logs->forward) && !known)
        texts_add(errors, "logs cannot be forwarded to \"%.60s\": use \"syslog\" or \"journald\"",
                  logs->forward);
    if (is_set(logs->facility) && facility_find(logs->facility) < 0)
        texts_add(errors, "logs have facility \"%.60s\", which syslog does not know",
                  logs->facility);
    if (!is_set(logs->forward) && (is_set(logs->facility) || is_set(logs->tag)))
        texts_add(errors, "logs have a facility or a tag, but are not forwarded");
}

static void validate_logs(struct texts *errors, const Pb__TaskGroup *group, const Pb__Task *task)
{
    const Pb__LogConfig *logs = task->log_config;
    if (logs->max_files < 1 || is_negative(logs->max_files))
        texts_add(errors, "minimum number of files is 1; got %d", (int)logs->max_files);
    if (logs->max_file_size_mb < 1 || is_negative(logs->max_file_size_mb))
        texts_add(errors, "minimum file size is 1MB; got %d", (int)logs->max_file_size_mb);
    validate_forward(errors, logs);
    uint64_t all = (uint64_t)logs->max_files * logs->max_file_size_mb;
    if (!is_negative(logs->max_files) && !is_negative(logs->max_file_size_mb) &&
        group->ephemeral_disk != NULL && group->ephemeral_disk->size_mb <= all)
        texts_add(errors, "log storage (%llu MB) must be less than requested disk capacity (%u MB)",
                  (unsigned long long)all, group->ephemeral_disk->size_mb);
}

static bool is_hook(const char *hook)
{
    return is_text(hook, "prestart") || is_text(hook, "poststart") || is_text(hook, "prestop") ||
           is_text(hook, "poststop");
}

/* Without these the task would not be what was asked for. */
static void validate_task_needs(struct texts *errors, const Pb__Task *task)
{
    const struct {
        bool wanted;
        const char *what;
    } needs[] = {
        {task->csi_plugin_config_json != NULL, "csi_plugin"},
        {task->kind != NULL && strncmp(task->kind, "connect", 7) == 0, "Consul Connect"},
    };
    for (size_t i = 0; i < COUNT_OF(needs); i++)
        if (needs[i].wanted)
            texts_add(errors, "%s " NOT_YET, needs[i].what);
    if (task->lifecycle != NULL && !is_hook(task->lifecycle->hook))
        texts_add(errors, "Lifecycle validation failed: invalid hook: %.60s",
                  task->lifecycle->hook == NULL ? "" : task->lifecycle->hook);
    if (task->lifecycle != NULL && task->lifecycle->sidecar &&
        is_text(task->lifecycle->hook, "prestop"))
        texts_add(errors, "Lifecycle validation failed: a prestop task cannot be a sidecar");
}

static void warn_about_task(struct validation *v, const Pb__TaskGroup *group, const Pb__Task *task)
{
    const struct {
        bool wanted;
        const char *what;
    } wishes[] = {
        {task->services_json != NULL, "service"},
        {task->vault_json != NULL, "vault"},
        {task->scaling_policies_json != NULL, "scaling"},
        {task->resources->memory_max_mb > 0 && !is_text(task->driver, "exec") &&
             !is_text(task->driver, "docker"),
         "memory_max"},
        /* It sees the node's files where they are. */
        {task->n_volume_mounts > 0 && is_text(task->driver, "raw_exec"),
         "volume_mount with driver raw_exec"},
    };
    for (size_t i = 0; i < COUNT_OF(wishes); i++)
        if (wishes[i].wanted)
            texts_add(v->warnings,
                      "Group \"%.60s\" task \"%.60s\": %s has no effect in this version of Norn",
                      group->name == NULL ? "" : group->name, task->name == NULL ? "" : task->name,
                      wishes[i].what);
}

static const char *text_or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

void validate_task(struct validation *v, const Pb__TaskGroup *group, const Pb__Task *task,
                   struct texts *errors)
{
    struct texts inner = {.arena = v->arena};
    validate_task_name(&inner, task->name);
    if (task->driver == NULL)
        texts_add(&inner, "Missing task driver");
    else
        validate_name(&inner, "Driver", task->driver, LONGEST_NAME);
    if (task->kill_timeout_ns < 0)
        texts_add(&inner, "KillTimeout must be a positive value");
    if (task->shutdown_delay_ns < 0)
        texts_add(&inner, "ShutdownDelay must be a positive value");
    if (task->max_run_duration_ns < 0)
        texts_add(&inner, "MaxRunDuration must be a positive value");
    validate_resources(&inner, task->resources);
    validate_constraints(&inner, task->constraints, task->n_constraints);
    validate_affinities(&inner, task->affinities, task->n_affinities);
    if (!wire_equal(&task->restart_policy->base, &group->restart_policy->base)) {
        struct texts restart = {.arena = v->arena};
        validate_restart(&restart, task->restart_policy);
        texts_nest(&inner, &restart, "%s", "");
    }
    validate_logs(&inner, group, task);
    validate_files(&inner, task);
    validate_task_needs(&inner, task);
    texts_nest(errors, &inner, "Task %.60s validation failed: ", text_or_empty(task->name));
    warn_about_task(v, group, task);
}

/* ---- the group */

static void validate_reschedule(struct texts *errors, const Pb__ReschedulePolicy *p)
{
    const int64_t least = 5000000000ll;
    char delay[32], max_delay[32];
    if (p->attempts == 0 && !p->unlimited)
        return; /* off */
    duration_format(p->delay_ns, delay);
    duration_format(p->max_delay_ns, max_delay);
    const char *function = text_or_empty(p->delay_function);
    bool constant = strcmp(function, "constant") == 0;
    if (is_negative(p->attempts))
        texts_add(errors, "Attempts can not be less than zero: %d < 0", (int)p->attempts);
    if (p->delay_ns < least)
        texts_add(errors, "Delay cannot be less than 5s (got %s)", delay);
    if (!constant && strcmp(function, "exponential") != 0 && strcmp(function, "fibonacci") != 0)
        texts_add(errors,
                  "Invalid delay function \"%.60s\", must be one of [\"constant\" \"exponential\" "
                  "\"fibonacci\"]",
                  function);
    if (!constant && p->max_delay_ns < least)
        texts_add(errors, "Max Delay cannot be less than 5s (got %s)", delay);
    if (!constant && p->max_delay_ns < p->delay_ns)
        texts_add(errors, "Max Delay cannot be less than Delay %s (got %s)", delay, max_delay);
}

/* A sum that does not fit would wrap around in every later addition. */
static void validate_totals(struct texts *errors, const Pb__TaskGroup *group)
{
    uint64_t cpu = 0, memory = 0, disk = group->ephemeral_disk->size_mb;
    for (size_t i = 0; i < group->n_tasks; i++) {
        cpu += group->tasks[i]->resources->cpu;
        memory += group->tasks[i]->resources->memory_mb;
        disk += group->tasks[i]->resources->disk_mb;
    }
    if (cpu > INT32_MAX || memory > INT32_MAX || disk > INT32_MAX)
        texts_add(errors, "The tasks together ask for more than any node can have");
}

static void validate_tasks(struct validation *v, const Pb__TaskGroup *group, struct texts *errors)
{
    for (size_t i = 0; i < group->n_tasks; i++) {
        const char *name = group->tasks[i]->name;
        if (name == NULL) {
            texts_add(errors, "Task %zu missing name", i + 1);
            continue;
        }
        for (size_t j = 0; j < i; j++)
            if (group->tasks[j]->name != NULL && strcmp(name, group->tasks[j]->name) == 0) {
                texts_add(errors, "Task %zu redefines '%.60s' from task %zu", i + 1, name, j + 1);
                break;
            }
    }
    for (size_t i = 0; i < group->n_tasks; i++)
        validate_task(v, group, group->tasks[i], errors);
}

static void validate_disconnect(struct texts *errors, const Pb__DisconnectStrategy *d)
{
    static const char *const words[] = {"best_score", "longest_running", "keep_original",
                                        "keep_replacement"};
    bool known = false;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        known |= d->reconcile != NULL && strcmp(d->reconcile, words[i]) == 0;
    if (!known)
        texts_add(errors,
                  "disconnect.reconcile \"%.60s\" is none of best_score, longest_running, "
                  "keep_original, keep_replacement",
                  text_or_empty(d->reconcile));
    if (d->lost_after_ns < 0)
        texts_add(errors, "disconnect.lost_after cannot be a negative duration");
    if (d->stop_on_client_after_ns < 0)
        texts_add(errors, "disconnect.stop_on_client_after cannot be a negative duration");
    if (d->lost_after_ns > 0 && d->stop_on_client_after_ns > 0)
        texts_add(errors, "disconnect cannot have both lost_after and stop_on_client_after");
}

static void validate_policies(struct validation *v, const Pb__TaskGroup *group,
                              struct texts *errors)
{
    struct texts restart = {.arena = v->arena}, reschedule = {.arena = v->arena},
                 update = {.arena = v->arena};
    validate_restart(&restart, group->restart_policy);
    texts_nest(errors, &restart, "%s", "");
    validate_spreads(errors, group->spreads, group->n_spreads);
    if (job_is_system(v->job)) {
        if (group->n_affinities > 0)
            texts_add(errors, "System jobs may not have an affinity stanza");
        if (group->n_spreads > 0)
            texts_add(errors, "System jobs may not have a spread stanza");
        if (group->reschedule_policy != NULL)
            texts_add(errors, "System jobs should not have a reschedule policy");
    } else if (group->reschedule_policy != NULL)
        validate_reschedule(&reschedule, group->reschedule_policy);
    texts_nest(errors, &reschedule, "%s", "");
    if (group->ephemeral_disk->size_mb < 10 || is_negative(group->ephemeral_disk->size_mb))
        texts_add(errors, "minimum DiskMB value is 10; got %d",
                  (int)group->ephemeral_disk->size_mb);
    if (group->disconnect != NULL)
        validate_disconnect(errors, group->disconnect);
    if (group->update == NULL)
        return;
    if (strcmp(v->job->type, "batch") == 0)
        texts_add(errors, "Job type \"batch\" does not allow update block");
    validate_update(&update, group->update);
    texts_nest(errors, &update, "%s", "");
}

static bool has_old_networks(const Pb__TaskGroup *group, size_t task)
{
    return group->tasks[task]->resources->n_networks > 0;
}

static void warn_about_old_networks(struct validation *v, const Pb__TaskGroup *group)
{
    struct texts tasks = {.arena = v->arena};
    for (size_t i = 0; i < group->n_tasks; i++) {
        struct texts one = {.arena = v->arena};
        if (!has_old_networks(group, i))
            continue;
        texts_add(&one,
                  "Task \"%.60s\": task network resources have been deprecated as of Nomad 0.12.0. "
                  "Please configure networking via group network block.",
                  text_or_empty(group->tasks[i]->name));
        texts_nest(&tasks, &one, "%s", "");
    }
    texts_nest(v->warnings, &tasks, "Group \"%.60s\" has warnings: ", text_or_empty(group->name));
}

static void warn_about_group(struct validation *v, const Pb__TaskGroup *group)
{
    const struct {
        bool wanted;
        const char *what;
    } wishes[] = {
        {group->ephemeral_disk->migrate && !group->ephemeral_disk->sticky,
         "a migrating ephemeral_disk that is not sticky"},
        {group->services_json != NULL, "service"},
        {group->consul_json != NULL, "consul"},
    };
    for (size_t i = 0; i < COUNT_OF(wishes); i++)
        if (wishes[i].wanted)
            texts_add(v->warnings, "Group \"%.60s\": %s has no effect in this version of Norn",
                      text_or_empty(group->name), wishes[i].what);
}

static bool has_main_task(const Pb__TaskGroup *group)
{
    for (size_t i = 0; i < group->n_tasks; i++)
        if (group->tasks[i]->lifecycle == NULL || !is_hook(group->tasks[i]->lifecycle->hook))
            return true;
    return false;
}

void validate_group(struct validation *v, const Pb__TaskGroup *group)
{
    struct texts errors = {.arena = v->arena}, network = {.arena = v->arena};
    if (group->name == NULL)
        texts_add(&errors, "Missing task group name");
    else
        validate_name(&errors, "Task group", group->name, LONGEST_NAME);
    if (is_negative(group->count))
        texts_add(&errors, "Task group count can't be negative");
    else if (group->count > JOB_MOST_COUNT)
        texts_add(&errors, "Task group count %u is too large: at most %d", group->count,
                  JOB_MOST_COUNT);
    if (group->n_tasks == 0)
        texts_add(&errors, "Missing tasks for task group");
    else if (!has_main_task(group))
        texts_add(&errors,
                  "every task has a lifecycle: one must have none, the others begin and end "
                  "with it");
    validate_constraints(&errors, group->constraints, group->n_constraints);
    validate_affinities(&errors, group->affinities, group->n_affinities);
    validate_policies(v, group, &errors);
    validate_scaling(&errors, group);
    validate_networks(&network, group->networks, group->n_networks, "taskgroup network");
    texts_nest(&errors, &network, "Task group network validation failed: ");
    validate_volumes(&errors, group);
    if (group->shutdown_delay_ns < 0)
        texts_add(&errors, "ShutdownDelay must be a positive value");
    if (group->max_run_duration_ns < 0)
        texts_add(&errors, "MaxRunDuration must be a positive value");
    if (group->n_tasks > MOST_TASKS)
        texts_add(&errors, "%zu tasks are too many for a group: at most %d", group->n_tasks,
                  MOST_TASKS);
    else
        validate_tasks(v, group, &errors);
    validate_totals(&errors, group);
    texts_nest(v->errors, &errors,
               "Task group %.60s validation failed: ", text_or_empty(group->name));
    warn_about_old_networks(v, group);
    warn_about_group(v, group);
}
