#include "nodeagent.h"
#include "gcwatch.h"
#include "allocdir.h"
#include "base/id.h"
#include "base/log.h"
#include "describe.h"
#include "devicewatch.h"
#include "dockwatch.h"
#include "nodemeta.h"
#include "wire/wire.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODE_ARENA_CAP   (8u << 20)
#define UPDATES_PER_CALL 256
#define STOP_LIMIT_MS    10000

/* ---- who we are */

static void read_boot_id(char out[64])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    out[0] = '\0';
    if (f != NULL && fgets(out, 64, f) == NULL)
        out[0] = '\0';
    if (f != NULL)
        fclose(f);
    out[strcspn(out, "\n")] = '\0';
}

static void random_id(uint8_t out[ID_SIZE])
{
    /* Version 4: a node's id must tell nothing, and its secret must not be guessed. */
    FILE *f = fopen("/dev/urandom", "re");
    must(f != NULL && fread(out, 1, ID_SIZE, f) == ID_SIZE);
    fclose(f);
    out[6] = (uint8_t)((out[6] & 0x0f) | 0x40);
    out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

static Pb__LocalNode *new_identity(struct arena *a)
{
    uint8_t id[ID_SIZE], secret[ID_SIZE];
    Pb__LocalNode *made = arena_alloc(a, sizeof *made);
    pb__local_node__init(made);
    random_id(id);
    random_id(secret);
    made->has_id = made->has_secret_id = true;
    made->id = wire_id(a, id);
    made->secret_id = wire_id(a, secret);
    return made;
}

/* Greater than at any start before, also when those could not be written down or were lost. */
static uint32_t next_start(const struct nodeagent *na, const Pb__LocalNode *known)
{
    uint32_t now_s = (uint32_t)(loop_wall_ns(na->loop) / 1000000000);
    return known->starts + 1 > now_s ? known->starts + 1 : now_s;
}

/* The same as at the last start, else made now. */
static enum err take_identity(struct nodeagent *na, struct reason *why)
{
    char boot_id[64];
    Pb__LocalNode *known = local_node(na->local, na->arena);
    bool is_new = known == NULL || known->id.len != ID_SIZE || known->secret_id.len != ID_SIZE;
    read_boot_id(boot_id);
    if (is_new)
        known = new_identity(na->arena);
    /* Who is new here has no tasks of another boot, but may find shims of an agent whose state is
     * lost. */
    na->same_boot = is_new || (known->boot_id != NULL && strcmp(known->boot_id, boot_id) == 0);
    na->node->has_id = na->node->has_secret_id = true;
    na->node->id = known->id;
    na->node->secret_id = known->secret_id;
    known->boot_id = arena_strdup(na->arena, boot_id);
    known->has_starts = true;
    na->starts = known->starts = next_start(na, known);
    enum err e = local_put_node(na->local, known, why);
    if (e != ERR_NO_SPACE || is_new)
        return e;
    /* Its tasks are waiting to be watched: it is noted when there is room. */
    log_error("local_state_not_written", "reason=%s", log_quote(why->text));
    na->unwritten = known;
    return OK;
}

/* ---- the parts together */

static void on_news(void *owner, const Pb__NodeNews *news)
{
    struct nodeagent *na = owner;
    for (size_t i = 0; i < news->n_requests; i++)
        if (!sessions_begin(na->sessions, news->requests[i]))
            readers_begin(na->readers, news->requests[i]);
    if (news->n_allocs > 0 || news->full)
        runner_apply(na->runner, news);
}

static Pb__AllocUpdates *updates(void *owner, struct arena *a)
{
    struct nodeagent *na = owner;
    return runner_updates(na->runner, a, UPDATES_PER_CALL);
}

static void sent(void *owner, bool acknowledged)
{
    struct nodeagent *na = owner;
    runner_sent(na->runner, acknowledged);
}

static void on_changed(void *owner, bool urgent)
{
    struct nodeagent *na = owner;
    uplink_report(na->uplink, urgent);
}

static uint64_t silence_ms(void *owner)
{
    struct nodeagent *na = owner;
    return uplink_silence_ms(na->uplink);
}

/* A commit failed: what it held must be gathered once more. */
static void on_news_lost(void *owner)
{
    struct nodeagent *na = owner;
    if (na->unwritten != NULL)
        local_keep_node(na->local, na->unwritten);
    uplink_resync(na->uplink);
}

static void on_node_changed(void *owner)
{
    struct nodeagent *na = owner;
    runner_look_at_templates(na->runner);
    uplink_node_changed(na->uplink);
}

static struct client *result_client(void *owner)
{
    struct nodeagent *na = owner;
    return uplink_client(na->uplink);
}

/* Beside our own program, unless it is set. */
static enum err find_program(struct nodeagent *na, const char *name, const char **path,
                             struct reason *why)
{
    char self[PATH_MAX];
    if ((*path)[0] == '\0') {
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n < 0 ? 0 : n] = '\0';
        char *slash = strrchr(self, '/');
        if (slash != NULL)
            *slash = '\0';
        *path = arena_printf(na->arena, "%s/%s", self, name);
    }
    if (access(*path, X_OK) != 0)
        return reason_errno(why, ERR_NOT_FOUND, "%s %s", name, *path);
    return OK;
}

