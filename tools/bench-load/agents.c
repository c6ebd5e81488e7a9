#include "agents.h"
#include "base/id.h"
#include "base/map.h"
#include "gateway.pb-c.h"
#include "net/net.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_WAIT_MS = 60000, BUDGET_MS = 60000, RETRY_MS = 500, REGISTER_WINDOW = 64, RACKS = 20 };
enum { MAX_REPORT = 1000 /* allocations */ };
/* As a real agent's: how long a report may take, and how long it pauses after one that was not
 * taken. */
enum { REPORT_BUDGET_MS = 10000, FIRST_PAUSE_MS = 50, LAST_PAUSE_MS = 5000 };

struct node {
    struct agents *agents;
    struct client *door, *poll;
    struct timer heartbeat, retry, report_again;
    uint64_t report_pause_ms; /* after one that was not taken */
    uint8_t id[ID_SIZE], secret[ID_SIZE];
    uint64_t since;
    size_t number;
    struct works {
        struct work **of;
        size_t count, room;
    } untold, told; /* to be reported; in the report that is under way */
};

/* An allocation as its agent knows it. */
struct work {
    struct node *node;
    struct timer ends;
    uint8_t id[ID_SIZE];
    bool over, untold, told_over;
};

struct agents {
    struct loop *loop;
    struct agents_options o;
    struct node *nodes;
    struct map *works; /* by allocation id */
    size_t ready, failures, late, next_to_register;
    size_t flaps, flaps_begun, flaps_done;
};

static void poll_send(struct node *n);
static void register_next(struct agents *a);

static ProtobufCBinaryData id_of(uint8_t *id)
{
    return (ProtobufCBinaryData){.len = ID_SIZE, .data = id};
}

static bool good(struct agents *a, const struct response *r, const char *what)
{
    if (r->code == PB__REPLY__CODE__OK)
        return true;
    if (a->failures++ < 5)
        fprintf(stderr, "bench-load: %s failed: code %d: %s\n", what, (int)r->code, r->reason);
    return false;
}

/* ---- heartbeats */

static void on_heartbeat_due(void *owner);

static void heartbeat_arm(struct node *n, uint32_t ttl_ms)
{
    uint64_t half = ttl_ms > 100 ? ttl_ms / 2 : 5000;
    timer_arm(n->agents->loop, &n->heartbeat, half + loop_random(n->agents->loop) % (half / 2),
              on_heartbeat_due, n);
}

static void on_heartbeat(void *owner, const struct response *r)
{
    struct node *n = owner;
    const Pb__HeartbeatReply *reply = (const Pb__HeartbeatReply *)r->body;
    heartbeat_arm(n, good(n->agents, r, "heartbeat") && reply != NULL ? reply->ttl_ms : 0);
}

static void on_heartbeat_due(void *owner)
{
    struct node *n = owner;
    Pb__Heartbeat body = PB__HEARTBEAT__INIT;
    body.node_id = id_of(n->id);
    body.secret_id = id_of(n->secret);
    body.has_node_id = body.has_secret_id = 1;
    struct call_options c = {.method = PB__GATEWAY__METHOD__HEARTBEAT,
                             .body = &body.base,
                             .reply = &pb__heartbeat_reply__descriptor,
                             .budget_ms = BUDGET_MS,
                             .retry = true,
                             .done = on_heartbeat,
                             .owner = n};
    client_call(n->door, &c);
}

/* ---- reports: one under way at a time, and meanwhile the next one grows, as at a real agent */

static void task_fill(struct agents *a, Pb__TaskState *task, Pb__TaskEvent *events,
                      Pb__TaskEvent **list, bool running)
{
    static char task_name[] = "task", received[] = "Received", started[] = "Started",
                terminated[] = "Terminated";
    int64_t now = loop_wall_ns(a->loop);
    size_t count = running ? 2 : 3;
    char *types[] = {received, started, terminated};
    pb__task_state__init(task);
    task->name = task_name;
    task->has_state = task->has_started_at = 1;
    task->state = running ? PB__TASK_STATE__STATE__RUNNING : PB__TASK_STATE__STATE__DEAD;
    task->started_at = now;
    for (size_t i = 0; i < count; i++) {
        pb__task_event__init(&events[i]);
        events[i].type = types[i];
        events[i].has_time = 1;
        events[i].time = now;
        list[i] = &events[i];
    }
    task->n_events = count;
    task->events = list;
}

