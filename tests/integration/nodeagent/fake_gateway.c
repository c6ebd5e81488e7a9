#include "fake_gateway.h"
#include "base/id.h"
#include "base/log.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the door */

static void on_register(void *self, struct request *req)
{
    struct fake *f = self;
    const Pb__NodeRegister *m = (const Pb__NodeRegister *)request_body(req);
    Pb__HeartbeatReply reply = PB__HEARTBEAT_REPLY__INIT;
    f->node = (Pb__Node *)wire_clone(f->arena, &m->node->base);
    f->registrations++;
    f->forget = false;
    f->registered_at = f->index;
    reply.has_ttl_ms = true;
    reply.ttl_ms = 400;
    request_reply(req, &reply.base, f->index);
}

static void on_heartbeat(void *self, struct request *req)
{
    struct fake *f = self;
    Pb__HeartbeatReply reply = PB__HEARTBEAT_REPLY__INIT;
    f->heartbeats++;
    if (f->mute) {
        request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "mute");
        return;
    }
    if (f->forget || f->node == NULL) {
        request_fail(req, PB__REPLY__CODE__NOT_FOUND, "node is not known");
        return;
    }
    reply.has_ttl_ms = true;
    reply.ttl_ms = 400;
    request_reply(req, &reply.base, 0);
}

static void answer_poll(struct fake *f)
{
    struct request *req = f->parked;
    uint64_t since = f->parked_since;
    Pb__NodeNews news = PB__NODE_NEWS__INIT;
    Pb__Alloc *allocs[MAX_ALLOCS];
    Pb__Job *jobs[MAX_ALLOCS];
    if (req == NULL)
        return;
    news.allocs = allocs;
    news.jobs = jobs;
    news.has_index = true;
    news.index = f->index;
    if (since == 0)
        news.has_full = news.full = true;
    for (int i = 0; i < f->alloc_count; i++) {
        struct fake_alloc *a = &f->allocs[i];
        bool over = fake_is(f, i, PB__ALLOC__CLIENT_STATUS__COMPLETE) ||
                    fake_is(f, i, PB__ALLOC__CLIENT_STATUS__FAILED);
        if (a->alloc == NULL || (since != 0 ? a->index <= since : over))
            continue;
        allocs[news.n_allocs++] = a->alloc;
        jobs[news.n_jobs++] = a->job;
    }
    if (f->asked != NULL) {
        news.requests = &f->asked;
        news.n_requests = 1;
    }
    if (news.n_allocs == 0 && news.n_requests == 0 && !news.full)
        return;
    f->parked = NULL;
    request_reply(req, &news.base, f->index);
    f->asked = NULL;
}

static void on_gone(void *owner, struct request *req)
{
    struct fake *f = owner;
    if (f->parked == req)
        f->parked = NULL;
}

static void on_poll(void *self, struct request *req)
{
    struct fake *f = self;
    const Pb__NodePoll *m = (const Pb__NodePoll *)request_body(req);
    if (f->forget || f->node == NULL) {
        request_fail(req, PB__REPLY__CODE__NOT_FOUND, "node is not known");
        return;
    }
    if (f->parked != NULL)
        request_fail(f->parked, PB__REPLY__CODE__BUSY, "polls again");
    f->parked = req;
    f->parked_since = m->since;
    if (m->since == 0)
        f->listed_from = m->at_least;
    request_park(req, on_gone, f);
    answer_poll(f);
}

static void on_update(void *self, struct request *req)
{
    struct fake *f = self;
    const Pb__AllocUpdates *m = (const Pb__AllocUpdates *)request_body(req);
    if (f->refuse_updates) {
        request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "not now");
        return;
    }
    for (size_t i = 0; i < m->n_allocs; i++) {
        for (int k = 0; k < f->alloc_count; k++) {
            if (f->allocs[k].alloc == NULL ||
                !id_equal(f->allocs[k].alloc->id.data, m->allocs[i]->alloc_id.data))
                continue;
            if (f->allocs[k].said != NULL && m->allocs[i]->sequence < f->allocs[k].said->sequence)
                continue; /* a request may arrive twice, and late: what is older is no news */
            f->allocs[k].said = (Pb__AllocUpdate *)wire_clone(f->arena, &m->allocs[i]->base);
            f->allocs[k].updates++;
        }
    }
    request_reply(req, NULL, 0);
}

