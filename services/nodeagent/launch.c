#include "launch.h"
#include "allocdir.h"
#include "base/log.h"
#include "fingerprint.h"
#include "networks.h"
#include "pinning.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_LOG_FILES   10
#define DEFAULT_LOG_FILE_MB 10

static enum err find_task(struct launch *l, struct reason *why)
{
    struct runner *r = l->run->alloc->runner;
    l->local = local_alloc(r->options.local, l->arena, l->run->alloc->id);
    l->job = l->local == NULL ? NULL : local_job(r->options.local, l->arena, l->local->alloc);
    l->group = l->job == NULL ? NULL : group_of(l->job, l->local->alloc->task_group);
    for (size_t i = 0; l->group != NULL && i < l->group->n_tasks; i++)
        if (strcmp(l->group->tasks[i]->name, l->run->name) == 0)
            l->task = l->group->tasks[i];
    if (l->task == NULL)
        return reason_set(why, ERR_NOT_FOUND, "its job is not known here");
    l->driver = driver_find(l->task->driver);
    return l->driver != NULL
               ? OK
               : reason_set(why, ERR_INVALID, "driver \"%s\" is not known on this node",
                            l->task->driver == NULL ? "" : l->task->driver);
}

/* Here and not in the shim: name services are too heavy for that. */
static enum err find_user(struct launch *l, const Pb__Task *task, struct reason *why)
{
    must(task != NULL);
    const char *name = task->user;
    l->uid = geteuid();
    l->gid = getegid();
    if (l->driver->container)
        return OK;                     /* it may be known in the image only */
    if (name == NULL || *name == '\0') /* only root may become another */
        name = l->uid == 0 ? l->driver->default_user : NULL;
    if (name == NULL)
        return OK;
    errno = 0;
    const struct passwd *p = getpwnam(name);
    if (p == NULL)
        return reason_set(why, ERR_NOT_FOUND, "user \"%s\" does not exist on this node", name);
    if (p->pw_uid == l->uid)
        return OK;
    if (l->uid != 0)
        return reason_set(why, ERR_DENIED,
                          "the agent does not run as root and cannot run a task as user \"%s\"",
                          name);
    l->set_user = true;
    l->uid = p->pw_uid;
    l->gid = p->pw_gid;
    l->group_count = SHIM_MAX_GROUPS;
    if (getgrouplist(name, l->gid, l->groups, &l->group_count) < 0)
        l->group_count = SHIM_MAX_GROUPS;
    return OK;
}

static void make_env(struct launch *l)
{
    struct runner *r = l->run->alloc->runner;
    const bool own_root = l->driver->own_root || l->driver->container;
    const struct taskenv_input in = {
        .alloc = l->local->alloc,
        .job = l->job,
        .group = l->group,
        .task = l->task,
        .node = r->options.node,
        .region = r->options.region,
        .ip = fingerprint_address(r->options.node),
        .network = networks_made(l->run->alloc),
        .alloc_dir = own_root ? "/alloc" : arena_printf(l->arena, "%s/alloc", l->alloc_dir),
        .task_dir = own_root ? "/local" : arena_printf(l->arena, "%s/local", l->task_dir),
        .secrets_dir = own_root ? "/secrets" : arena_printf(l->arena, "%s/secrets", l->task_dir),
        .host = l->driver->container ? NULL : environ,
    };
    l->env = taskenv_new(l->arena, &in);
}

static enum err make_plan(struct launch *l, void **slot, struct reason *why)
{
    if (l->run->kill_signal == 0)
        return reason_set(why, ERR_INVALID, "kill_signal \"%s\" is not a signal",
                          l->task->kill_signal);
    struct supervisor_spec network = {.netns = NULL};
    networks_fill_spec(l, &network);
    struct driver_ask ask = {
        .arena = l->arena,
        .group = l->group,
        .task = l->task,
        .env = l->env,
        .task_dir = l->task_dir,
        .alloc_dir = arena_printf(l->arena, "%s/alloc", l->alloc_dir),
        .node = l->run->alloc->runner->options.node,
        .alloc = l->local->alloc,
        .host = l->run->alloc->runner->options.host,
        .shim_dir = l->shim_dir,
        .netns = network.netns,
        .hostname = network.hostname,
        .resolv_conf = network.resolv_conf,
    };
    enum err e = driver_make_plan(l->driver, &ask, &l->plan, why);
    l->recoverable = l->plan.recoverable;
    return e;
}

static bool has_limits(const struct shim_limits *l)
{
    return l->memory_bytes != 0 || l->cpu_shares != 0 || l->cpu_quota_us != 0 || l->pids != 0 ||
           l->io_weight != 0;
}