/* Tasks are told where they are by absolute paths. */
static enum err make_absolute(struct nodeagent *na, struct reason *why)
{
    char real[PATH_MAX];
    if (mkdir(na->data_dir, 0711) != 0 && errno != EEXIST)
        return reason_errno(why, ERR_IO, "mkdir %s", na->data_dir);
    if (realpath(na->data_dir, real) == NULL)
        return reason_errno(why, ERR_IO, "data_dir %s", na->data_dir);
    na->data_dir = arena_strdup(na->arena, real);
    return OK;
}

static struct artifact_limits artifact_settings(const struct nodeagent *na)
{
    return (struct artifact_limits){.program = na->taskfetch,
                                    .max_bytes = na->artifact_max_mb << 20,
                                    .max_unpacked = na->artifact_max_unpacked_mb << 20,
                                    .max_files = na->artifact_max_files,
                                    .timeout_s = na->artifact_timeout_ms / 1000 + 1,
                                    .checksum_required = na->artifact_checksum_required};
}

static enum err open_parts(struct nodeagent *na, struct reason *why)
{
    const struct uplink_options uplink = {
        .gateways = na->gateway,
        .poll_gateways = na->gateway_poll,
        .servers = na->servers,
        .node = na->node,
        .on_news = on_news,
        .updates = updates,
        .sent = sent,
        .owner = na,
    };
    enum err e = uplink_open(&na->uplink, na->loop, &uplink, why);
    if (e != OK)
        return e;
    const struct runner_options runner = {
        .data_dir = na->data_dir,
        .shim = na->taskshim,
        .region = na->region,
        .cgroups = &na->cgroups,
        .networks = na->networks,
        .host = &na->host,
        .node = na->node,
        .local = na->local,
        .artifacts = artifact_settings(na),
        .log_sockets = {.syslog = na->syslog_socket, .journald = na->journald_socket},
        .taskmove = na->taskmove,
        .client = result_client,
        .starts = na->starts,
        .max_kill_timeout_ns = (int64_t)na->max_kill_timeout_ms * 1000000,
        .changed = on_changed,
        .silence_ms = silence_ms,
        .news_lost = on_news_lost,
        .owner = na,
    };
    na->runner = runner_new(na->loop, &runner);
    na->nodemeta = nodemeta_new(&(struct nodemeta_options){
        .local = na->local, .node = na->node, .changed = on_node_changed, .owner = na});
    const struct readers_options readers = {
        .data_dir = na->data_dir,
        .node = na->node,
        .runner = na->runner,
        .meta = na->nodemeta,
        .client = result_client,
        .owner = na,
    };
    na->readers = readers_new(na->loop, &readers);
    const struct sessions_options sessions = {
        .node = na->node,
        .runner = na->runner,
        .client = result_client,
        .owner = na,
    };
    na->sessions = sessions_new(na->loop, &sessions);
    return OK;
}

