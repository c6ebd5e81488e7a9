/* Simulated nodes: the real uplink of nodeagent, and allocations whose tasks are timers. What a
 * node's disk holds outlives its agent; its tasks run on while no agent is there. */
#include "base/err.h"
#include "base/map.h"
#include "nodeagent/uplink.h"
#include "world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct task {
    uint8_t id[ID_SIZE];
    struct agent *agent; /* NULL: no agent runs */
    bool batch, stopping, seen;
    uint8_t deployment[ID_SIZE]; /* zeros: none asks for its health */
    bool healthy;
    Pb__Alloc__ClientStatus status, next;
    uint64_t next_us; /* when it becomes that; 0: it stays */
    unsigned changed, told, under_way;
    uint64_t sequence;
    struct timer timer;
    struct task *following;
};

/* On the node's disk. */
struct node_disk {
    struct arena *arena;
    Pb__Node *node;
    struct task *tasks;
    uint64_t starts, reports;
};
static struct node_disk disks[WORLD_NODES];

struct agent {
    struct process *process; /* first: see process.c */
    struct loop *loop;
    struct uplink *uplink;
    struct node_disk *disk;
};

static bool is_over(const struct task *t)
{
    return t->status == PB__ALLOC__CLIENT_STATUS__COMPLETE ||
           t->status == PB__ALLOC__CLIENT_STATUS__FAILED;
}

static void on_task(void *owner);

static void plan(struct task *t, Pb__Alloc__ClientStatus next, uint64_t after_us)
{
    t->next = next;
    t->next_us = sim->now_us + after_us + 1;
    timer_arm(t->agent->loop, &t->timer, after_us / 1000 + 1, on_task, t);
}

/* Services run until they are stopped; batches end. */
static void run_on(struct task *t)
{
    if (t->batch)
        plan(t,
             sim_chance(0.1) ? PB__ALLOC__CLIENT_STATUS__FAILED
                             : PB__ALLOC__CLIENT_STATUS__COMPLETE,
             sim_between(500000, 20000000));
}

/* What runs is healthy; a deployment that asks is told once. */
static void find_health(struct task *t)
{
    static const uint8_t none[ID_SIZE];
    if (t->healthy || t->status != PB__ALLOC__CLIENT_STATUS__RUNNING ||
        id_equal(t->deployment, none))
        return;
    t->healthy = true;
    t->changed++;
}

static void on_task(void *owner)
{
    struct task *t = owner;
    t->status = t->next;
    t->next_us = 0;
    t->changed++;
    if (t->status == PB__ALLOC__CLIENT_STATUS__RUNNING)
        run_on(t);
    find_health(t);
    uplink_report(t->agent->uplink, true);
}

static struct task *task_of(struct node_disk *d, const uint8_t *id)
{
    for (struct task *t = d->tasks; t != NULL; t = t->following)
        if (id_equal(t->id, id))
            return t;
    return NULL;
}

static bool job_is_batch(const Pb__NodeNews *news, const Pb__Alloc *alloc)
{
    for (size_t i = 0; i < news->n_jobs; i++)
        if (strcmp(news->jobs[i]->id, alloc->job_id) == 0)
            return strcmp(news->jobs[i]->type, "batch") == 0;
    return false;
}

static bool has_ended(const Pb__Alloc *a)
{
    return a->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE ||
           a->client_status == PB__ALLOC__CLIENT_STATUS__FAILED ||
           a->client_status == PB__ALLOC__CLIENT_STATUS__LOST;
}

static void take_alloc(struct agent *a, const Pb__NodeNews *news, const Pb__Alloc *alloc)
{
    struct task *t = task_of(a->disk, alloc->id.data);
    bool wanted = alloc->desired == PB__ALLOC__DESIRED__RUN && !has_ended(alloc);
    if (t == NULL) {
        if (has_ended(alloc))
            return;
        t = xcalloc(1, sizeof(*t));
        memcpy(t->id, alloc->id.data, ID_SIZE);
        t->agent = a;
        t->batch = job_is_batch(news, alloc);
        t->status = PB__ALLOC__CLIENT_STATUS__PENDING;
        t->following = a->disk->tasks;
        a->disk->tasks = t;
        if (wanted)
            plan(t, PB__ALLOC__CLIENT_STATUS__RUNNING, sim_between(1000, 500000));
    }
    t->seen = true;
    if (alloc->deployment_id.len == ID_SIZE &&
        !id_equal(t->deployment, alloc->deployment_id.data)) {
        memcpy(t->deployment, alloc->deployment_id.data, ID_SIZE);
        t->healthy = false;
        find_health(t);
        uplink_report(a->uplink, true);
    }
    if (wanted || is_over(t) || t->stopping)
        return;
    t->stopping = true;
    plan(t, PB__ALLOC__CLIENT_STATUS__COMPLETE, sim_between(1000, 2000000));
}

static void on_news(void *owner, const Pb__NodeNews *news)
{
    struct agent *a = owner;
    for (struct task *t = a->disk->tasks; t != NULL; t = t->following)
        t->seen = false;
    for (size_t i = 0; i < news->n_allocs; i++)
        take_alloc(a, news, news->allocs[i]);
    for (struct task *t = a->disk->tasks; news->full && t != NULL; t = t->following)
        if (!t->seen && !is_over(t) && !t->stopping) { /* the servers know it no more */
            t->stopping = true;
            plan(t, PB__ALLOC__CLIENT_STATUS__COMPLETE, 1000);
        }
}