static void find_controllers(const struct launch *l, struct supervisor_spec *spec)
{
    const struct task_run *t = l->run;
    char path[600];
    for (int i = 0; i < SHIM_CPUSET; i++) {
        cgroups_limit_path(t->alloc->runner->options.cgroups, (enum shim_controller)i, t->alloc->id,
                           t->name, path, sizeof path);
        spec->controllers[i] = arena_strdup(l->arena, path);
    }
}

static uint32_t log_files(const Pb__LogConfig *log)
{
    if (log != NULL && log->disabled)
        return 0;
    return log != NULL && log->max_files > 0 ? log->max_files : DEFAULT_LOG_FILES;
}

/* The driver's program must not take the job's variables for its own: see struct driver. */
static char **environment_of(const struct launch *l, size_t *count)
{
    char **list = taskenv_list(l->env, l->arena, count);
    for (size_t i = 0; l->driver->container && i < *count; i++)
        list[i] = arena_printf(l->arena, "+%s", list[i]);
    return list;
}

static enum err make_spec(const struct launch *l, struct supervisor_spec *out, struct reason *why)
{
    const struct task_run *t = l->run;
    const struct runner *r = t->alloc->runner;
    char cgroup[600];
    size_t envc;
    char **envp = environment_of(l, &envc);
    const Pb__LogConfig *log = l->task->log_config;
    cgroups_task_path(r->options.cgroups, t->alloc->id, t->name, cgroup, sizeof cgroup);
    if (taskenv_is_overgrown(l->env))
        return reason_set(why, ERR_INVALID, "its ${...} become more than %u MiB of text",
                          TASKENV_MAX_GROWTH >> 20);
    struct log_relay relay;
    const struct log_relay_ask ask = {l->task,         l->group, l->job,
                                      l->local->alloc, l->env,   &r->options.log_sockets};
    enum err e = log_relay_find(l->arena, &ask, &relay, why);
    if (e != OK)
        return e;
    *out = (struct supervisor_spec){
        .shim = r->options.shim,
        .dir = l->shim_dir,
        .log_dir = arena_printf(l->arena, "%s/alloc/logs", l->alloc_dir),
        .task = t->name,
        .cwd = l->driver->own_root ? "/" : l->task_dir,
        .tree = r->options.cgroups->kind,
        .cgroup = arena_strdup(l->arena, cgroup),
        .shims_cgroup = r->options.cgroups->shims,
        .program = l->plan.program,
        .argv = l->plan.argv,
        .argc = l->plan.argc,
        .envp = envp,
        .envc = envc,
        .max_files = log_files(log),
        .max_file_bytes =
            (uint64_t)(log != NULL && log->max_file_size_mb > 0 ? log->max_file_size_mb
                                                                : DEFAULT_LOG_FILE_MB)
            << 20,
        .relay = relay,
        .set_user = l->set_user,
        .uid = l->uid,
        .gid = l->gid,
        .groups = l->groups,
        .group_count = (size_t)l->group_count,
        .limits_v2 = r->options.cgroups->limits_v2,
        .limits = l->plan.limits,
        .ulimits = l->plan.ulimits,
        .ulimit_count = l->plan.ulimit_count,
        .isolate = l->driver->own_root,
        .mounts = l->plan.mounts,
        .mount_count = l->plan.mount_count,
    };
    if (!l->driver->container)
        networks_fill_spec(l, out);
    if (has_limits(&l->plan.limits))
        find_controllers(l, out);
    return pinning_spec(t, l->local->alloc, l->task, l->arena, out, why);
}

static enum err spawn(struct launch *l, void **slot, struct reason *why)
{
    struct task_run *t = l->run;
    struct runner *r = t->alloc->runner;
    struct supervisor_spec spec;
    const struct supervisor_handlers h = {task_run_on_state, task_run_on_lost, t};
    cgroups_prepare(r->options.cgroups);
    enum err e = make_spec(l, &spec, why);
    if (e != OK)
        return e;
    l->recoverable = true;
    return supervisor_spawn(&t->shim, r->loop, &spec, &h, why);
}

static void on_waited(void *owner)
{
    struct task_run *t = owner;
    t->waited = true;
    task_run_launch(t);
}

/* The driver may want to wait before it starts. */
static enum err wait_for_driver(struct launch *l, void **slot, struct reason *why)
{
    struct task_run *t = l->run;
    if (l->plan.start_delay_ms == 0 || t->waited)
        return OK;
    timer_arm(t->alloc->runner->loop, &t->launch, l->plan.start_delay_ms, on_waited, t);
    return ERR_AGAIN;
}

static void stop_waiting(struct task_run *t, void **slot)
{
    t->waited = false;
    timer_cancel(t->alloc->runner->loop, &t->launch);
}

/* In the order in which they are done. */
static const struct launch_step plan_step = {.name = "plan", .ready = make_plan};
static const struct launch_step delay_step = {
    .name = "delay", .ready = wait_for_driver, .settle = stop_waiting};
