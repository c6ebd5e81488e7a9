/* jobstore, evalbroker, controller and gateway as processes; the test is the agents and the
 * scheduler. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "command.pb-c.h"
#include "evalbroker.pb-c.h"
#include "gateway.pb-c.h"
#include "jobstore.pb-c.h"
#include "net/net.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBSTORE, BROKER, CONTROLLER, GATEWAY, DAEMONS };
static const char *const names[DAEMONS] = {"jobstore", "evalbroker", "controller", "gateway"};

static struct {
    char dir[64];
    pid_t pids[DAEMONS];
    struct arena *arena;
} suite;

struct agent {
    uint8_t id[ID_SIZE], secret[ID_SIZE];
};

static void start(int which)
{
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    suite.pids[which] = pid;
    if (pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char program[512], config[128], log[128];
    snprintf(program, sizeof(program), "%s/%s", BIN_DIR, names[which]);
    snprintf(config, sizeof(config), "%s/suite.conf", suite.dir);
    snprintf(log, sizeof(log), "%s/%s.log", suite.dir, names[which]);
    must(freopen(log, "a", stderr) != NULL);
    execl(program, names[which], "--config", config, (char *)NULL);
    _exit(127);
}

static void kill_hard(int which)
{
    kill(suite.pids[which], SIGKILL);
    waitpid(suite.pids[which], NULL, 0);
}

static void set_up(void)
{
    suite.arena = arena_new((size_t)1 << 30);
    strcpy(suite.dir, "/tmp/norn-agents-XXXXXX");
    must(mkdtemp(suite.dir) != NULL);
    const char *d = suite.dir;
    FILE *f = fopen(arena_printf(suite.arena, "%s/suite.conf", d), "w");
    fprintf(f,
            "jobstore: { listen = \"ipc://%s/jobstore.sock\"; listen_poll = "
            "\"ipc://%s/jobstore-poll.sock\"; ",
            d, d);
    fprintf(f, "data_dir = \"%s/data\"; map_size = \"1GiB\"; };\n", d);
    for (int i = BROKER; i < DAEMONS; i++) {
        fprintf(f, "%s: { listen = \"ipc://%s/%s.sock\"; ", names[i], d, names[i]);
        fprintf(f,
                "jobstore = \"ipc://%s/jobstore.sock\"; jobstore_poll = "
                "\"ipc://%s/jobstore-poll.sock\"; ",
                d, d);
        if (i == CONTROLLER)
            fprintf(f, "min_heartbeat_ttl_ms = 700; heartbeat_grace_ms = 800; ");
        if (i == GATEWAY)
            fprintf(f,
                    "listen_poll = \"ipc://%s/gateway-poll.sock\"; http = \"127.0.0.1:0\"; "
                    "controller = \"ipc://%s/controller.sock\"; ",
                    d, d);
        fprintf(f, "};\n");
    }
    fclose(f);
    for (int i = 0; i < DAEMONS; i++)
        start(i);
}

static void tear_down(void)
{
    for (int i = 0; i < DAEMONS; i++)
        kill_hard(i);
    if (getenv("KEEP") == NULL)
        must(system(arena_printf(suite.arena, "rm -rf '%s'", suite.dir)) == 0);
    arena_free(suite.arena);
}

TestSuite(door, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- requests. What is asked of a daemon that is just starting is asked again. */

static struct response ask(const char *socket, uint32_t method, const ProtobufCMessage *body,
                           const ProtobufCMessageDescriptor *reply)
{
    struct response r;
    struct reason why;
    const char *addr = arena_printf(suite.arena, "ipc://%s/%s.sock", suite.dir, socket);
    struct call_options o = {
        .method = method, .body = body, .reply = reply, .budget_ms = 10000, .retry = true};
    uint64_t end = clock_monotonic_ms() + 10000;
    do {
        cr_assert_eq(net_call_wait(addr, &o, suite.arena, &r, &why), OK, "%s", why.text);
    } while ((r.code == PB__REPLY__CODE__UNAVAILABLE || r.code == PB__REPLY__CODE__NOT_LEADER) &&
             clock_monotonic_ms() < end && usleep(20000) == 0);
    return r;
}

static const Pb__Outcome *propose(Pb__Command *c)
{
    struct response r =
        ask("jobstore", PB__JOBSTORE__METHOD__APPLY, &c->base, &pb__outcome__descriptor);
    cr_assert_eq(r.code, PB__REPLY__CODE__OK, "%s", r.reason);
    const Pb__Outcome *o = (const Pb__Outcome *)r.body;
    cr_assert_eq(o->code, PB__OUTCOME__CODE__APPLIED, "%s", o->reason);
    return o;
}

