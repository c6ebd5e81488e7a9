/* jobstore, evalbroker, planqueue and two schedworkers as processes: jobs come in, allocations come
 * out, and kill -9 in between changes nothing of the result. */
#include "base/arena.h"
#include "base/clock.h"
#include "command.pb-c.h"
#include "evalbroker.pb-c.h"
#include "jobstore.pb-c.h"
#include "net/net.h"
#include "planqueue.pb-c.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODES 20

enum { JOBSTORE, BROKER, QUEUE, WORKER_A, WORKER_B, DAEMONS };
static const char *const names[DAEMONS] = {"jobstore", "evalbroker", "planqueue", "schedworker",
                                           "schedworker"};

struct suite {
    char dir[64];
    pid_t pids[DAEMONS];
    struct arena *arena;
    uint8_t nodes[NODES][ID_SIZE];
};

static struct suite suite;

static void start(int which)
{
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid > 0) {
        suite.pids[which] = pid;
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char program[512], config[128], log[128];
    snprintf(program, sizeof(program), "%s/%s", BIN_DIR, names[which]);
    snprintf(config, sizeof(config), "%s/suite.conf", suite.dir);
    snprintf(log, sizeof(log), "%s/%s-%d.log", suite.dir, names[which], which);
    must(freopen(log, "a", stderr) != NULL);
    execl(program, names[which], "--config", config, (char *)NULL);
    _exit(127);
}

static void kill_hard(int which)
{
    kill(suite.pids[which], SIGKILL);
    waitpid(suite.pids[which], NULL, 0);
    suite.pids[which] = 0;
}

static void write_config(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/suite.conf", suite.dir);
    FILE *f = fopen(path, "w");
    const char *d = suite.dir;
    fprintf(f,
            "jobstore: { listen = \"ipc://%s/jobstore.sock\"; listen_poll = "
            "\"ipc://%s/jobstore-poll.sock\"; data_dir = \"%s/data\"; map_size = \"1GiB\"; };\n",
            d, d, d);
    fprintf(f,
            "evalbroker: { listen = \"ipc://%s/evalbroker.sock\"; jobstore = "
            "\"ipc://%s/jobstore.sock\"; jobstore_poll = \"ipc://%s/jobstore-poll.sock\"; "
            "ack_timeout_ms = \"2s\"; };\n",
            d, d, d);
    fprintf(f,
            "planqueue: { listen = \"ipc://%s/planqueue.sock\"; jobstore = "
            "\"ipc://%s/jobstore.sock\"; jobstore_poll = \"ipc://%s/jobstore-poll.sock\"; };\n",
            d, d, d);
    fprintf(f,
            "schedworker: { evalbroker = \"ipc://%s/evalbroker.sock\"; planqueue = "
            "\"ipc://%s/planqueue.sock\"; jobstore = \"ipc://%s/jobstore.sock\"; jobstore_poll = "
            "\"ipc://%s/jobstore-poll.sock\"; max_changes = 300; };\n",
            d, d, d, d);
    fclose(f);
}

static const struct response *call(uint32_t method, const ProtobufCMessage *body,
                                   const ProtobufCMessageDescriptor *reply)
{
    static struct response r;
    char addr[128];
    snprintf(addr, sizeof(addr), "ipc://%s/jobstore.sock", suite.dir);
    struct reason why;
    struct call_options o = {
        .method = method, .body = body, .reply = reply, .budget_ms = 20000, .retry = true};
    /* jobstore may be just starting. */
    uint64_t end = clock_monotonic_ms() + 20000;
    enum err e;
    while ((e = net_call_wait(addr, &o, suite.arena, &r, &why)) == OK &&
           (r.code == PB__REPLY__CODE__NOT_LEADER || r.code == PB__REPLY__CODE__UNAVAILABLE) &&
           clock_monotonic_ms() < end)
        usleep(20000);
    cr_assert_eq(e, OK, "%s", why.text);
    cr_assert_eq(r.code, PB__REPLY__CODE__OK, "%s", r.reason);
    return &r;
}