static void on_result(void *self, struct request *req)
{
    struct fake *f = self;
    const Pb__AgentResult *m = (const Pb__AgentResult *)request_body(req);
    if (f->reader_gone) {
        request_fail(req, PB__REPLY__CODE__NOT_FOUND, "the reader has gone");
        return;
    }
    if (m->sequence == f->pieces) {
        f->pieces++;
        if (m->has_data)
            strbuf_add(&f->data, m->data.data, m->data.len);
        if (m->file != NULL)
            snprintf(f->last_file, sizeof f->last_file, "%s", m->file);
        if (m->has_offset)
            f->last_offset = m->offset;
        for (size_t i = 0; i < m->n_files && f->file_count < 1024; i++)
            f->files[f->file_count++] = (Pb__FileInfo *)wire_clone(f->arena, &m->files[i]->base);
        for (size_t i = 0; i < m->n_usages && f->usage_count < MAX_ALLOCS; i++)
            f->usages[f->usage_count++] =
                (Pb__TaskUsage *)wire_clone(f->arena, &m->usages[i]->base);
        if (m->error != NULL) {
            f->error_status = m->error->http_status;
            snprintf(f->error, sizeof f->error, "%s", m->error->reason);
        }
        f->read_done |= m->last;
    }
    request_reply(req, NULL, 0);
}

/* What another node's agent would have, whole. */
static void on_http(void *self, struct request *req)
{
    struct fake *f = self;
    const Pb__HttpRequest *q = (const Pb__HttpRequest *)request_body(req);
    Pb__HttpReply reply = PB__HTTP_REPLY__INIT;
    static uint8_t stream[16] = {1};
    snprintf(f->asked_path, sizeof f->asked_path, "%s", q->path);
    f->asks++;
    reply.has_status = reply.has_data = reply.has_last = true;
    reply.status = f->http_status;
    must(f->http_held <= f->http.len);
    reply.data =
        (ProtobufCBinaryData){.len = f->http.len - f->http_held, .data = (uint8_t *)f->http.data};
    reply.last = f->http_held == 0;
    reply.has_stream_id = !reply.last;
    reply.stream_id = (ProtobufCBinaryData){.len = sizeof stream, .data = stream};
    request_reply(req, &reply.base, 0);
}

/* Never answered: see http_held. */
static void on_http_more(void *self, struct request *req) {}

static const struct method methods[] = {
    {PB__GATEWAY__METHOD__HTTP, "http", &pb__http_request__descriptor, on_http},
    {PB__GATEWAY__METHOD__HTTP_MORE, "http_more", &pb__http_more__descriptor, on_http_more},
    {PB__GATEWAY__METHOD__NODE_REGISTER, "node_register", &pb__node_register__descriptor,
     on_register},
    {PB__GATEWAY__METHOD__HEARTBEAT, "heartbeat", &pb__heartbeat__descriptor, on_heartbeat},
    {PB__GATEWAY__METHOD__ALLOC_UPDATE, "alloc_update", &pb__alloc_updates__descriptor, on_update},
    {PB__GATEWAY__METHOD__AGENT_RESULT, "agent_result", &pb__agent_result__descriptor, on_result},
    {0, NULL, NULL, NULL},
};
static const struct method poll_methods[] = {
    {PB__GATEWAY__METHOD__NODE_POLL, "node_poll", &pb__node_poll__descriptor, on_poll},
    {0, NULL, NULL, NULL},
};