static const Pb__Object *get(int table, const uint8_t *id)
{
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = 1;
    key.table = (Pb__Table__Name)table;
    key.id = wire_id(suite.arena, id);
    struct response r =
        ask("jobstore", PB__JOBSTORE__METHOD__GET, &key.base, &pb__object__descriptor);
    cr_assert_eq(r.code, PB__REPLY__CODE__OK, "%s", r.reason);
    return (const Pb__Object *)r.body;
}

static Pb__Reply__Code register_agent(const struct agent *g)
{
    Pb__Node n = PB__NODE__INIT;
    Pb__Amount total = PB__AMOUNT__INIT;
    total.has_cpu = total.has_memory_mb = total.has_disk_mb = 1;
    total.cpu = 4000, total.memory_mb = 8192, total.disk_mb = 100000;
    n.has_id = n.has_secret_id = n.has_status = 1;
    n.id = wire_id(suite.arena, g->id);
    n.secret_id = wire_id(suite.arena, g->secret);
    n.name = n.datacenter = (char *)"dc1";
    n.status = PB__NODE__STATUS__READY;
    n.total = &total;
    Pb__NodeRegister reg = PB__NODE_REGISTER__INIT;
    reg.node = &n;
    return ask("gateway", PB__GATEWAY__METHOD__NODE_REGISTER, &reg.base,
               &pb__heartbeat_reply__descriptor)
        .code;
}

static struct agent an_agent(void)
{
    struct agent g;
    struct id id = id_new(), secret = id_new();
    memcpy(g.id, id.bytes, ID_SIZE);
    memcpy(g.secret, secret.bytes, ID_SIZE);
    cr_assert_eq(register_agent(&g), PB__REPLY__CODE__OK);
    return g;
}

static Pb__Reply__Code beat(const struct agent *g)
{
    Pb__Heartbeat h = PB__HEARTBEAT__INIT;
    h.has_node_id = h.has_secret_id = 1;
    h.node_id = wire_id(suite.arena, g->id);
    h.secret_id = wire_id(suite.arena, g->secret);
    return ask("gateway", PB__GATEWAY__METHOD__HEARTBEAT, &h.base, &pb__heartbeat_reply__descriptor)
        .code;
}

static const Pb__NodeNews *poll(const struct agent *g, uint64_t since, uint32_t wait_ms)
{
    Pb__NodePoll p = PB__NODE_POLL__INIT;
    p.has_node_id = p.has_secret_id = p.has_since = p.has_wait_ms = 1;
    p.node_id = wire_id(suite.arena, g->id);
    p.secret_id = wire_id(suite.arena, g->secret);
    p.since = since;
    p.wait_ms = wait_ms;
    struct response r =
        ask("gateway-poll", PB__GATEWAY__METHOD__NODE_POLL, &p.base, &pb__node_news__descriptor);
    cr_assert_eq(r.code, PB__REPLY__CODE__OK, "%s", r.reason);
    return (const Pb__NodeNews *)r.body;
}

static Pb__Reply__Code report(const struct agent *g, const uint8_t *alloc,
                              Pb__Alloc__ClientStatus status)
{
    Pb__AllocUpdate u = PB__ALLOC_UPDATE__INIT, *list = &u;
    u.has_alloc_id = u.has_client_status = 1;
    u.alloc_id = wire_id(suite.arena, alloc);
    u.client_status = status;
    Pb__AllocUpdates all = PB__ALLOC_UPDATES__INIT;
    all.has_node_id = all.has_secret_id = 1;
    all.node_id = wire_id(suite.arena, g->id);
    all.secret_id = wire_id(suite.arena, g->secret);
    all.allocs = &list;
    all.n_allocs = 1;
    return ask("gateway", PB__GATEWAY__METHOD__ALLOC_UPDATE, &all.base, NULL).code;
}

static const Pb__Delivery *dequeue(void)
{
    char *types[] = {(char *)"service"};
    Pb__Dequeue d = PB__DEQUEUE__INIT;
    d.types = types;
    d.n_types = 1;
    d.has_max = d.has_wait_ms = 1;
    d.max = 5;
    d.wait_ms = 8000;
    struct response r =
        ask("evalbroker", PB__EVALBROKER__METHOD__DEQUEUE, &d.base, &pb__deliveries__descriptor);
    cr_assert_eq(r.code, PB__REPLY__CODE__OK, "%s", r.reason);
    const Pb__Deliveries *all = (const Pb__Deliveries *)r.body;
    cr_assert_eq(all->n_deliveries, 1);
    return all->deliveries[0];
}

