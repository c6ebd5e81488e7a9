#include "apply_internal.h"
#include "base/strbuf.h"
#include "wire/grant.h"
#include <stdio.h>

/* ---- the class: what nodes that are alike share, so that constraints are looked at once for all
 * of them */

#define FNV_START 14695981039346656037ull
#define FNV_PRIME 1099511628211ull

static uint64_t fnv(uint64_t h, const char *s)
{
    if (s == NULL)
        s = "";
    do { /* the end counts too, so that "ab" + "c" is not "a" + "bc" */
        h = (h ^ (uint8_t)*s) * FNV_PRIME;
    } while (*s++ != '\0');
    return h;
}

static uint64_t fnv_pairs(uint64_t h, size_t count, Pb__KeyValue *const *pairs)
{
    for (size_t i = 0; i < count; i++) {
        if (pairs[i]->key == NULL || strncmp(pairs[i]->key, "unique.", 7) == 0)
            continue;
        h = fnv(fnv(h, pairs[i]->key), pairs[i]->value);
    }
    return fnv(h, "|");
}

/* Which devices, and how many of each; not which of them are healthy now. */
static uint64_t fnv_devices(uint64_t h, const Pb__Node *n)
{
    for (size_t i = 0; i < n->n_devices; i++) {
        const Pb__NodeDevice *d = n->devices[i];
        h = fnv(fnv(fnv(h, d->vendor), d->type), d->name);
        h = (h ^ d->n_instances) * FNV_PRIME;
        h = fnv_pairs(h, d->n_attributes, d->attributes);
    }
    return h;
}

static char *computed_class(struct arena *a, const Pb__Node *n)
{
    uint64_t h = fnv(fnv(FNV_START, n->datacenter), n->node_class);
    /* Classes of before there were pools stay as they are. */
    if (n->node_pool != NULL && n->node_pool[0] != '\0' && strcmp(n->node_pool, "default") != 0)
        h = fnv(fnv(h, "pool"), n->node_pool);
    h = fnv_pairs(h, n->n_attributes, n->attributes);
    h = fnv_pairs(h, n->n_meta, n->meta);
    for (size_t i = 0; i < n->n_drivers; i++) {
        h = fnv(h, n->drivers[i]->name);
        h = fnv(h, n->drivers[i]->detected ? "detected" : "");
        h = fnv(h, n->drivers[i]->healthy ? "healthy" : "");
    }
    h = fnv_devices(h, n);
    for (size_t i = 0; i < n->n_host_volumes; i++)
        h = fnv(fnv(fnv(h, "volume"), n->host_volumes[i]->name),
                n->host_volumes[i]->read_only ? "ro" : "rw");
    for (size_t i = 0; i < n->n_networks; i++)
        if (n->networks[i]->mode != NULL && strcmp(n->networks[i]->mode, "host") != 0)
            h = fnv(fnv(h, "network"), n->networks[i]->mode);
    return arena_printf(a, "v1:%llu", (unsigned long long)h);
}

/* ---- events */

void node_add_event(struct view *v, Pb__Node *n, const char *subsystem, const char *message)
{
    struct arena *a = state_command_arena(v);
    Pb__NodeEvent **events = arena_array(a, Pb__NodeEvent *, STATE_NODE_EVENTS);
    size_t keep = n->n_events < STATE_NODE_EVENTS ? n->n_events : STATE_NODE_EVENTS - 1;
    if (keep > 0)
        memcpy(events, n->events + (n->n_events - keep), keep * sizeof *events);
    Pb__NodeEvent *e = arena_alloc(a, sizeof *e);
    pb__node_event__init(e);
    e->message = text(message);
    e->subsystem = text(subsystem);
    e->has_timestamp = e->has_create_index = true;
    e->timestamp = state_command_time(v);
    e->create_index = state_command_index(v);
    events[keep] = e;
    n->events = events;
    n->n_events = keep + 1;
}

static void set_status(struct view *v, Pb__Node *n, Pb__Node__Status status)
{
    n->has_status = n->has_status_updated_at = true;
    n->status = status;
    n->status_updated_at = state_command_time(v) / 1000000000;
}

void node_add_jobs(struct view *v, const Pb__Node *n, struct job_set *jobs)
{
    struct walk w;
    const uint8_t *id;
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__NODE, NULL, NULL, n->id.data, NULL);
    while ((id = walk_next(&w)) != NULL) {
        Pb__Alloc *alloc = state_alloc(v, state_command_arena(v), id);
        if (alloc != NULL && !alloc_has_ended(alloc))
            job_set_add(jobs, alloc->namespace_, alloc->job_id, n);
    }
    walk_close(&w);
}

struct newcomer {
    struct job_set *jobs;
    const Pb__Node *node;
};

static void on_system_job(void *self, const char *ns, const char *id)
{
    const struct newcomer *n = self;
    job_set_add(n->jobs, ns, id, n->node);
}

void node_add_system_jobs(struct view *v, const Pb__Node *n, struct job_set *jobs)
{
    if (n->status == PB__NODE__STATUS__READY)
        state_each_system_job(v, &(struct newcomer){jobs, n}, on_system_job);
}

static void evaluate_system_jobs(struct view *v, const Pb__Node *n)
{
    struct job_set *jobs = job_set_new(v);
    node_add_system_jobs(v, n, jobs);
    job_set_evaluate(jobs, "node-update", false);
    job_set_free(jobs);
}

