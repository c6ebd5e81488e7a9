#include "store_process.h"
#include "base/clock.h"
#include "base/log.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define METHOD(name) PB__JOBSTORE__METHOD__##name

extern char **environ;

struct store_process *store_process_new(void)
{
    struct store_process *p = xcalloc(1, sizeof *p);
    log_init("test", LOG_ERROR);
    strcpy(p->dir, "/tmp/norn-test-XXXXXX");
    cr_assert_not_null(mkdtemp(p->dir));
    snprintf(p->data, sizeof p->data, "%s/data", p->dir);
    snprintf(p->addr, sizeof p->addr, "ipc://%s/js.sock", p->dir);
    snprintf(p->poll_addr, sizeof p->poll_addr, "ipc://%s/jsp.sock", p->dir);
    p->arena = arena_new((size_t)1 << 30);
    return p;
}

int store_process_wait(struct store_process *p)
{
    int status = 0;
    if (p->pid > 0)
        waitpid(p->pid, &status, 0);
    p->pid = 0;
    return status;
}

bool store_process_ended(struct store_process *p, unsigned within_ms, int *status)
{
    uint64_t until = clock_monotonic_ms() + within_ms;
    while (p->pid > 0 && waitpid(p->pid, status, WNOHANG) != p->pid) {
        if (clock_monotonic_ms() > until)
            return false;
        usleep(2000);
    }
    p->pid = 0;
    return true;
}

void store_process_kill(struct store_process *p, int signal)
{
    if (p->pid > 0)
        kill(p->pid, signal);
    store_process_wait(p);
}

void store_process_free(struct store_process *p)
{
    char command[128];
    store_process_kill(p, SIGKILL);
    snprintf(command, sizeof command, "rm -rf %s", p->dir);
    cr_assert_eq(system(command), 0);
    arena_free(p->arena);
    free(p);
}

void store_process_spawn(struct store_process *p, const char *fault)
{
    const char *argv[40] = {getenv("NORN_JOBSTORE"),
                            "--listen",
                            p->addr,
                            "--listen-poll",
                            p->poll_addr,
                            "--data-dir",
                            p->data};
    char log[128];
    size_t n = 7;
    for (size_t i = 0; p->extra[i] != NULL; i++)
        argv[n++] = p->extra[i];
    cr_assert_not_null(argv[0], "NORN_JOBSTORE must name the program");
    if (fault != NULL)
        setenv("NORN_FAULT", fault, 1);
    else
        unsetenv("NORN_FAULT");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    snprintf(log, sizeof log, "%s/log", p->dir);
    posix_spawn_file_actions_addopen(&actions, 2, log, O_CREAT | O_WRONLY | O_APPEND, 0600);
    cr_assert_eq(posix_spawn(&p->pid, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ),
                 0);
    posix_spawn_file_actions_destroy(&actions);
    unsetenv("NORN_FAULT");
}

bool store_process_start(struct store_process *p, const char *fault)
{
    store_process_spawn(p, fault);
    uint64_t until = clock_monotonic_ms() + 20000;
    while (clock_monotonic_ms() < until) {
        struct response r =
            store_ask(p, METHOD(STATUS), NULL, &pb__jobstore_status__descriptor, 200, NULL);
        if (r.code == PB__REPLY__CODE__OK)
            return true;
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid) {
            p->pid = 0;
            return false;
        }
        usleep(5000);
    }
    cr_assert_fail("jobstore does not answer");
    return false;
}

struct response store_ask(struct store_process *p, uint32_t method, const ProtobufCMessage *body,
                          const ProtobufCMessageDescriptor *reply, uint32_t budget_ms,
                          const uint8_t *id)
{
    struct response r = {0};
    struct reason why;
    struct call_options o = {
        .method = method, .body = body, .reply = reply, .budget_ms = budget_ms, .id = id};
    cr_assert_eq(net_call_wait(p->addr, &o, p->arena, &r, &why), OK, "%s", why.text);
    return r;
}

Pb__Command *command_register(struct arena *a, const char *job_id, uint32_t count)
{
    Pb__Command *cmd = arena_alloc(a, sizeof *cmd);
    Pb__JobRegister *body = arena_alloc(a, sizeof *body);
    Pb__Job *job = arena_alloc(a, sizeof *job);
    Pb__TaskGroup *g = arena_alloc(a, sizeof *g);
    pb__command__init(cmd);
    pb__job_register__init(body);
    pb__job__init(job);
    pb__task_group__init(g);
    g->name = arena_strdup(a, "g");
    g->has_count = true;
    g->count = count;
    job->id = arena_strdup(a, job_id);
    job->type = arena_strdup(a, "batch");
    job->n_task_groups = 1;
    job->task_groups = arena_array(a, Pb__TaskGroup *, 1);
    job->task_groups[0] = g;
    body->job = job;
    cmd->body_case = PB__COMMAND__BODY_JOB_REGISTER;
    cmd->job_register = body;
    return cmd;
}