static const Pb__Outcome *propose(Pb__Command *c)
{
    return (const Pb__Outcome *)call(PB__JOBSTORE__METHOD__APPLY, &c->base,
                                     &pb__outcome__descriptor)
        ->body;
}

static void set_up(void)
{
    suite = (struct suite){.arena = arena_new((size_t)1 << 30)};
    strcpy(suite.dir, "/tmp/norn-planning-XXXXXX");
    must(mkdtemp(suite.dir) != NULL);
    write_config();
    for (int i = 0; i < DAEMONS; i++)
        start(i);
}

static void tear_down(void)
{
    for (int i = 0; i < DAEMONS; i++)
        if (suite.pids[i] > 0)
            kill_hard(i);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", suite.dir);
    if (getenv("KEEP") == NULL)
        must(system(command) == 0);
    arena_free(suite.arena);
}

static void add_nodes(void)
{
    for (int i = 0; i < NODES; i++) {
        Pb__Node n = PB__NODE__INIT;
        Pb__Amount total = PB__AMOUNT__INIT;
        Pb__DriverInfo driver = PB__DRIVER_INFO__INIT, *drivers[] = {&driver};
        struct id id = id_new();
        memcpy(suite.nodes[i], id.bytes, ID_SIZE);
        total.has_cpu = total.has_memory_mb = total.has_disk_mb = 1;
        total.cpu = 4000, total.memory_mb = 8192, total.disk_mb = 100000;
        driver.name = (char *)"raw_exec";
        driver.has_detected = driver.has_healthy = driver.detected = driver.healthy = 1;
        n.has_id = n.has_status = n.has_secret_id = 1;
        n.id = wire_id(suite.arena, id.bytes);
        n.secret_id = n.id;
        n.name = arena_printf(suite.arena, "n%d", i);
        n.datacenter = (char *)"dc1";
        n.status = PB__NODE__STATUS__READY;
        n.total = &total;
        n.drivers = drivers, n.n_drivers = 1;
        Pb__NodeRegister reg = PB__NODE_REGISTER__INIT;
        reg.node = &n;
        Pb__Command c = PB__COMMAND__INIT;
        c.body_case = PB__COMMAND__BODY_NODE_REGISTER;
        c.node_register = &reg;
        cr_assert_eq(propose(&c)->code, PB__OUTCOME__CODE__APPLIED);
    }
}

static void register_job_of(const char *type, const char *name, uint32_t count, uint32_t cpu)
{
    Pb__Job job = PB__JOB__INIT;
    Pb__TaskGroup group = PB__TASK_GROUP__INIT, *groups[] = {&group};
    Pb__Task task = PB__TASK__INIT, *tasks[] = {&task};
    Pb__Resources resources = PB__RESOURCES__INIT;
    Pb__Network network = PB__NETWORK__INIT, *networks[] = {&network};
    Pb__Port port = PB__PORT__INIT, *ports[] = {&port};
    char *datacenters[] = {(char *)"dc1"};
    job.id = job.name = (char *)name;
    job.namespace_ = (char *)"default";
    job.type = (char *)(uintptr_t)type;
    job.has_priority = 1, job.priority = 50;
    job.datacenters = datacenters, job.n_datacenters = 1;
    job.task_groups = groups, job.n_task_groups = 1;
    group.name = (char *)"g";
    group.has_count = 1, group.count = count;
    group.tasks = tasks, group.n_tasks = 1;
    group.networks = networks, group.n_networks = 1;
    port.label = (char *)"http";
    network.dynamic_ports = ports, network.n_dynamic_ports = 1;
    task.name = (char *)"t";
    task.driver = (char *)"raw_exec";
    resources.has_cpu = resources.has_memory_mb = 1;
    resources.cpu = cpu, resources.memory_mb = 10;
    task.resources = &resources;
    Pb__JobRegister reg = PB__JOB_REGISTER__INIT;
    reg.job = &job;
    Pb__Command c = PB__COMMAND__INIT;
    c.body_case = PB__COMMAND__BODY_JOB_REGISTER;
    c.job_register = &reg;
    const Pb__Outcome *o = propose(&c);
    cr_assert_eq(o->code, PB__OUTCOME__CODE__APPLIED, "%s", o->reason);
}