static Pb__AllocUpdate *update_of(struct agents *a, struct arena *arena, struct work *w)
{
    Pb__AllocUpdate *u = arena_array(arena, Pb__AllocUpdate, 1);
    Pb__TaskState *task = arena_array(arena, Pb__TaskState, 1);
    pb__alloc_update__init(u);
    task_fill(a, task, arena_array(arena, Pb__TaskEvent, 3), arena_array(arena, Pb__TaskEvent *, 3),
              !w->over);
    u->has_alloc_id = u->has_client_status = 1;
    u->alloc_id = id_of(w->id);
    u->client_status =
        w->over ? PB__ALLOC__CLIENT_STATUS__COMPLETE : PB__ALLOC__CLIENT_STATUS__RUNNING;
    u->n_tasks = 1;
    u->tasks = arena_array(arena, Pb__TaskState *, 1);
    u->tasks[0] = task;
    return u;
}

static void works_add(struct works *all, struct work *w)
{
    if (all->count == all->room) {
        all->room = all->room > 0 ? all->room * 2 : 4;
        all->of = xrealloc(all->of, all->room * sizeof(struct work *));
    }
    all->of[all->count++] = w;
}

static void report(struct node *n);

static void to_report(struct work *w)
{
    if (!w->untold)
        works_add(&w->node->untold, w);
    w->untold = true;
}

static void on_report_again(void *owner)
{
    report(owner);
}

static void on_reported(void *owner, const struct response *r)
{
    struct node *n = owner;
    struct agents *a = n->agents;
    if (r->code == PB__REPLY__CODE__TIMEOUT || r->code == PB__REPLY__CODE__BUSY) {
        a->late++;
        for (size_t i = 0; i < n->told.count; i++)
            to_report(n->told.of[i]);
        n->told.count = 0;
        uint64_t pause = n->report_pause_ms > 0 ? 2 * n->report_pause_ms : FIRST_PAUSE_MS;
        n->report_pause_ms = pause < LAST_PAUSE_MS ? pause : LAST_PAUSE_MS;
        pause = n->report_pause_ms + loop_random(a->loop) % n->report_pause_ms;
        timer_arm(a->loop, &n->report_again, pause, on_report_again, n);
        return;
    }
    n->report_pause_ms = 0;
    bool ok = good(a, r, "alloc update");
    for (size_t i = 0; i < n->told.count && ok; i++) {
        if (!n->told.of[i]->told_over)
            a->o.reported(a->o.owner);
        else if (a->o.ended != NULL)
            a->o.ended(a->o.owner);
    }
    n->told.count = 0;
    report(n);
}

static void report(struct node *n)
{
    struct agents *a = n->agents;
    if (n->told.count > 0 || n->untold.count == 0 || timer_is_armed(&n->report_again))
        return;
    struct arena *arena = arena_new(64u << 20);
    Pb__AllocUpdates body = PB__ALLOC_UPDATES__INIT;
    body.has_node_id = body.has_secret_id = 1;
    body.node_id = id_of(n->id);
    body.secret_id = id_of(n->secret);
    body.allocs = arena_array(arena, Pb__AllocUpdate *, MAX_REPORT);
    while (n->untold.count > 0 && body.n_allocs < MAX_REPORT) {
        struct work *w = n->untold.of[--n->untold.count];
        w->untold = false;
        w->told_over = w->over;
        works_add(&n->told, w);
        body.allocs[body.n_allocs++] = update_of(a, arena, w);
    }
    struct call_options c = {.method = PB__GATEWAY__METHOD__ALLOC_UPDATE,
                             .body = &body.base,
                             .budget_ms = REPORT_BUDGET_MS,
                             .retry = true,
                             .done = on_reported,
                             .owner = n};
    client_call(n->door, &c);
    arena_free(arena);
}