static struct networks_options networks_settings(const struct nodeagent *na)
{
    return (struct networks_options){.tasknet = na->tasknet,
                                     .data_dir = na->data_dir,
                                     .bridge = na->bridge_network_name,
                                     .subnet = na->bridge_network_subnet,
                                     .cni_path = na->cni_path,
                                     .cni_config_dir = na->cni_config_dir};
}

/* The local state is read through mapped memory: a page that the disk does not give, or that was
 * cut off, is answered so. The next agent finds out which, and goes on without it. */
static void on_bus_error(int number)
{
    static const char text[] = "level=error svc=nodeagent event=local_state_unreadable "
                               "reason=\"a page of it cannot be read: the agent ends\"\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) > 0)
        raise(number);
}

enum err nodeagent_open(void *self, struct loop *l, struct reason *why)
{
    struct nodeagent *na = self;
    na->loop = l;
    na->arena = arena_new(NODE_ARENA_CAP);
    na->node = arena_alloc(na->arena, sizeof *na->node);
    pb__node__init(na->node);
    enum err e = make_absolute(na, why);
    if (e == OK)
        e = find_program(na, "taskshim", &na->taskshim, why);
    if (e == OK)
        e = find_program(na, "tasknet", &na->tasknet, why);
    if (e == OK)
        e = find_program(na, "taskfetch", &na->taskfetch, why);
    if (e == OK)
        e = find_program(na, "taskdock", &na->taskdock, why);
    if (e == OK)
        e = find_program(na, "taskmove", &na->taskmove, why);
    sigaction(SIGBUS, &(struct sigaction){.sa_handler = on_bus_error, .sa_flags = SA_RESETHAND},
              NULL);
    if (e == OK)
        e = local_open(&na->local, na->data_dir, why);
    if (e == OK)
        e = allocdir_prepare(na->data_dir, why);
    if (e == OK)
        e = take_identity(na, why);
    if (e != OK)
        return e;
    cgroups_init(&na->cgroups, na->cgroup);
    e = describe_check_names(na, why);
    if (e == OK)
        e = describe_node(na, why);
    if (e != OK)
        return e;
    const struct networks_options networks = networks_settings(na);
    e = networks_new(&na->networks, l, &networks, why);
    if (e != OK)
        return e;
    networks_fingerprint(&networks, na->arena, na->node);
    /* Shims are our children while we live: none of them is to become a zombie, and we never ask
     * how they ended. */
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT}, NULL);
    return open_parts(na, why);
}

static struct leave_options leave_settings(const struct nodeagent *na)
{
    return (struct leave_options){.deadline_ms = na->drain_deadline_ms,
                                  .force = na->drain_force,
                                  .ignore_system_jobs = na->drain_ignore_system_jobs,
                                  .max_kill_timeout_ms = na->max_kill_timeout_ms,
                                  .local = na->local,
                                  .node = na->node,
                                  .runner = na->runner,
                                  .uplink = na->uplink};
}

enum err nodeagent_start(void *self, struct loop *l, struct reason *why)
{
    struct nodeagent *na = self;
    static const char *const trees[] = {"walk", "cgroup2", "freezer"};
    log_info("node", "id=%s name=%s data_dir=%s tree=%s", log_id(na->node->id.data),
             log_quote(na->node->name), log_quote(na->data_dir), trees[na->cgroups.kind]);
    runner_restore(na->runner, na->same_boot);
    if (na->unwritten != NULL)
        local_keep_node(na->local, na->unwritten);
    networks_start(na->networks, na->runner);
    uplink_start(na->uplink);
    devicewatch_start(na);
    dockwatch_start(na);
    na->diskwatch = diskwatch_new(l, na->runner, na->disk_interval_ms);
    na->gcwatch =
        gcwatch_new(l, &(struct gcwatch_options){
                           .limits = {.disk_percent = (uint32_t)na->gc_disk_usage_threshold,
                                      .inode_percent = (uint32_t)na->gc_inode_usage_threshold,
                                      .max_allocs = na->gc_max_allocs},
                           .interval_ms = na->gc_check_interval_ms,
                           .data_dir = na->data_dir,
                           .local = na->local,
                           .runner = na->runner});
    na->forget = forget_new(l, &(struct forget_options){.interval_ms = na->gc_interval_ms,
                                                        .node = na->node,
                                                        .local = na->local,
                                                        .runner = na->runner,
                                                        .uplink = na->uplink});
    const struct leave_options leave = leave_settings(na);
    na->leave = leave_new(l, &leave);
    return OK;
}