static void register_job(const char *name)
{
    Pb__Job job = PB__JOB__INIT;
    Pb__TaskGroup group = PB__TASK_GROUP__INIT, *groups[] = {&group};
    Pb__Task task = PB__TASK__INIT, *tasks[] = {&task};
    job.id = job.name = (char *)name;
    job.namespace_ = (char *)"default";
    job.type = (char *)"service";
    job.has_priority = 1, job.priority = 50;
    job.task_groups = groups, job.n_task_groups = 1;
    group.name = (char *)"g";
    group.has_count = 1, group.count = 1;
    group.tasks = tasks, group.n_tasks = 1;
    task.name = (char *)"t";
    task.driver = (char *)"mock";
    Pb__JobRegister reg = PB__JOB_REGISTER__INIT;
    reg.job = &job;
    Pb__Command c = PB__COMMAND__INIT;
    c.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    c.job_register = &reg;
    propose(&c);
}

/* What a scheduler would plan for the evaluation: one allocation on g. */
static void place(const Pb__Eval *e, const struct agent *g)
{
    Pb__JobKey key = PB__JOB_KEY__INIT, *keys[] = {&key};
    key.namespace_ = e->namespace_;
    key.id = e->job_id;
    Pb__JobViewsRequest q = PB__JOB_VIEWS_REQUEST__INIT;
    q.jobs = keys, q.n_jobs = 1;
    struct response r =
        ask("jobstore", PB__JOBSTORE__METHOD__JOB_VIEWS, &q.base, &pb__job_views__descriptor);
    const Pb__Job *job = ((const Pb__JobViews *)r.body)->jobs[0]->job;
    Pb__Amount amount = PB__AMOUNT__INIT;
    amount.has_cpu = 1, amount.cpu = 10;
    Pb__Placement p = PB__PLACEMENT__INIT, *list = &p;
    p.task_group = (char *)"g";
    p.has_node_id = 1;
    p.node_id = wire_id(suite.arena, g->id);
    p.resources = &amount;
    Pb__Plan plan = PB__PLAN__INIT;
    plan.has_eval_id = plan.has_job_create_index = plan.has_job_version = plan.has_status = 1;
    plan.eval_id = e->id;
    plan.has_snapshot_index = 1;
    plan.snapshot_index = e->modify_index;
    plan.namespace_ = e->namespace_;
    plan.job_id = e->job_id;
    plan.job_version = job->version;
    plan.job_create_index = job->create_index;
    plan.status = PB__EVAL__STATUS__COMPLETE;
    plan.placements = &list, plan.n_placements = 1;
    Pb__PlanApply apply = PB__PLAN_APPLY__INIT;
    apply.plan = &plan;
    Pb__Command c = PB__COMMAND__INIT;
    c.body_case = PB__COMMAND__BODY_PLAN_APPLY;
    c.plan_apply = &apply;
    cr_assert_eq(propose(&c)->placed, 1);
}

static void wait_for_status(const struct agent *g, Pb__Node__Status status, bool beating)
{
    uint64_t end = clock_monotonic_ms() + 10000;
    while (get(PB__TABLE__NAME__NODES, g->id)->node->status != status) {
        cr_assert_lt(clock_monotonic_ms(), end);
        if (beating)
            cr_assert_eq(beat(g), PB__REPLY__CODE__OK);
        usleep(50000);
    }
}

/* ---- tests */

Test(door, only_who_is_registered_and_has_the_secret_comes_in)
{
    struct agent g = {.id = {1}, .secret = {2}};
    cr_assert_eq(beat(&g), PB__REPLY__CODE__NOT_FOUND);
    g = an_agent();
    cr_assert_eq(register_agent(&g), PB__REPLY__CODE__OK, "again is fine");
    cr_assert_eq(beat(&g), PB__REPLY__CODE__OK);
    g.secret[3] ^= 1;
    cr_assert_eq(beat(&g), PB__REPLY__CODE__DENIED);
    cr_assert_eq(register_agent(&g), PB__REPLY__CODE__DENIED);
    cr_assert_eq(report(&g, g.id, PB__ALLOC__CLIENT_STATUS__RUNNING), PB__REPLY__CODE__DENIED);
    kill_hard(GATEWAY);
    start(GATEWAY);
    cr_assert_eq(beat(&g), PB__REPLY__CODE__DENIED,
                 "a gateway that never met it asks for its secret");
    g.secret[3] ^= 1;
    cr_assert_eq(beat(&g), PB__REPLY__CODE__OK);
}

