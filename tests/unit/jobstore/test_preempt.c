/* Allocations that make room for a more important job, as apply sees them: whatever a plan says. */
#include "cluster.h"
#include "pieces.h"
#include <criterion/criterion.h>
#include <string.h>

static const ProtobufCBinaryData none;
static struct cluster *c;

static ProtobufCBinaryData only_alloc(const char *job)
{
    ProtobufCBinaryData id;
    cr_assert_eq(ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, job, none, &id, 1), 1);
    return id;
}

static ProtobufCBinaryData register_with(const char *name, uint32_t priority)
{
    Pb__Job *job = a_job(c, name, 1);
    job->has_priority = 1;
    job->priority = priority;
    return register_job(c, job)->eval_id;
}

static ProtobufCBinaryData place(const char *name, uint32_t priority, uint32_t cpu, uint32_t port)
{
    Pb__Plan *p = a_plan(c, register_with(name, priority));
    plan_place(c, p, id_of(c, "node", 1), cpu, 100, port);
    cr_assert_eq(apply_a_plan(c, p)->placed, 1);
    return only_alloc(name);
}

/* One node, full: "low" of priority 20 has 3000 of its 4000 MHz and a port. */
static void begin(void)
{
    c = cluster_new();
    register_node(c, a_node(c, 1, 4000, 4000));
    place("low", 20, 3000, 8080);
}

static void end(void)
{
    cluster_free(c);
}

TestSuite(preempt, .init = begin, .fini = end);

static void displace(Pb__Placement *at, ProtobufCBinaryData alloc)
{
    Pb__Displaced *d = arena_array(c->arena, Pb__Displaced, 1);
    pb__displaced__init(d);
    d->has_alloc_id = 1;
    d->alloc_id = alloc;
    Pb__Displaced **all = arena_array(c->arena, Pb__Displaced *, at->n_preempts + 1);
    for (size_t i = 0; i < at->n_preempts; i++)
        all[i] = at->preempts[i];
    all[at->n_preempts++] = d;
    at->preempts = all;
}

static Pb__Plan *plan_displacing(const char *name, uint32_t priority, uint32_t cpu, uint32_t port,
                                 ProtobufCBinaryData victim)
{
    Pb__Plan *p = a_plan(c, register_with(name, priority));
    plan_place(c, p, id_of(c, "node", 1), cpu, 100, port);
    displace(p->placements[p->n_placements - 1], victim);
    return p;
}

Test(preempt, the_place_is_taken_in_one_entry_and_both_know_each_other)
{
    ProtobufCBinaryData low = only_alloc("low");
    Pb__Outcome *out = apply_a_plan(c, plan_displacing("high", 30, 4000, 8080, low));
    cr_assert_eq(out->placed, 1, "%s", out->n_refusals > 0 ? out->refusals[0]->reason : "");
    const Pb__Alloc *gone = get_alloc(c, low), *new = get_alloc(c, only_alloc("high"));
    cr_assert_eq(gone->desired, PB__ALLOC__DESIRED__EVICT);
    cr_assert(memcmp(gone->preempted_by.data, new->id.data, 16) == 0);
    cr_assert_eq(new->n_preempted_allocs, 1);
    cr_assert(memcmp(new->preempted_allocs[0].data, low.data, 16) == 0);
    const Pb__NodeUsage *u = get_usage(c, id_of(c, "node", 1));
    cr_assert_eq(u->used->cpu, 4000);
    cr_assert_eq(u->allocs, 1);
    cr_assert_eq(u->n_ports, 1);
}

/* Node 2 has a core and an instance. */
static Pb__Plan *plan_for_pieces(const char *name, uint32_t priority)
{
    Pb__Plan *p = a_plan(c, register_with(name, priority));
    plan_place(c, p, id_of(c, "node", 2), 10, 100, 0);
    Pb__Placement *at = p->placements[0];
    at->grants = arena_array(c->arena, Pb__TaskGrant *, 1);
    at->grants[at->n_grants++] = a_grant(c->arena, "t");
    grant_core(c->arena, at->grants[0], 0);
    grant_instance(c->arena, at->grants[0], "acme/gpu/x1", "a");
    return p;
}