/* ---- registration */

static bool node_is_storable(struct view *v, const Pb__Node *n, Pb__Outcome *out)
{
    const char *mistake = NULL;
    if (n == NULL || !has_id(n->has_id, n->id))
        mistake = "a node needs an id";
    else if (!has_id(n->has_secret_id, n->secret_id))
        mistake = "a node needs a secret";
    for (size_t i = 0; mistake == NULL && i < n->n_reserved_ports; i++)
        if (n->reserved_ports[i] > 65535)
            mistake = "a reserved port is above 65535";
    if (mistake == NULL)
        mistake = node_pieces_mistake(n);
    if (mistake != NULL)
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "%s", mistake);
    return mistake == NULL;
}

/* What the servers decided about a node outlives its registrations. */
static void keep_decisions(Pb__Node *n, const Pb__Node *old)
{
    n->has_eligibility = old->has_eligibility;
    n->eligibility = old->eligibility;
    n->has_drain = old->has_drain;
    n->drain = old->drain;
    n->drain_strategy = old->drain_strategy;
    n->last_drain = old->last_drain;
    n->has_create_index = true;
    n->create_index = old->create_index;
    n->n_events = old->n_events;
    n->events = old->events;
    n->has_status_updated_at = old->has_status_updated_at;
    n->status_updated_at = old->status_updated_at;
    n->has_modify_index = old->has_modify_index;
    n->modify_index = old->modify_index;
}

static Pb__Node__Status status_wished(const Pb__Node *n)
{
    return n->status == PB__NODE__STATUS__INITIALIZING ? PB__NODE__STATUS__INITIALIZING
                                                       : PB__NODE__STATUS__READY;
}

static void register_again(struct view *v, Pb__Node *n, const Pb__Node *old, Pb__Outcome *out)
{
    if (!id_equal(old->secret_id.data, n->secret_id.data)) {
        refuse(v, out, PB__OUTCOME__CODE__INVALID, "node secret ID does not match");
        return;
    }
    if (!node_joins_pool(v, n, out))
        return;
    keep_decisions(n, old);
    Pb__Node__Status status = status_wished(n);
    n->has_status = true;
    n->status = status;
    if (n->status_description == NULL)
        n->status_description = old->status_description;
    if (wire_equal(&n->base, &old->base))
        return; /* nothing is new: nobody need look */
    if (status != old->status) {
        struct job_set *jobs = job_set_new(v);
        set_status(v, n, status);
        n->status_description = text("");
        node_add_event(v, n, "Cluster", "Node re-registered");
        state_put_node(v, n);
        node_add_jobs(v, n, jobs);
        node_add_system_jobs(v, n, jobs);
        job_set_evaluate(jobs, "node-update", false);
        job_set_free(jobs);
        return;
    }
    state_put_node(v, n);
    evaluate_system_jobs(v, n);
}

void apply_node_register(struct view *v, const Pb__NodeRegister *cmd, Pb__Outcome *out)
{
    struct arena *a = state_command_arena(v);
    if (!node_is_storable(v, cmd->node, out))
        return;
    Pb__Node *n = arena_copy(a, cmd->node, sizeof *n);
    n->computed_class = computed_class(a, n);
    Pb__Node *old = state_node(v, a, n->id.data);
    if (old != NULL) {
        register_again(v, n, old, out);
        return;
    }
    if (!node_joins_pool(v, n, out))
        return;
    set_status(v, n, status_wished(n));
    n->has_eligibility = n->has_drain = true;
    n->eligibility = PB__NODE__ELIGIBILITY__ELIGIBLE;
    n->drain = false;
    n->n_events = 0;
    node_add_event(v, n, "Cluster", "Node registered");
    state_put_node(v, n);
    evaluate_system_jobs(v, n);
}

/* ---- status */

static const char *event_of(Pb__Node__Status status)
{
    if (status == PB__NODE__STATUS__DOWN)
        return "Node heartbeat missed";
    return status == PB__NODE__STATUS__READY ? "Node reregistered by heartbeat"
                                             : "Node status changed";
}

void apply_node_status(struct view *v, const Pb__NodeStatusUpdates *cmd, Pb__Outcome *out)
{
    struct arena *a = state_command_arena(v);
    struct job_set *jobs = job_set_new(v);
    for (size_t i = 0; i < cmd->n_nodes; i++) {
        const Pb__NodeStatusUpdate *u = cmd->nodes[i];
        if (!has_id(u->has_node_id, u->node_id) || u->status == PB__NODE__STATUS__UNKNOWN)
            continue;
        Pb__Node *n = state_node(v, a, u->node_id.data);
        if (n == NULL) {
            if (cmd->n_nodes == 1)
                refuse(v, out, PB__OUTCOME__CODE__NOT_FOUND, "node not found");
            continue;
        }
        if (n->status == u->status)
            continue;
        set_status(v, n, u->status);
        n->status_description = u->description != NULL ? u->description : text("");
        node_add_event(v, n, "Cluster", event_of(u->status));
        state_put_node(v, n);
        node_add_jobs(v, n, jobs);
        node_add_system_jobs(v, n, jobs);
    }
    job_set_evaluate(jobs, "node-update", false);
    job_set_free(jobs);
}
