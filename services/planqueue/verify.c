#include "planqueue/verify.h"
#include "base/fault.h"
#include "sched/fit.h"
#include "wire/grant.h"
#include <string.h>

static bool lacks(int64_t left, uint32_t ask)
{
    return ask > 0 && left < (int64_t)ask;
}

/* What is displaced for it is taken at its word: apply looks whether it is there, and may go. */
static void give_back(struct room *left, const Pb__Amount *displaced)
{
    if (displaced == NULL)
        return;
    left->cpu += displaced->cpu;
    left->memory_mb += displaced->memory_mb;
    left->disk_mb += displaced->disk_mb;
}

static bool displaces_port(const Pb__Placement *p, uint32_t port)
{
    for (size_t i = 0; i < p->n_preempts; i++)
        for (size_t k = 0; k < p->preempts[i]->n_ports; k++)
            if (p->preempts[i]->ports[k] == port)
                return true;
    return false;
}

/* NULL: it fits. */
static const char *why_not(const struct fleet *f, const Pb__Placement *p)
{
    if (MUTANT("room-unchecked"))
        return NULL;
    uint32_t slot = p->node_id.len == ID_SIZE ? fleet_slot(f, p->node_id.data) : SLOT_NONE;
    if (slot == SLOT_NONE)
        return "node is unknown";
    if (!fleet_node_is_ready(f, slot))
        return "node is not ready";
    static const Pb__Amount nothing = PB__AMOUNT__INIT;
    const Pb__Amount *ask = p->resources != NULL ? p->resources : &nothing;
    struct room left = fleet_room(f, slot);
    for (size_t i = 0; i < p->n_preempts; i++)
        give_back(&left, p->preempts[i]->resources);
    if (lacks(left.cpu, ask->cpu))
        return fit_name(FIT_CPU);
    if (lacks(left.memory_mb, ask->memory_mb))
        return fit_name(FIT_MEMORY);
    if (lacks(left.disk_mb, ask->disk_mb))
        return fit_name(FIT_DISK);
    for (size_t i = 0; i < p->n_ports; i++) {
        uint32_t port = p->ports[i]->value;
        bool free = fleet_port_is_free(f, slot, port) || displaces_port(p, port);
        if (port == 0 || port > UINT16_MAX || !free)
            return fit_name(FIT_PORT);
        for (size_t k = 0; k < i; k++)
            if (p->ports[k]->value == port)
                return fit_name(FIT_PORT);
    }
    const char *mistake = grants_mistake(p->grants, p->n_grants);
    if (mistake != NULL)
        return mistake;
    enum fit pieces = fleet_grants_fit(f, slot, p->grants, p->n_grants, p->n_preempts > 0);
    return pieces != FIT ? fit_name(pieces) : NULL;
}

static bool same_bytes(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void add_refusal(struct arena *a, struct verified *v, const Pb__Placement *p,
                        const char *reason)
{
    v->refused++;
    for (size_t i = 0; i < v->refusal_count; i++)
        if (same_bytes(v->refusals[i]->node_id, p->node_id) &&
            strcmp(v->refusals[i]->reason, reason) == 0) {
            v->refusals[i]->placements++;
            return;
        }
    Pb__Refusal *r = arena_array(a, Pb__Refusal, 1);
    pb__refusal__init(r);
    r->has_node_id = 1;
    r->node_id = p->node_id;
    r->reason = arena_strdup(a, reason);
    r->has_placements = 1;
    r->placements = 1;
    v->refusals[v->refusal_count++] = r;
}

/* What a refused placement was to replace goes on. */
static void keep_running(Pb__Plan *plan, const Pb__Placement *refused)
{
    if (refused->previous_alloc.len == 0)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < plan->n_stops; i++) {
        const Pb__Stop *s = plan->stops[i];
        bool replaced = same_bytes(s->alloc_id, refused->previous_alloc) &&
                        s->client_status != PB__ALLOC__CLIENT_STATUS__LOST;
        if (!replaced)
            plan->stops[kept++] = plan->stops[i];
    }
    plan->n_stops = kept;
}

static Pb__Plan *cut(struct arena *a, const Pb__Plan *plan, const bool *refused)
{
    Pb__Plan *rest = arena_copy(a, plan, sizeof(*plan));
    rest->n_placements = 0;
    rest->placements = arena_array(a, Pb__Placement *, plan->n_placements + 1);
    if (plan->n_stops > 0)
        rest->stops = arena_copy(a, plan->stops, plan->n_stops * sizeof(*plan->stops));
    for (size_t i = 0; i < plan->n_placements; i++)
        if (!refused[i])
            rest->placements[rest->n_placements++] = plan->placements[i];
        else
            keep_running(rest, plan->placements[i]);
    /* The evaluation's end is for a plan that is accepted whole. */
    rest->has_status = rest->has_create_blocked = rest->has_escaped_class = 0;
    rest->status = PB__EVAL__STATUS__UNKNOWN;
    rest->create_blocked = 0;
    rest->status_description = NULL;
    rest->n_failed_groups = rest->n_queued = rest->n_classes = 0;
    return rest;
}

void verify_plan(struct arena *a, struct fleet *f, const Pb__Plan *plan, struct verified *out)
{
    *out = (struct verified){
        .refusals = arena_array(a, Pb__Refusal *, plan->n_placements + 1),
        .hold = fleet_hold_new(f),
    };
    bool *refused = arena_array(a, bool, plan->n_placements + 1);
    for (size_t i = 0; i < plan->n_placements; i++) {
        const char *reason = why_not(f, plan->placements[i]);
        if (reason == NULL) {
            fleet_hold_add(f, out->hold, plan->placements[i]);
        } else {
            refused[i] = true;
            add_refusal(a, out, plan->placements[i], reason);
        }
    }
    if (out->refused == 0) {
        out->plan = (Pb__Plan *)plan;
        return;
    }
    Pb__Plan *rest = plan->all_at_once ? NULL : cut(a, plan, refused);
    if (rest != NULL && rest->n_placements + rest->n_stops + rest->n_in_place > 0) {
        out->plan = rest;
        return;
    }
    fleet_release(f, out->hold);
    out->hold = NULL;
}