static void register_job(const char *name, uint32_t count, uint32_t cpu)
{
    register_job_of("service", name, count, cpu);
}

static void stop_job(const char *name)
{
    Pb__JobDeregister d = PB__JOB_DEREGISTER__INIT;
    d.namespace_ = (char *)"default";
    d.job_id = (char *)name;
    Pb__Command c = PB__COMMAND__INIT;
    c.body_case = PB__COMMAND__BODY_JOB_DEREGISTER;
    c.job_deregister = &d;
    cr_assert_eq(propose(&c)->code, PB__OUTCOME__CODE__APPLIED);
}

static void set_node_down(int i, bool down)
{
    Pb__NodeStatusUpdate u = PB__NODE_STATUS_UPDATE__INIT, *us[] = {&u};
    u.has_node_id = u.has_status = 1;
    u.node_id = wire_id(suite.arena, suite.nodes[i]);
    u.status = down ? PB__NODE__STATUS__DOWN : PB__NODE__STATUS__READY;
    Pb__NodeStatusUpdates all = PB__NODE_STATUS_UPDATES__INIT;
    all.nodes = us, all.n_nodes = 1;
    Pb__Command c = PB__COMMAND__INIT;
    c.body_case = PB__COMMAND__BODY_NODE_STATUS;
    c.node_status = &all;
    cr_assert_eq(propose(&c)->code, PB__OUTCOME__CODE__APPLIED);
}

static const Pb__JobView *view(const char *name)
{
    Pb__JobKey key = PB__JOB_KEY__INIT, *keys[] = {&key};
    key.namespace_ = (char *)"default";
    key.id = (char *)name;
    Pb__JobViewsRequest q = PB__JOB_VIEWS_REQUEST__INIT;
    q.jobs = keys, q.n_jobs = 1;
    const struct response *r =
        call(PB__JOBSTORE__METHOD__JOB_VIEWS, &q.base, &pb__job_views__descriptor);
    return ((const Pb__JobViews *)r->body)->jobs[0];
}

static size_t wanted(const char *name)
{
    const Pb__JobView *v = view(name);
    size_t n = 0;
    for (size_t i = 0; i < v->n_allocs; i++)
        n += v->allocs[i]->desired == PB__ALLOC__DESIRED__RUN &&
             v->allocs[i]->client_status <= PB__ALLOC__CLIENT_STATUS__RUNNING;
    return n;
}

static void wait_for(const char *name, size_t count, uint32_t timeout_ms)
{
    uint64_t end = clock_monotonic_ms() + timeout_ms;
    while (wanted(name) != count) {
        cr_assert_lt(clock_monotonic_ms(), end, "%s: %zu instead of %zu", name, wanted(name),
                     count);
        usleep(20000);
    }
}

/* Every name once. */
static void check_names(const char *name, size_t count)
{
    const Pb__JobView *v = view(name);
    bool *seen = calloc(count, 1);
    size_t n = 0;
    for (size_t i = 0; i < v->n_allocs; i++) {
        if (v->allocs[i]->desired != PB__ALLOC__DESIRED__RUN)
            continue;
        cr_assert_lt(v->allocs[i]->name_index, count);
        cr_assert(!seen[v->allocs[i]->name_index], "a name twice");
        seen[v->allocs[i]->name_index] = true;
        n++;
    }
    cr_assert_eq(n, count);
    free(seen);
}