void fake_open(struct fake *f)
{
    char address[128];
    struct reason why;
    struct server_options o = {.methods = methods, .self = f};
    snprintf(address, sizeof address, "ipc://%s/gateway.sock", f->dir);
    cr_assert(server_open(&f->server, f->loop, address, &o, &why) == OK, "%s", why.text);
    o.methods = poll_methods;
    snprintf(address, sizeof address, "ipc://%s/gateway-poll.sock", f->dir);
    cr_assert(server_open(&f->poll_server, f->loop, address, &o, &why) == OK, "%s", why.text);
}

void fake_close(struct fake *f)
{
    f->parked = NULL;
    server_close(f->server);
    server_close(f->poll_server);
    f->server = f->poll_server = NULL;
}

/* ---- the world around it */

struct fake *fake_new(void)
{
    struct fake *f = xcalloc(1, sizeof *f);
    log_init("fake", LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    strcpy(f->dir, "/tmp/norn-agent-XXXXXX");
    cr_assert(mkdtemp(f->dir) != NULL);
    chmod(f->dir, 0755);
    f->loop = loop_new();
    f->arena = arena_new(256 << 20);
    f->index = 10;
    fake_open(f);
    return f;
}

static const char *program(const char *name)
{
    static char path[512];
    const char *dir = getenv("NORN_BIN");
    snprintf(path, sizeof path, "%s/%s", dir == NULL ? "build/bin" : dir, name);
    return path;
}

void fake_start_agent(struct fake *f)
{
    char gateway[128], poll[128], data[128];
    snprintf(gateway, sizeof gateway, "ipc://%s/gateway.sock", f->dir);
    snprintf(poll, sizeof poll, "ipc://%s/gateway-poll.sock", f->dir);
    snprintf(data, sizeof data, "%s/data", f->dir);
    const char *argv[32] = {program("nodeagent"),
                            "--gateway",
                            gateway,
                            "--gateway-poll",
                            poll,
                            "--exit-with-parent",
                            "true",
                            "--data-dir",
                            data,
                            "--name",
                            "tester",
                            "--meta",
                            "rack=r1"};
    int n = 13;
    for (int i = 0; f->extra[i] != NULL; i++)
        argv[n++] = f->extra[i];
    f->agent = fork();
    cr_assert(f->agent >= 0);
    if (f->agent == 0) {
        char log[128];
        snprintf(log, sizeof log, "%s/agent.log", f->dir);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        dup2(fd, 1);
        dup2(fd, 2);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
}

void fake_kill_agent(struct fake *f, int number)
{
    if (f->agent <= 0)
        return;
    kill(f->agent, number);
    int status;
    while (waitpid(f->agent, &status, WNOHANG) == 0)
        fake_run(f, 5);
    f->agent = 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

const char *fake_mark(void)
{
    static char mark[32];
    snprintf(mark, sizeof mark, "90%07d", getpid());
    return mark;
}

int fake_count_processes(const char *what)
{
    int count = 0;
    struct dirent *entry;
    DIR *d = opendir("/proc");
    while ((entry = readdir(d)) != NULL) {
        char path[300], text[8192];
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        int fd = open(path, O_RDONLY);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
        if (fd >= 0)
            close(fd);
        count += n > 0 && memmem(text, (size_t)n, what, strlen(what)) != NULL;
    }
    closedir(d);
    return count;
}

long fake_rss_kb(int pid)
{
    char line[256], path[64];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmRSS: %ld", &kb) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kb;
}

static bool all_over(struct fake *f)
{
    for (int i = 0; i < f->alloc_count; i++)
        if (f->allocs[i].alloc != NULL && !fake_is(f, i, PB__ALLOC__CLIENT_STATUS__COMPLETE) &&
            !fake_is(f, i, PB__ALLOC__CLIENT_STATUS__FAILED))
            return false;
    return true;
}

void fake_free(struct fake *f)
{
    f->refuse_updates = f->forget = f->mute = false;
    if (f->agent == 0)
        fake_start_agent(f);
    for (int i = 0; i < f->alloc_count; i++)
        if (f->allocs[i].alloc != NULL)
            fake_stop(f, i);
    bool over = fake_until(f, all_over, 10000);
    fake_kill_agent(f, SIGTERM);
    fake_close(f);
    if (over)
        nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    cr_expect(over, "not all ended; see %s", f->dir);
    strbuf_free(&f->data);
    strbuf_free(&f->http);
    arena_free(f->arena);
    loop_free(f->loop);
    free(f);
}

struct waiting {
    struct fake *fake;
    bool (*done)(struct fake *f);
    bool reached;
    uint64_t deadline_ms;
    struct timer timer;
};

static void look(void *owner)
{
    struct waiting *w = owner;
    w->reached = w->done != NULL && w->done(w->fake);
    if (w->reached || loop_now_ms(w->fake->loop) >= w->deadline_ms)
        loop_stop(w->fake->loop);
    else
        timer_arm(w->fake->loop, &w->timer, 2, look, w);
}

bool fake_until(struct fake *f, bool (*done)(struct fake *f), int ms)
{
    struct waiting w = {.fake = f, .done = done};
    w.deadline_ms = loop_now_ms(f->loop) + (uint64_t)ms;
    timer_arm(f->loop, &w.timer, 1, look, &w);
    loop_run(f->loop);
    return w.reached;
}

void fake_run(struct fake *f, int ms)
{
    fake_until(f, NULL, ms);
}

/* ---- jobs and allocations */

Pb__Task *fake_add_task(struct fake *f, Pb__Job *job, const char *name, const char *driver,
                        const char *config_json)
{
    Pb__TaskGroup *g = job->task_groups[0];
    Pb__Task *t = arena_alloc(f->arena, sizeof(Pb__Task));
    pb__task__init(t);
    t->name = arena_strdup(f->arena, name);
    t->driver = arena_strdup(f->arena, driver);
    t->config_json = arena_strdup(f->arena, config_json);
    t->has_kill_timeout_ns = true;
    t->kill_timeout_ns = 1000000000;
    g->tasks[g->n_tasks++] = t;
    return t;
}

Pb__Job *fake_job(struct fake *f, const char *type, const char *driver, const char *config_json)
{
    static uint64_t number;
    Pb__Job *job = arena_alloc(f->arena, sizeof(Pb__Job));
    pb__job__init(job);
    Pb__TaskGroup *g = arena_alloc(f->arena, sizeof(Pb__TaskGroup));
    pb__task_group__init(g);
    job->id = arena_printf(f->arena, "job-%llu", (unsigned long long)++number);
    job->name = job->id;
    job->type = arena_strdup(f->arena, type);
    job->has_create_index = true;
    job->create_index = 100 + number;
    job->task_groups = arena_array(f->arena, Pb__TaskGroup *, 1);
    job->task_groups[0] = g;
    job->n_task_groups = 1;
    g->name = arena_strdup(f->arena, "g");
    g->tasks = arena_array(f->arena, Pb__Task *, 8);
    g->restart_policy = arena_alloc(f->arena, sizeof(Pb__RestartPolicy));
    pb__restart_policy__init(g->restart_policy);
    g->restart_policy->has_attempts = true; /* none */
    g->restart_policy->mode = arena_strdup(f->arena, "fail");
    fake_add_task(f, job, "t", driver, config_json);
    return job;
}

int fake_place(struct fake *f, Pb__Job *job)
{
    struct id id = id_new();
    Pb__Alloc *a = arena_alloc(f->arena, sizeof(Pb__Alloc));
    pb__alloc__init(a);
    a->has_id = a->has_desired = a->has_job_create_index = a->has_client_status = true;
    a->id = wire_id(f->arena, id.bytes);
    a->job_id = job->id;
    a->job_create_index = job->create_index;
    a->task_group = job->task_groups[0]->name;
    a->desired = PB__ALLOC__DESIRED__RUN;
    a->client_status = PB__ALLOC__CLIENT_STATUS__PENDING;
    a->has_deployment_id = f->deployment.len > 0;
    a->deployment_id = f->deployment;
    a->has_previous_alloc = f->previous.len > 0;
    a->previous_alloc = f->previous;
    if (f->grant != NULL) {
        a->grants = arena_array(f->arena, Pb__TaskGrant *, 1);
        a->grants[a->n_grants++] = f->grant;
    }
    if (f->port != NULL) {
        a->ports = arena_array(f->arena, Pb__Port *, 1);
        a->ports[a->n_ports++] = f->port;
    }
    cr_assert(f->alloc_count < MAX_ALLOCS);
    f->allocs[f->alloc_count++] = (struct fake_alloc){.alloc = a, .job = job, .index = ++f->index};
    answer_poll(f);
    return f->alloc_count - 1;
}

void fake_tell(struct fake *f, int i)
{
    f->allocs[i].index = ++f->index;
    answer_poll(f);
}

void fake_stop(struct fake *f, int i)
{
    f->allocs[i].alloc->desired = PB__ALLOC__DESIRED__STOP;
    fake_tell(f, i);
}

void fake_remove(struct fake *f, int i)
{
    f->allocs[i].alloc = NULL;
    f->forget = true;
}

bool fake_is(const struct fake *f, int i, Pb__Alloc__ClientStatus status)
{
    return f->allocs[i].said != NULL && f->allocs[i].said->client_status == status;
}

static int awaited;
static Pb__Alloc__ClientStatus awaited_status;
static bool has_status(struct fake *f)
{
    return fake_is(f, awaited, awaited_status);
}

bool fake_await(struct fake *f, int i, Pb__Alloc__ClientStatus status, int ms)
{
    awaited = i;
    awaited_status = status;
    return fake_until(f, has_status, ms);
}

const Pb__TaskState *fake_task(const struct fake *f, int i, const char *name)
{
    const Pb__AllocUpdate *u = f->allocs[i].said;
    for (size_t k = 0; u != NULL && k < u->n_tasks; k++)
        if (strcmp(u->tasks[k]->name, name) == 0)
            return u->tasks[k];
    return NULL;
}

static bool is_registered(struct fake *f)
{
    return f->node != NULL;
}

const char *fake_attribute(struct fake *f, const char *key)
{
    cr_assert(fake_until(f, is_registered, 10000));
    for (size_t i = 0; i < f->node->n_attributes; i++)
        if (strcmp(f->node->attributes[i]->key, key) == 0)
            return f->node->attributes[i]->value;
    return NULL;
}

const char *fake_events(struct fake *f, int i, const char *name)
{
    const Pb__TaskState *t = fake_task(f, i, name);
    char *all = arena_strdup(f->arena, "");
    for (size_t k = 0; t != NULL && k < t->n_events; k++)
        all = arena_printf(f->arena, "%s%s%s", all, k == 0 ? "" : ",", t->events[k]->type);
    return all;
}

const char *fake_path(struct fake *f, int i, const char *below)
{
    char id[ID_TEXT_SIZE];
    id_format(f->allocs[i].alloc->id.data, id);
    return arena_printf(f->arena, "%s/data/alloc/%s/%s", f->dir, id, below);
}

const char *fake_content(struct fake *f, int i, const char *below)
{
    static char text[65536];
    FILE *file = fopen(fake_path(f, i, below), "re");
    size_t len = 0;
    if (file != NULL) {
        len = fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
    text[len] = '\0';
    return arena_strdup(f->arena, text); /* asked for every two milliseconds: no more than it is */
}

static size_t wanted;
static bool has_read(struct fake *f)
{
    return f->read_done || f->data.len >= wanted;
}

bool fake_read(struct fake *f, Pb__AgentRequest request, size_t enough, int ms)
{
    struct id id = id_new();
    strbuf_clear(&f->data);
    f->file_count = f->usage_count = 0;
    f->pieces = f->error_status = 0;
    f->error[0] = f->last_file[0] = '\0';
    f->read_done = f->reader_gone = false;
    request.has_id = true;
    request.id = wire_id(f->arena, id.bytes);
    f->asked = (Pb__AgentRequest *)wire_clone(f->arena, &request.base);
    answer_poll(f);
    wanted = enough == 0 ? SIZE_MAX : enough;
    return fake_until(f, has_read, ms);
}