static Pb__Reply__Code ask_http(const char *method, const char *path, uint32_t *status)
{
    Pb__HttpRequest q = PB__HTTP_REQUEST__INIT;
    q.method = arena_strdup(suite.arena, method);
    q.path = arena_strdup(suite.arena, path);
    q.has_of_agent = q.of_agent = true;
    struct response r =
        ask("gateway", PB__GATEWAY__METHOD__HTTP, &q.base, &pb__http_reply__descriptor);
    *status = r.code == PB__REPLY__CODE__OK ? ((const Pb__HttpReply *)r.body)->status : 0;
    return r.code;
}

Test(door, an_agent_may_ask_for_the_disk_of_an_allocation_and_nothing_else)
{
#define ALLOCATION "/v1/client/allocation/01234567-0123-0123-0123-0123456789ab"
    static const char *const refused[][2] = {
        {"GET", "/v1/jobs"},
        {"PUT", ALLOCATION "/snapshot"},
        {"GET", ALLOCATION "/stats"},
        {"GET", ALLOCATION "/snapshot/"},
        {"GET", ALLOCATION "/x/snapshot"},
        {"GET", "/v1/client/allocation/"},
        {"GET", "/v1/client/allocation//snapshot"},
    };
    uint32_t status;
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        cr_expect_eq(ask_http(refused[i][0], refused[i][1], &status), PB__REPLY__CODE__DENIED, "%s",
                     refused[i][1]);
    cr_expect_eq(ask_http("GET", ALLOCATION "/snapshot", &status), PB__REPLY__CODE__OK);
    cr_expect_eq(status, 404u, "unknown, but asked for: %u", status);
}

Test(door, a_silent_node_is_down_and_one_heard_again_is_ready)
{
    struct agent quiet = an_agent(), loud = an_agent();
    uint64_t end = clock_monotonic_ms() + 10000;
    while (get(PB__TABLE__NAME__NODES, quiet.id)->node->status != PB__NODE__STATUS__DOWN) {
        cr_assert_lt(clock_monotonic_ms(), end);
        beat(&loud);
        usleep(50000);
    }
    cr_assert_eq(get(PB__TABLE__NAME__NODES, loud.id)->node->status, PB__NODE__STATUS__READY);
    kill_hard(CONTROLLER);
    start(CONTROLLER);
    wait_for_status(&quiet, PB__NODE__STATUS__READY, true);
}