static Pb__AllocUpdates *on_updates(void *owner, struct arena *arena)
{
    struct agent *a = owner;
    size_t count = 0;
    for (struct task *t = a->disk->tasks; t != NULL; t = t->following)
        count += t->changed != t->told;
    if (count == 0)
        return NULL;
    Pb__AllocUpdates *out = arena_array(arena, Pb__AllocUpdates, 1);
    pb__alloc_updates__init(out);
    out->allocs = arena_array(arena, Pb__AllocUpdate *, count);
    for (struct task *t = a->disk->tasks; t != NULL; t = t->following) {
        if (t->changed == t->told)
            continue;
        Pb__AllocUpdate *u = arena_array(arena, Pb__AllocUpdate, 1);
        pb__alloc_update__init(u);
        u->has_alloc_id = u->has_client_status = u->has_sequence = 1;
        u->alloc_id = wire_id(arena, t->id);
        u->client_status = t->status;
        u->has_healthy = u->healthy = t->healthy;
        u->sequence = a->disk->starts << 32 | ++a->disk->reports;
        t->under_way = t->changed;
        out->allocs[out->n_allocs++] = u;
    }
    return out;
}

static void on_sent(void *owner, bool acknowledged)
{
    struct agent *a = owner;
    for (struct task *t = a->disk->tasks; t != NULL; t = t->following) {
        if (acknowledged && t->under_way != 0)
            t->told = t->under_way;
        t->under_way = 0;
    }
}

static enum err agent_open(void *self, struct loop *l, struct reason *why)
{
    struct agent *a = self;
    a->loop = l;
    for (unsigned i = 0; i < world->options.nodes; i++)
        if (world->agent[i] == a->process)
            a->disk = &disks[i];
    a->disk->starts++;
    struct uplink_options o = {.gateways = "",
                               .poll_gateways = "",
                               .servers = world->doors,
                               .node = a->disk->node,
                               .on_news = on_news,
                               .updates = on_updates,
                               .sent = on_sent,
                               .owner = a};
    return uplink_open(&a->uplink, l, &o, why);
}

/* What ended while nobody watched is found so. */
static enum err agent_start(void *self, struct loop *l, struct reason *why)
{
    struct agent *a = self;
    for (struct task *t = a->disk->tasks; t != NULL; t = t->following) {
        t->agent = a;
        t->under_way = 0;
        if (t->next_us != 0)
            plan(t, t->next, t->next_us > sim->now_us ? t->next_us - sim->now_us : 0);
    }
    uplink_start(a->uplink);
    return OK;
}

static void agent_close(void *self)
{
    struct agent *a = self;
    for (struct task *t = a->disk->tasks; t != NULL; t = t->following) {
        timer_cancel(a->loop, &t->timer);
        t->agent = NULL;
    }
    uplink_close(a->uplink);
}

static const struct service agent_service = {
    .name = "agent",
    .size = sizeof(struct agent),
    .open = agent_open,
    .start = agent_start,
    .close = agent_close,
};

static Pb__Node *a_node(struct arena *a, unsigned number)
{
    static Pb__DriverInfo driver = PB__DRIVER_INFO__INIT;
    driver.name = (char *)"raw_exec";
    driver.has_detected = driver.has_healthy = driver.detected = driver.healthy = 1;
    Pb__Node *n = arena_array(a, Pb__Node, 1);
    Pb__Amount *total = arena_array(a, Pb__Amount, 1);
    pb__node__init(n);
    pb__amount__init(total);
    n->has_id = n->has_secret_id = 1;
    n->id = wire_id(a, id_new().bytes);
    n->secret_id = wire_id(a, id_new().bytes);
    n->name = arena_printf(a, "n%u", number + 1);
    n->datacenter = arena_strdup(a, "dc1");
    n->drivers = arena_array(a, Pb__DriverInfo *, 1);
    n->drivers[n->n_drivers++] = &driver;
    total->has_cpu = total->has_memory_mb = total->has_disk_mb = 1;
    total->cpu = (uint32_t)sim_between(2, 5) * 1000;
    total->memory_mb = (uint32_t)sim_between(2, 5) * 1000;
    total->disk_mb = 50000;
    n->total = total;
    return n;
}

void agents_build(void)
{
    for (unsigned i = 0; i < world->options.nodes; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%u", i + 1);
        disks[i] = (struct node_disk){.arena = arena_new(1 << 20)};
        disks[i].node = a_node(disks[i].arena, i);
        world->node[i] = sim_host(name);
        world->agent[i] = sim_process(world->node[i], "agent", &agent_service, 0, NULL);
    }
}

void agents_free(void)
{
    for (unsigned i = 0; i < world->options.nodes; i++) {
        struct task *t;
        while ((t = disks[i].tasks) != NULL) {
            disks[i].tasks = t->following;
            free(t);
        }
        arena_free(disks[i].arena);
    }
}

bool agents_node_runs(const uint8_t id[16])
{
    for (unsigned i = 0; i < world->options.nodes; i++)
        if (id_equal(disks[i].node->id.data, id))
            return world->agent[i]->self != NULL;
    return false;
}