static void on_work_ends(void *owner)
{
    struct work *w = owner;
    if (w->over)
        return;
    w->over = true;
    to_report(w);
    report(w->node);
}

/* ---- news */

static struct work *work_new(struct node *n, const Pb__Alloc *alloc)
{
    struct agents *a = n->agents;
    struct work *w = xcalloc(1, sizeof *w);
    w->node = n;
    memcpy(w->id, alloc->id.data, ID_SIZE);
    map_put(a->works, w->id, ID_SIZE, w);
    a->o.received(a->o.owner, alloc->job_id);
    if (a->o.run_for_ms > 0)
        timer_arm(a->loop, &w->ends, a->o.run_for_ms, on_work_ends, w);
    return w;
}

static void news_take(struct node *n, const Pb__NodeNews *news)
{
    for (size_t i = 0; i < news->n_allocs; i++) {
        const Pb__Alloc *alloc = news->allocs[i];
        struct work *w = map_get_id(n->agents->works, alloc->id.data);
        if (w == NULL && alloc->desired == PB__ALLOC__DESIRED__RUN)
            to_report(work_new(n, alloc));
        else if (w != NULL && alloc->desired != PB__ALLOC__DESIRED__RUN)
            on_work_ends(w);
    }
    report(n);
}

static void on_retry(void *owner)
{
    poll_send(owner);
}

static void on_news(void *owner, const struct response *r)
{
    struct node *n = owner;
    const Pb__NodeNews *news = (const Pb__NodeNews *)r->body;
    if (!good(n->agents, r, "node poll") || news == NULL) {
        timer_arm(n->agents->loop, &n->retry, RETRY_MS, on_retry, n);
        return;
    }
    n->since = news->index;
    news_take(n, news);
    poll_send(n);
}

static void poll_send(struct node *n)
{
    Pb__NodePoll body = PB__NODE_POLL__INIT;
    body.node_id = id_of(n->id);
    body.secret_id = id_of(n->secret);
    body.has_node_id = body.has_secret_id = body.has_since = body.has_wait_ms = 1;
    body.since = n->since;
    body.wait_ms = POLL_WAIT_MS;
    struct call_options c = {.method = PB__GATEWAY__METHOD__NODE_POLL,
                             .body = &body.base,
                             .reply = &pb__node_news__descriptor,
                             .budget_ms = POLL_WAIT_MS + BUDGET_MS,
                             .retry = true,
                             .done = on_news,
                             .owner = n};
    client_call(n->poll, &c);
}

/* ---- registration */

static void on_registered(void *owner, const struct response *r)
{
    struct node *n = owner;
    struct agents *a = n->agents;
    const Pb__HeartbeatReply *reply = (const Pb__HeartbeatReply *)r->body;
    register_next(a);
    if (!good(a, r, "node register"))
        return;
    a->ready++;
    heartbeat_arm(n, reply != NULL ? reply->ttl_ms : 0);
    if (a->o.watch)
        poll_send(n);
}

static void add_attribute(Pb__Node *node, struct arena *a, const char *key, char *value)
{
    Pb__KeyValue *kv = node->attributes[node->n_attributes++] = arena_array(a, Pb__KeyValue, 1);
    pb__key_value__init(kv);
    kv->key = arena_strdup(a, key);
    kv->value = value;
}

