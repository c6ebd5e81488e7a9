#include "dockwatch.h"
#include "base/log.h"
#include "dock/engine.h"
#include "fingerprint.h"
#include "helper.h"
#include "host.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARENA_CAP (1u << 16)
#define DRIVER    "docker"

struct dockwatch {
    struct worker_job job;
    struct nodeagent *agent;
    struct worker *worker; /* NULL until it is needed */
    struct timer timer;
    struct arena *arena; /* of what the node says of it */
    int collector;       /* a pidfd; -1: none was started */
    /* of the look under way */
    const char *socket;
    char version[64];
    enum err result;
    struct reason why;
};

/* NULL: there is none. */
static const char *find_engine(const char *setting)
{
    static const char *const usual[] = {"/var/run/docker.sock", "/run/podman/podman.sock"};
    if (setting[0] != '\0')
        return setting;
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        if (access(usual[i], R_OK | W_OK) == 0)
            return usual[i];
    return NULL;
}

static const char *images_dir(struct nodeagent *na)
{
    const char *dir = arena_printf(na->arena, "%s/images", na->data_dir);
    if (mkdir(dir, 0700) == 0 || errno == EEXIST)
        return dir;
    log_warn("images_not_noted", "dir=%s reason=%s", log_quote(dir), log_quote(strerror(errno)));
    return NULL;
}

void dockwatch_prepare(struct nodeagent *na)
{
    na->host.dock = na->taskdock;
    na->host.docker_socket = find_engine(na->docker_socket);
    na->host.docker = (struct docker_rules){
        .privileged = na->docker_allow_privileged,
        .volumes = na->docker_volumes,
        .devices = na->docker_devices,
        .caps = na->docker_allow_caps,
        .auth_config = na->docker_auth_config[0] == '\0' ? NULL : na->docker_auth_config,
        .images = na->docker_gc_image ? images_dir(na) : NULL,
        .pull_timeout_ms = (int64_t)na->docker_pull_timeout_ms};
}

/* ---- its health */

static void look(struct worker_job *job)
{
    struct dockwatch *w = container_of(job, struct dockwatch, job);
    w->result = engine_version(w->socket, w->version, sizeof w->version, &w->why);
}

static Pb__DriverInfo *info_of(const Pb__Node *node)
{
    for (size_t i = 0; i < node->n_drivers; i++)
        if (strcmp(node->drivers[i]->name, DRIVER) == 0)
            return node->drivers[i];
    return NULL;
}

/* What it said last stands in the arena that ends here. */
static void take_over(struct dockwatch *w)
{
    struct nodeagent *na = w->agent;
    Pb__DriverInfo *info = info_of(na->node);
    bool healthy = w->result == OK;
    const char *reason = healthy ? NULL : w->why.text;
    if (info == NULL ||
        (info->healthy == healthy &&
         (healthy ? w->arena != NULL : strcmp(info->health_description, reason) == 0)))
        return;
    struct arena *a = arena_new(ARENA_CAP);
    bool changed = info->healthy != healthy;
    host_tell_driver(a, DRIVER, reason, na->node, info);
    if (healthy)
        fingerprint_set(a, na->node, "driver." DRIVER ".version", w->version);
    info->update_time = loop_wall_ns(na->loop);
    arena_free(w->arena);
    w->arena = a;
    if (changed)
        log_info("engine", "healthy=%d reason=%s", healthy, log_quote(healthy ? "" : reason));
    uplink_node_changed(na->uplink);
}

/* ---- images */

static bool is_empty(const char *dir)
{
    struct dirent *entry;
    bool empty = true;
    DIR *d = opendir(dir);
    while (d != NULL && empty && (entry = readdir(d)) != NULL)
        empty = entry->d_name[0] == '.';
    if (d != NULL)
        closedir(d);
    return empty;
}

static bool collects(const struct dockwatch *w)
{
    struct pollfd p = {.fd = w->collector, .events = POLLIN};
    return w->collector >= 0 && poll(&p, 1, 0) == 0;
}

static void collect(struct dockwatch *w)
{
    const struct nodeagent *na = w->agent;
    const char *dir = na->host.docker.images;
    char seconds[32];
    pid_t pid;
    struct reason why;
    if (dir == NULL || is_empty(dir) || collects(w))
        return;
    snprintf(seconds, sizeof seconds, "%llu",
             (unsigned long long)na->docker_gc_image_delay_ms / 1000);
    char *const argv[] = {(char *)(uintptr_t)na->taskdock,
                          (char[]){"collect"},
                          (char *)(uintptr_t)na->host.docker_socket,
                          (char *)(uintptr_t)dir,
                          seconds,
                          NULL};
    if (w->collector >= 0)
        close(w->collector);
    w->collector = -1;
    if (helper_spawn(&pid, argv, -1, -1, &why) == OK)
        w->collector = pidfd_open(pid, 0); /* -1: it has ended already */
    else
        log_warn("images_not_collected", "reason=%s", log_quote(why.text));
}

/* ---- now and then */

static void begin_look(void *owner)
{
    struct dockwatch *w = owner;
    struct nodeagent *na = w->agent;
    w->socket = na->host.docker_socket = find_engine(na->docker_socket);
    if (w->socket == NULL) {
        w->result = reason_set(&w->why, ERR_NOT_FOUND,
                               "no engine's socket was found (setting docker_socket)");
        take_over(w);
        timer_arm(na->loop, &w->timer, na->docker_interval_ms, begin_look, w);
        return;
    }
    if (w->worker == NULL)
        w->worker = worker_new(na->loop);
    worker_submit(w->worker, &w->job);
}

static void on_look(struct worker_job *job)
{
    struct dockwatch *w = container_of(job, struct dockwatch, job);
    take_over(w);
    if (w->result == OK)
        collect(w);
    timer_arm(w->agent->loop, &w->timer, w->agent->docker_interval_ms, begin_look, w);
}

void dockwatch_start(struct nodeagent *na)
{
    if (na->docker_interval_ms == 0)
        return;
    struct dockwatch *w = na->dockwatch = xcalloc(1, sizeof *w);
    w->agent = na;
    w->collector = -1;
    w->job.work = look;
    w->job.done = on_look;
    begin_look(w);
}

void dockwatch_end(struct nodeagent *na)
{
    struct dockwatch *w = na->dockwatch;
    if (w == NULL)
        return;
    timer_cancel(na->loop, &w->timer);
    worker_free(w->worker);
    if (w->collector >= 0)
        close(w->collector);
    loop_unpost(na->loop, &w->job.done_post);
    na->node->n_drivers = na->node->n_attributes = 0; /* some lie in the arena that ends */
    arena_free(w->arena);
    free(w);
    na->dockwatch = NULL;
}