TestSuite(planning, .init = set_up, .fini = tear_down, .timeout = 120);

Test(planning, jobs_are_placed_scaled_stopped_and_moved)
{
    add_nodes();
    register_job("web", 1000, 10); /* four plans of at most 300 */
    wait_for("web", 1000, 10000);
    check_names("web", 1000);
    register_job("web", 1100, 10);
    wait_for("web", 1100, 10000);
    register_job("web", 50, 10);
    wait_for("web", 50, 10000);
    check_names("web", 50);
    for (int i = 0; i < 10; i++)
        set_node_down(i, true);
    wait_for("web", 50, 10000);
    usleep(300000);
    wait_for("web", 50, 10000);
    const Pb__JobView *v = view("web");
    for (size_t i = 0; i < v->n_allocs; i++)
        for (int k = 0; k < 10; k++)
            cr_assert(v->allocs[i]->desired != PB__ALLOC__DESIRED__RUN ||
                          memcmp(v->allocs[i]->node_id.data, suite.nodes[k], ID_SIZE) != 0,
                      "left on a node that is down");
    check_names("web", 50);
    stop_job("web");
    wait_for("web", 0, 10000);
}

Test(planning, what_finds_no_room_waits_for_it)
{
    add_nodes();
    register_job("big", 25, 3000); /* 20 fit */
    wait_for("big", 20, 10000);
    set_node_down(0, true);
    wait_for("big", 19, 10000);
    set_node_down(0, false);
    wait_for("big", 20, 10000);
}

static const ProtobufCMessage *ask(const char *daemon, uint32_t method,
                                   const ProtobufCMessage *body,
                                   const ProtobufCMessageDescriptor *reply)
{
    static struct response r;
    char addr[128];
    snprintf(addr, sizeof(addr), "ipc://%s/%s.sock", suite.dir, daemon);
    struct reason why;
    struct call_options o = {
        .method = method, .body = body, .reply = reply, .budget_ms = 30000, .retry = true};
    cr_assert_eq(net_call_wait(addr, &o, suite.arena, &r, &why), OK, "%s", why.text);
    cr_assert_eq(r.code, PB__REPLY__CODE__OK, "%s", r.reason);
    return r.body;
}

static const Pb__Eval *take_evaluation(const char *type)
{
    char *types[] = {(char *)(uintptr_t)type};
    Pb__Dequeue q = PB__DEQUEUE__INIT;
    q.types = types, q.n_types = 1;
    q.has_max = q.has_wait_ms = 1;
    q.max = 1, q.wait_ms = 20000;
    const Pb__Deliveries *all = (const Pb__Deliveries *)ask(
        "evalbroker", PB__EVALBROKER__METHOD__DEQUEUE, &q.base, &pb__deliveries__descriptor);
    cr_assert_eq(all->n_deliveries, 1);
    return all->deliveries[0]->eval;
}

/* So many allocations of that size on one node, as a scheduler that cannot count would place them.
 */
static Pb__PlanResult__Code place_on_one_node(const Pb__Eval *eval, size_t count, uint32_t cpu,
                                              size_t *refused)
{
    const Pb__JobView *v = view(eval->job_id);
    Pb__Plan plan = PB__PLAN__INIT, *plans[] = {&plan};
    Pb__Amount size = PB__AMOUNT__INIT;
    size.has_cpu = 1, size.cpu = cpu;
    plan.has_eval_id = plan.has_job_version = plan.has_job_create_index = 1;
    plan.eval_id = eval->id;
    plan.job_version = v->job->version, plan.job_create_index = v->job->create_index;
    plan.placements = arena_array(suite.arena, Pb__Placement *, count);
    for (size_t i = 0; i < count; i++) {
        Pb__Placement *p = plan.placements[plan.n_placements++] =
            arena_array(suite.arena, Pb__Placement, 1);
        pb__placement__init(p);
        p->task_group = (char *)"g";
        p->has_name_index = p->has_node_id = 1;
        p->name_index = (uint32_t)i;
        p->node_id = wire_id(suite.arena, suite.nodes[0]);
        p->resources = &size;
    }
    Pb__Plans all = PB__PLANS__INIT;
    all.plans = plans, all.n_plans = 1;
    const Pb__PlanResults *r = (const Pb__PlanResults *)ask(
        "planqueue", PB__PLANQUEUE__METHOD__SUBMIT, &all.base, &pb__plan_results__descriptor);
    *refused = 0;
    for (size_t i = 0; i < r->results[0]->n_refusals; i++)
        *refused += r->results[0]->refusals[i]->placements;
    return r->results[0]->code;
}