static void on_all_stopped(void *owner)
{
    struct nodeagent *na = owner;
    na->drained(na->drained_arg);
}

static void on_left(void *owner)
{
    struct nodeagent *na = owner;
    if (na->stop_tasks_on_exit)
        runner_stop_all(na->runner, on_all_stopped, na);
    else
        on_all_stopped(na);
}

void nodeagent_drain(void *self, void (*drained)(void *arg), void *arg)
{
    struct nodeagent *na = self;
    na->drained = drained;
    na->drained_arg = arg;
    if (na->drain_on_shutdown)
        leave_begin(na->leave, on_left, na);
    else
        on_left(na);
}

uint64_t nodeagent_drain_limit_ms(const void *self)
{
    const struct nodeagent *na = self;
    const struct leave_options leave = leave_settings(na);
    return (na->drain_on_shutdown ? leave_limit_ms(&leave) : 0) + STOP_LIMIT_MS;
}

void nodeagent_close(void *self)
{
    struct nodeagent *na = self;
    devicewatch_end(na);
    dockwatch_end(na);
    gcwatch_free(na->gcwatch);
    forget_free(na->forget);
    leave_free(na->leave);
    diskwatch_free(na->diskwatch);
    readers_free(na->readers);
    sessions_free(na->sessions);
    nodemeta_free(na->nodemeta);
    runner_free(na->runner);
    networks_free(na->networks);
    local_close(na->local);
    cgroups_fini(&na->cgroups);
    uplink_close(na->uplink); /* last: it may not return in time */
    arena_free(na->arena);
}

void nodeagent_summary(void *self)
{
    struct nodeagent *na = self;
    struct runner_counts c = runner_count(na->runner);
    log_info("summary",
             "registered=%d allocs=%zu running=%zu pending=%zu shims=%zu readers=%zu sessions=%zu",
             uplink_is_registered(na->uplink), c.allocs, c.tasks_running, c.tasks_pending, c.shims,
             readers_count(na->readers), sessions_count(na->sessions));
}

enum {
    METRIC_ALLOCS,
    METRIC_RUNNING,
    METRIC_PENDING,
    METRIC_READERS,
    METRIC_SESSIONS,
    METRIC_REGISTERED
};
static struct metric metrics[] = {
    [METRIC_ALLOCS] = {"client.allocs", PB__METRIC__KIND__GAUGE, "allocations not yet over", 0, 0,
                       0, 0},
    [METRIC_RUNNING] = {"client.tasks_running", PB__METRIC__KIND__GAUGE, "tasks that run", 0, 0, 0,
                        0},
    [METRIC_PENDING] = {"client.tasks_pending", PB__METRIC__KIND__GAUGE, "tasks to be started", 0,
                        0, 0, 0},
    [METRIC_READERS] = {"client.readers", PB__METRIC__KIND__GAUGE, "readers of files and logs", 0,
                        0, 0, 0},
    [METRIC_SESSIONS] = {"client.sessions", PB__METRIC__KIND__GAUGE,
                         "commands and connections of clients", 0, 0, 0, 0},
    [METRIC_REGISTERED] = {"client.registered", PB__METRIC__KIND__GAUGE,
                           "1 while the servers know us", 0, 0, 0, 0},
};

struct metric *nodeagent_metrics(void *self, size_t *count)
{
    struct nodeagent *na = self;
    struct runner_counts c = runner_count(na->runner);
    metric_set(&metrics[METRIC_ALLOCS], (double)c.allocs);
    metric_set(&metrics[METRIC_RUNNING], (double)c.tasks_running);
    metric_set(&metrics[METRIC_PENDING], (double)c.tasks_pending);
    metric_set(&metrics[METRIC_READERS], (double)readers_count(na->readers));
    metric_set(&metrics[METRIC_SESSIONS], (double)sessions_count(na->sessions));
    metric_set(&metrics[METRIC_REGISTERED], uplink_is_registered(na->uplink));
    *count = COUNT_OF(metrics);
    return metrics;
}