Test(preempt, cores_and_devices_go_from_hand_to_hand)
{
    Pb__Node *n = a_node(c, 2, 4000, 4000);
    node_list_cores(c->arena, n, 1);
    node_add_device(c->arena, n, a_device(c->arena, "acme/gpu/x1", "a"));
    register_node(c, n);
    cr_assert_eq(apply_a_plan(c, plan_for_pieces("holder", 20))->placed, 1);
    cr_assert_eq(apply_a_plan(c, plan_for_pieces("other", 60))->placed, 0, "they are taken");
    ProtobufCBinaryData holder = only_alloc("holder");
    Pb__Plan *p = plan_for_pieces("high", 60);
    displace(p->placements[0], holder);
    cr_assert_eq(apply_a_plan(c, p)->placed, 1);
    update_alloc(c, holder, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    const Pb__NodeUsage *u = get_usage(c, id_of(c, "node", 2));
    cr_assert(u->n_cores == 1 && u->cores[0] == 0);
    cr_assert(u->n_devices == 1 && strcmp(u->devices[0], "acme/gpu/x1/a") == 0);
}

Test(preempt, the_displaced_job_is_looked_at)
{
    ProtobufCBinaryData low = only_alloc("low"), evals[8];
    size_t before = ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, "low", none, evals, 8);
    apply_a_plan(c, plan_displacing("high", 30, 4000, 8080, low));
    size_t after = ids_by(c, PB__TABLE__NAME__EVALS, PB__LIST__BY__JOB, "low", none, evals, 8);
    cr_assert_eq(after, before + 1);
    cr_assert_str_eq(get_eval(c, evals[after - 1])->triggered_by, "preemption");
}

Test(preempt, its_end_gives_nothing_back_a_second_time)
{
    ProtobufCBinaryData low = only_alloc("low");
    apply_a_plan(c, plan_displacing("high", 30, 4000, 8080, low));
    update_alloc(c, low, PB__ALLOC__CLIENT_STATUS__COMPLETE);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->used->cpu, 4000);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->allocs, 1);
}

static void check_refused(Pb__Plan *p, const char *why)
{
    Pb__Outcome *out = apply_a_plan(c, p);
    cr_assert_eq(out->placed, 0);
    cr_assert_eq(out->n_refusals, 1);
    cr_assert(strstr(out->refusals[0]->reason, why) != NULL, "%s", out->refusals[0]->reason);
    cr_assert_eq(get_alloc(c, only_alloc("low"))->desired, PB__ALLOC__DESIRED__RUN);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->used->cpu, 3000);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->allocs, 1);
}

Test(preempt, what_is_hardly_less_important_stays)
{
    check_refused(plan_displacing("near", 29, 4000, 8080, only_alloc("low")), "too important");
}

Test(preempt, what_is_not_enough_displaces_nobody)
{
    check_refused(plan_displacing("huge", 90, 5000, 9000, only_alloc("low")), "cpu");
}

Test(preempt, what_is_not_there_cannot_be_displaced)
{
    check_refused(plan_displacing("high", 90, 4000, 9000, id_of(c, "alloc", 77)), "has ended");
}

Test(preempt, one_allocation_makes_room_once)
{
    ProtobufCBinaryData low = only_alloc("low");
    Pb__Plan *p = plan_displacing("high", 90, 2000, 9000, low);
    plan_place(c, p, id_of(c, "node", 1), 2000, 100, 9001);
    displace(p->placements[1], low);
    Pb__Outcome *out = apply_a_plan(c, p);
    cr_assert_eq(out->placed, 1);
    cr_assert(strstr(out->refusals[0]->reason, "makes room already") != NULL);
    cr_assert_eq(get_usage(c, id_of(c, "node", 1))->used->cpu, 2000);
}
