#include "world.h"
#include "sched/reconcile.h"

static const char *const racks[] = {"a", "b", "c"};

static void add_nodes(struct onejob *c, struct prng *r)
{
    size_t n = 1 + prng_below(r, 30);
    for (size_t i = 0; i < n; i++) {
        Pb__Node *node = onejob_add_node(c, 500 + (uint32_t)prng_below(r, 4) * 500,
                                         512 + (uint32_t)prng_below(r, 4) * 512, 10000);
        node_set_attribute(c, node, "rack", racks[prng_below(r, 3)]);
        node_set_attribute(c, node, "unique.name", node->name);
        if (prng_below(r, 10) == 0)
            node->datacenter = arena_strdup(c->arena, "dc2");
        if (prng_below(r, 10) == 0)
            node->drivers[0]->healthy = 0;
        if (prng_below(r, 10) == 0)
            node->eligibility = PB__NODE__ELIGIBILITY__INELIGIBLE;
    }
}

void world_add_constraints(struct onejob *c, Pb__TaskGroup *g, struct prng *r)
{
    if (prng_below(r, 3) == 0)
        g->constraints[g->n_constraints++] = a_constraint(
            c->arena, "${attr.rack}", prng_below(r, 2) ? "=" : "!=", racks[prng_below(r, 3)]);
    if (prng_below(r, 6) == 0)
        g->constraints[g->n_constraints++] =
            a_constraint(c->arena, "${attr.unique.name}", "!=", "n1");
    if (prng_below(r, 6) == 0)
        g->constraints[g->n_constraints++] = a_constraint(c->arena, "", "distinct_hosts", "true");
}

void world_make_disk_scarce(struct onejob *c, struct prng *r)
{
    for (size_t i = 0; i < c->node_count; i++)
        c->nodes[i]->total->disk_mb = 100 + (uint32_t)prng_below(r, 4) * 300;
    for (size_t i = 0; i < c->view.job->n_task_groups; i++) {
        Pb__Resources *ask = c->view.job->task_groups[i]->tasks[0]->resources;
        ask->has_disk_mb = 1;
        ask->disk_mb = 50 + (uint32_t)prng_below(r, 300);
    }
}

void world_make(struct onejob *c, struct prng *r, unsigned seed)
{
    prng_seed(r, seed);
    onejob_init(c);
    add_nodes(c, r);
    Pb__Job *job =
        onejob_set_job(c, prng_below(r, 2) ? "service" : "batch", (uint32_t)prng_below(r, 60),
                       10 + (uint32_t)prng_below(r, 300), 10 + (uint32_t)prng_below(r, 300));
    world_add_constraints(c, job->task_groups[0], r);
    if (prng_below(r, 3) == 0)
        group_add_port(c, job->task_groups[0], "http", 0);
    if (prng_below(r, 8) == 0)
        group_add_port(c, job->task_groups[0], "fixed", 8080 + (uint32_t)prng_below(r, 2) * 20000);
    if (seed % 4 == 3)
        world_make_disk_scarce(c, r);
}

void world_event(struct onejob *c, struct prng *r)
{
    Pb__Node *node = c->nodes[prng_below(r, c->node_count)];
    Pb__Alloc *alloc =
        c->view.n_allocs > 0 ? c->view.allocs[prng_below(r, c->view.n_allocs)] : NULL;
    switch (prng_below(r, 8)) {
    case 0:
        node->status = PB__NODE__STATUS__DOWN;
        break;
    case 1:
        node->status = PB__NODE__STATUS__READY;
        break;
    case 2:
        onejob_next_version(c)->task_groups[0]->count = (uint32_t)prng_below(r, 60);
        break;
    case 3:
        onejob_next_version(c)->task_groups[0]->tasks[0]->user =
            arena_printf(c->arena, "u%u", (unsigned)prng_below(r, 1000));
        break;
    case 4:
        world_add_constraints(c, onejob_next_version(c)->task_groups[0], r);
        break;
    case 5:
        onejob_next_version(c)->stop = prng_below(r, 2) == 0;
        break;
    default:
        if (alloc != NULL && !alloc_is_terminal(alloc))
            onejob_end_alloc(c, alloc,
                             prng_below(r, 2) ? PB__ALLOC__CLIENT_STATUS__COMPLETE
                                              : PB__ALLOC__CLIENT_STATUS__FAILED);
    }
}