Test(planning, a_scheduler_that_cannot_count_is_refused)
{
    size_t refused;
    add_nodes();
    register_job_of("custom.hasty", "much", 9, 1000);
    const Pb__Eval *eval = take_evaluation("custom.hasty");
    /* four of nine fit on the node: the rest is refused */
    cr_assert_eq(place_on_one_node(eval, 9, 1000, &refused), PB__PLAN_RESULT__CODE__PARTIAL);
    cr_assert_eq(refused, 5);
    cr_assert_eq(wanted("much"), 4);
    register_job_of("custom.hasty", "more", 1, 1000);
    eval = take_evaluation("custom.hasty");
    while (strcmp(eval->job_id, "more") != 0) /* "much" is still open, and comes again */
        eval = take_evaluation("custom.hasty");
    cr_assert_eq(place_on_one_node(eval, 1, 1000, &refused), PB__PLAN_RESULT__CODE__REFUSED);
    cr_assert_eq(wanted("more"), 0);
}

/* What an agent would say of all that is to stop. */
static size_t report_ended(const char *name)
{
    const Pb__JobView *v = view(name);
    Pb__AllocUpdates all = PB__ALLOC_UPDATES__INIT;
    all.allocs = arena_array(suite.arena, Pb__AllocUpdate *, v->n_allocs + 1);
    for (size_t i = 0; i < v->n_allocs; i++) {
        if (v->allocs[i]->desired == PB__ALLOC__DESIRED__RUN ||
            v->allocs[i]->client_status > PB__ALLOC__CLIENT_STATUS__RUNNING)
            continue;
        Pb__AllocUpdate *u = arena_array(suite.arena, Pb__AllocUpdate, 1);
        pb__alloc_update__init(u);
        u->has_alloc_id = u->has_client_status = 1;
        u->alloc_id = v->allocs[i]->id;
        u->client_status = PB__ALLOC__CLIENT_STATUS__COMPLETE;
        all.allocs[all.n_allocs++] = u;
    }
    Pb__Command c = PB__COMMAND__INIT;
    c.body_case = PB__COMMAND__BODY_ALLOC_UPDATES;
    c.alloc_updates = &all;
    if (all.n_allocs > 0)
        cr_assert_eq(propose(&c)->code, PB__OUTCOME__CODE__APPLIED);
    return all.n_allocs;
}

Test(planning, an_update_on_a_full_cluster_goes_on_as_the_old_ones_end)
{
    add_nodes();
    register_job("big", NODES, 3000);
    wait_for("big", NODES, 10000);
    register_job("big", NODES, 3001);
    wait_for("big", 0, 10000);
    cr_assert_eq(report_ended("big"), NODES);
    wait_for("big", NODES, 10000);
    check_names("big", NODES);
}

Test(planning, kills_in_between_change_nothing)
{
    add_nodes();
    char name[16];
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "j%d", i);
        register_job(name, 10, 20);
        if (i % 4 == 3) {
            int which = (i / 4) % DAEMONS;
            kill_hard(which);
            start(which);
        }
    }
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "j%d", i);
        wait_for(name, 10, 30000);
        check_names(name, 10);
    }
}