static void node_fill(struct node *n, Pb__Node *node, struct arena *a, Pb__Node__Status status)
{
    static const struct {
        const char *key, *value;
    } pairs[] = {
        {"cpu.arch", "amd64"},    {"driver.mock", "1"},       {"driver.raw_exec", "1"},
        {"kernel.name", "linux"}, {"nomad.version", "0.1.0"}, {"os.name", "linux"},
    };
    pb__node__init(node);
    node->has_id = node->has_secret_id = node->has_status = 1;
    node->id = id_of(n->id);
    node->secret_id = id_of(n->secret);
    node->name = arena_printf(a, "bench-%zu", n->number);
    node->datacenter = arena_strdup(a, "dc1");
    node->version = arena_strdup(a, NORN_VERSION);
    node->status = status;
    node->attributes = arena_array(a, Pb__KeyValue *, COUNT_OF(pairs) + 2);
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        add_attribute(node, a, pairs[i].key, arena_strdup(a, pairs[i].value));
    add_attribute(node, a, "rack", arena_printf(a, "r%zu", n->number % RACKS));
    add_attribute(node, a, "unique.hostname", node->name);
    node->n_drivers = 1;
    node->drivers = arena_array(a, Pb__DriverInfo *, 1);
    Pb__DriverInfo *driver = node->drivers[0] = arena_array(a, Pb__DriverInfo, 1);
    pb__driver_info__init(driver);
    driver->name = arena_strdup(a, "mock");
    driver->has_detected = driver->has_healthy = 1;
    driver->detected = driver->healthy = 1;
    node->total = arena_array(a, Pb__Amount, 1);
    pb__amount__init(node->total);
    node->total->has_cpu = node->total->has_memory_mb = node->total->has_disk_mb = 1;
    node->total->cpu = n->agents->o.node_cpu;
    node->total->memory_mb = n->agents->o.node_memory_mb;
    node->total->disk_mb = 100000;
}

static void register_node(struct node *n, Pb__Node__Status status, response_fn *done)
{
    struct arena *arena = arena_new(1u << 20);
    Pb__Node node;
    Pb__NodeRegister body = PB__NODE_REGISTER__INIT;
    node_fill(n, &node, arena, status);
    body.node = &node;
    struct call_options c = {.method = PB__GATEWAY__METHOD__NODE_REGISTER,
                             .body = &body.base,
                             .reply = &pb__heartbeat_reply__descriptor,
                             .budget_ms = BUDGET_MS,
                             .retry = true,
                             .done = done,
                             .owner = n};
    client_call(n->door, &c);
    arena_free(arena);
}

static void register_next(struct agents *a)
{
    if (a->next_to_register < a->o.nodes)
        register_node(&a->nodes[a->next_to_register++], PB__NODE__STATUS__READY, on_registered);
}

/* ---- flapping */

static void flap_next(struct agents *a);

static void on_flapped(void *owner, const struct response *r)
{
    struct agents *a = ((struct node *)owner)->agents;
    good(a, r, "node register");
    a->flaps_done++;
    flap_next(a);
}

static void flap_next(struct agents *a)
{
    if (a->flaps_begun == a->flaps)
        return;
    size_t i = a->flaps_begun++;
    bool up = (i / a->o.nodes) % 2 != 0;
    register_node(&a->nodes[i % a->o.nodes],
                  up ? PB__NODE__STATUS__READY : PB__NODE__STATUS__INITIALIZING, on_flapped);
}

void agents_flap(struct agents *a, size_t times)
{
    a->flaps = times * a->o.nodes;
    for (size_t i = 0; i < REGISTER_WINDOW; i++)
        flap_next(a);
}

size_t agents_flapped(const struct agents *a)
{
    return a->flaps_done;
}

struct agents *agents_open(struct loop *l, const struct agents_options *o)
{
    struct agents *a = xcalloc(1, sizeof *a);
    struct reason why;
    a->loop = l;
    a->o = *o;
    a->nodes = xcalloc(o->nodes, sizeof *a->nodes);
    a->works = map_new();
    for (size_t i = 0; i < o->nodes; i++) {
        struct node *n = &a->nodes[i];
        n->agents = a;
        n->number = i;
        struct id id = id_new(), secret = id_new();
        memcpy(n->id, id.bytes, ID_SIZE);
        memcpy(n->secret, secret.bytes, ID_SIZE);
        must(client_open(&n->door, l, o->gateway, &why) == OK);
        if (o->watch)
            must(client_open(&n->poll, l, o->gateway_poll, &why) == OK);
    }
    for (size_t i = 0; i < REGISTER_WINDOW; i++)
        register_next(a);
    return a;
}

size_t agents_ready(const struct agents *a)
{
    return a->ready;
}

size_t agents_failures(const struct agents *a)
{
    return a->failures;
}

size_t agents_late(const struct agents *a)
{
    return a->late;
}