Test(door, an_allocation_comes_with_its_job_and_its_report_is_committed)
{
    struct agent g = an_agent(), other = an_agent();
    const Pb__NodeNews *news = poll(&g, 0, 8000);
    cr_assert(news->full && news->n_allocs == 0);
    uint64_t since = news->index;
    register_job("web");
    place(dequeue()->eval, &g);
    news = poll(&g, since, 8000);
    cr_assert_eq(news->n_allocs, 1);
    cr_assert_eq(news->n_jobs, 1);
    cr_assert_str_eq(news->jobs[0]->id, "web");
    cr_assert_not(news->full);
    const uint8_t *alloc = news->allocs[0]->id.data;
    cr_assert_eq(poll(&g, since, 8000)->n_allocs, 1, "the answer may have been lost");
    cr_assert_eq(poll(&g, news->index, 50)->n_allocs, 0);
    cr_assert_eq(poll(&other, 0, 50)->n_allocs, 0);

    cr_assert_eq(report(&other, alloc, PB__ALLOC__CLIENT_STATUS__FAILED), PB__REPLY__CODE__OK);
    cr_assert_neq(get(PB__TABLE__NAME__ALLOCS, alloc)->alloc->client_status,
                  PB__ALLOC__CLIENT_STATUS__FAILED, "it is not its own");
    cr_assert_eq(report(&g, alloc, PB__ALLOC__CLIENT_STATUS__RUNNING), PB__REPLY__CODE__OK);
    cr_assert_eq(get(PB__TABLE__NAME__ALLOCS, alloc)->alloc->client_status,
                 PB__ALLOC__CLIENT_STATUS__RUNNING);

    kill_hard(GATEWAY);
    start(GATEWAY);
    news = poll(&g, news->index, 8000);
    cr_assert(news->full, "a new gateway does not know what the agent missed");
    cr_assert_eq(news->n_allocs, 1);
    cr_assert_eq(news->n_jobs, 1);
    report(&g, alloc, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    cr_assert_eq(poll(&g, 0, 8000)->n_allocs, 0, "what is over for it is left out");
}

/* Each request here has a connection of its own, so each worker dies after its answer. */
Test(door, what_a_worker_that_died_had_in_hand_comes_again_at_once)
{
    register_job("web");
    uint64_t begin = clock_monotonic_ms();
    cr_assert_eq(dequeue()->attempt, 1);
    cr_assert_eq(dequeue()->attempt, 2);
    kill_hard(BROKER);
    start(BROKER);
    cr_assert_eq(dequeue()->attempt, 1, "a new broker counts anew");
    cr_assert_lt(clock_monotonic_ms() - begin, 10000);
}

/* ---- reports while jobstore stands still */

enum { UNDER_WAY = 4, REPORT_MOST = 2000, QUEUE_MOST = 100000 };

struct reporter {
    pthread_t thread;
    struct agent agent;
    char addr[128];
    size_t count; /* allocations */
};
static atomic_int superseded, refused;

static void fill_report(struct arena *a, Pb__AllocUpdates *all, size_t count)
{
    all->allocs = arena_array(a, Pb__AllocUpdate *, count);
    while (all->n_allocs < count) {
        Pb__AllocUpdate *u = arena_array(a, Pb__AllocUpdate, 1);
        struct id id = id_new();
        pb__alloc_update__init(u);
        u->has_alloc_id = u->has_client_status = 1;
        u->alloc_id = wire_id(a, id.bytes);
        u->client_status = PB__ALLOC__CLIENT_STATUS__RUNNING;
        all->allocs[all->n_allocs++] = u;
    }
}

static void *say_report(void *arg)
{
    struct reporter *r = arg;
    struct arena *a = arena_new(16 << 20);
    struct response answer;
    struct reason why;
    Pb__AllocUpdates all = PB__ALLOC_UPDATES__INIT;
    all.has_node_id = all.has_secret_id = 1;
    all.node_id = wire_id(a, r->agent.id);
    all.secret_id = wire_id(a, r->agent.secret);
    fill_report(a, &all, r->count);
    struct call_options o = {
        .method = PB__GATEWAY__METHOD__ALLOC_UPDATE, .body = &all.base, .budget_ms = 40000};
    if (net_call_wait(r->addr, &o, a, &answer, &why) == OK) {
        atomic_fetch_add(&superseded, strcmp(answer.reason, "a newer report came") == 0);
        atomic_fetch_add(&refused, answer.code == PB__REPLY__CODE__BUSY);
    }
    arena_free(a);
    return NULL;
}

/* All speak while jobstore stands still, until so many have been counted. */
static void report_all(struct reporter *all, size_t n, const atomic_int *counted, int wanted)
{
    kill(suite.pids[JOBSTORE], SIGSTOP);
    for (size_t i = 0; i < n; i++) {
        snprintf(all[i].addr, sizeof(all[i].addr), "ipc://%s/gateway.sock", suite.dir);
        cr_assert_eq(pthread_create(&all[i].thread, NULL, say_report, &all[i]), 0);
    }
    uint64_t end = clock_monotonic_ms() + 30000;
    while (atomic_load(counted) < wanted && clock_monotonic_ms() < end)
        usleep(10000);
    kill(suite.pids[JOBSTORE], SIGCONT);
    for (size_t i = 0; i < n; i++)
        pthread_join(all[i].thread, NULL);
    cr_assert_geq(atomic_load(counted), wanted);
}

Test(door, of_the_reports_of_a_node_that_wait_only_the_newest_stays)
{
    enum { REPORTS = 12 };
    struct reporter all[REPORTS];
    struct agent g = an_agent();
    for (int i = 0; i < REPORTS; i++)
        all[i] = (struct reporter){.agent = g, .count = 1};
    /* So many may be on their way to jobstore, and one waits. */
    report_all(all, REPORTS, &superseded, REPORTS - UNDER_WAY - 1);
    cr_assert_lt(atomic_load(&superseded), REPORTS, "the newest was thrown away as well");
}

Test(door, more_reports_than_may_wait_are_refused)
{
    enum { TAKEN = UNDER_WAY + QUEUE_MOST / REPORT_MOST + 1, REPORTS = TAKEN + 3 };
    struct reporter all[REPORTS];
    for (int i = 0; i < REPORTS; i++)
        all[i] = (struct reporter){.agent = an_agent(), .count = REPORT_MOST};
    report_all(all, REPORTS, &refused, REPORTS - TAKEN);
    cr_assert_eq(atomic_load(&superseded), 0);
}