static const struct launch_step spawn_step = {
    .name = "spawn", .failure = TASK_IN_START_FAILED, .ready = spawn};
static const struct launch_step *const steps[LAUNCH_STEPS + 1] = {
    &payload_step, &artifact_step, &template_step, &plan_step,
    &image_step,   &delay_step,    &spawn_step,    NULL};

static void refuse(struct launch *l, enum task_input_kind kind, const struct reason *why)
{
    log_warn("task_not_started", "alloc=%s task=%s reason=%s", log_id(l->run->alloc->id),
             log_quote(l->run->name), log_quote(why->text));
    task_run_input(l->run, (struct task_input){
                               .kind = kind, .text = why->text, .recoverable = l->recoverable});
}

static enum task_input_kind failure_of(enum err e)
{
    return e == ERR_INVALID ? TASK_IN_INVALID : TASK_IN_START_FAILED;
}

static void find_dirs(struct launch *l)
{
    const struct task_run *t = l->run;
    const char *data_dir = t->alloc->runner->options.data_dir;
    l->alloc_dir = allocdir_path(l->arena, data_dir, t->alloc->id);
    l->task_dir = allocdir_task_path(l->arena, data_dir, t->alloc->id, t->name);
    l->shim_dir = allocdir_shim_path(l->arena, data_dir, t->alloc->id, t->name);
}

/* Without a limit the disk is measured all the same. */
static void limit_disk(const struct alloc_run *run)
{
    struct reason why;
    if (run->disk_bytes > 0 &&
        allocdir_limit(run->runner->options.data_dir, run->id, run->disk_bytes, &why) != OK)
        log_warn("disk_not_limited", "alloc=%s reason=%s", log_id(run->id), log_quote(why.text));
}

static enum err make_dirs(struct launch *l, struct reason *why)
{
    const struct task_run *t = l->run;
    const char *data_dir = t->alloc->runner->options.data_dir;
    find_dirs(l);
    l->recoverable = true;
    limit_disk(t->alloc);
    return allocdir_make(data_dir, t->alloc->id, t->name, l->uid, l->gid, why);
}

/* *kind: what the task hears, if it is neither OK nor ERR_AGAIN. */
static enum err prepare(struct launch *l, enum task_input_kind *kind, struct reason *why)
{
    enum err e = find_task(l, why);
    if (e == OK)
        e = find_user(l, l->task, why);
    *kind = failure_of(e);
    if (e != OK)
        return e;
    *kind = TASK_IN_SETUP_FAILED;
    e = make_dirs(l, why);
    if (e == OK)
        e = alloc_steps_ready(l, why);
    return e;
}

static enum err take_steps(struct launch *l, enum task_input_kind *kind, struct reason *why)
{
    enum err e = OK;
    make_env(l);
    l->recoverable = false;
    for (size_t i = 0; e == OK && steps[i] != NULL; i++) {
        e = steps[i]->ready(l, &l->run->slots[i], why);
        *kind = steps[i]->failure != 0 ? steps[i]->failure : failure_of(e);
    }
    return e;
}

void task_run_launch(struct task_run *t)
{
    struct launch l = {.arena = arena_new(RUN_ARENA_CAP), .run = t};
    enum task_input_kind kind;
    struct reason why = {""};
    enum err e = prepare(&l, &kind, &why);
    if (e == OK)
        e = take_steps(&l, &kind, &why);
    if (e != OK && e != ERR_AGAIN)
        refuse(&l, kind, &why);
    arena_free(l.arena);
}

void task_run_settle(struct task_run *t)
{
    for (size_t i = 0; steps[i] != NULL; i++)
        if (steps[i]->settle != NULL)
            steps[i]->settle(t, &t->slots[i]);
}

void task_run_free_steps(struct task_run *t)
{
    task_run_settle(t);
    for (size_t i = 0; steps[i] != NULL; i++)
        if (steps[i]->free != NULL)
            steps[i]->free(t->slots[i]);
}

enum err launch_look(struct launch *l, struct reason *why)
{
    enum err e = find_task(l, why);
    if (e == OK)
        e = find_user(l, l->task, why);
    if (e != OK)
        return e;
    find_dirs(l);
    make_env(l);
    return OK;
}

void **launch_slot(struct task_run *t, const struct launch_step *step)
{
    size_t i = 0;
    while (steps[i] != step)
        must(steps[i++] != NULL);
    return &t->slots[i];
}

enum err launch_describe(struct launch *l, struct supervisor_spec *out, struct reason *why)
{
    enum err e = launch_look(l, why);
    if (e == OK)
        e = launch_variables(l, why);
    if (e == OK)
        e = make_plan(l, NULL, why);
    return e == OK ? make_spec(l, out, why) : e;
}