struct response store_register(struct store_process *p, const char *job_id, uint32_t count,
                               const uint8_t *request_id)
{
    return store_ask(p, METHOD(APPLY), &command_register(p->arena, job_id, count)->base,
                     &pb__outcome__descriptor, 5000, request_id);
}

bool store_has_job(struct store_process *p, const char *job_id, uint64_t *version)
{
    Pb__Key key = PB__KEY__INIT;
    key.has_table = true;
    key.table = PB__TABLE__NAME__JOBS;
    key.name = arena_strdup(p->arena, job_id);
    struct response r = store_ask(p, METHOD(GET), &key.base, &pb__object__descriptor, 5000, NULL);
    cr_assert(r.code == PB__REPLY__CODE__OK || r.code == PB__REPLY__CODE__NOT_FOUND, "%s",
              r.reason);
    if (r.code == PB__REPLY__CODE__OK && version != NULL)
        *version = ((const Pb__Object *)r.body)->job->version;
    return r.code == PB__REPLY__CODE__OK;
}

/* ---- load */

#define MOST_JOBS 200000

struct flight {
    struct load *load;
    unsigned number;
};

struct load {
    struct store_process *process;
    struct loop *loop;
    struct client *client;
    struct flight *flights;
    struct timer end;
    unsigned width, next, under_way;
    bool stopping;
    uint8_t *acknowledged;
};

static void fly(struct flight *f);

static void on_landed(void *owner, const struct response *r)
{
    struct flight *f = owner;
    struct load *l = f->load;
    l->under_way--;
    if (r->code == PB__REPLY__CODE__OK)
        l->acknowledged[f->number] = 1;
    else if (r->code != PB__REPLY__CODE__NOT_LEADER) /* that passes: it has just started */
        l->stopping = true;
    if (!l->stopping)
        fly(f);
    else if (l->under_way == 0)
        loop_stop(l->loop);
}

static void fly(struct flight *f)
{
    struct load *l = f->load;
    char id[32];
    cr_assert_lt(l->next, MOST_JOBS);
    f->number = l->next++;
    snprintf(id, sizeof id, "j-%u", f->number);
    struct arena *a = arena_new(1 << 20);
    struct call_options o = {.method = METHOD(APPLY),
                             .body = &command_register(a, id, 1)->base,
                             .reply = &pb__outcome__descriptor,
                             .budget_ms = 3000,
                             .done = on_landed,
                             .owner = f};
    l->under_way++;
    client_call(l->client, &o);
    arena_free(a);
}

struct load *load_new(struct store_process *p, unsigned width)
{
    struct load *l = xcalloc(1, sizeof *l);
    l->process = p;
    l->width = width;
    l->flights = xcalloc(width, sizeof *l->flights);
    l->acknowledged = xcalloc(MOST_JOBS, 1);
    return l;
}

static void on_end(void *owner)
{
    struct load *l = owner;
    l->stopping = true;
}

void load_run(struct load *l, uint64_t ms)
{
    struct reason why;
    l->loop = loop_new();
    l->stopping = false;
    cr_assert_eq(client_open(&l->client, l->loop, l->process->addr, &why), OK);
    for (unsigned i = 0; i < l->width; i++) {
        l->flights[i].load = l;
        fly(&l->flights[i]);
    }
    timer_arm(l->loop, &l->end, ms, on_end, l);
    loop_run(l->loop);
    timer_cancel(l->loop, &l->end);
    client_close(l->client);
    loop_free(l->loop);
}

/* By lists of all jobs, since asking one by one takes long. */
size_t load_check(struct load *l)
{
    uint8_t *found = xcalloc(MOST_JOBS, 1);
    size_t acknowledged = 0;
    Pb__List q = PB__LIST__INIT;
    q.has_table = true;
    q.table = PB__TABLE__NAME__JOBS;
    do {
        struct response r =
            store_ask(l->process, METHOD(LIST), &q.base, &pb__objects__descriptor, 10000, NULL);
        cr_assert_eq(r.code, PB__REPLY__CODE__OK, "%s", r.reason);
        const Pb__Objects *out = (const Pb__Objects *)r.body;
        for (size_t i = 0; i < out->n_objects; i++)
            if (strncmp(out->objects[i]->job->id, "j-", 2) == 0)
                found[atoi(out->objects[i]->job->id + 2)] = 1;
        q.after = out->next;
    } while (q.after != NULL);
    for (unsigned i = 0; i < l->next; i++) {
        cr_assert(!l->acknowledged[i] || found[i], "job %u was acknowledged and is lost", i);
        acknowledged += l->acknowledged[i];
    }
    free(found);
    return acknowledged;
}

void load_free(struct load *l)
{
    free(l->flights);
    free(l->acknowledged);
    free(l);
}
