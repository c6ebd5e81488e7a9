#include "naive_pieces.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_given(const struct naive_pieces *p, const char *name)
{
    for (size_t i = 0; i < p->given_count; i++)
        if (strcmp(p->given[i], name) == 0)
            return true;
    return false;
}

static bool core_is_free(const struct naive_pieces *p, uint32_t core)
{
    char name[64];
    snprintf(name, sizeof(name), "core %u", core);
    for (size_t i = 0; i < p->usage->n_cores; i++)
        if (p->usage->cores[i] == core)
            return false;
    return !is_given(p, name);
}

static bool instance_is_free(const struct naive_pieces *p, const Pb__NodeDevice *d, size_t i)
{
    char name[64];
    snprintf(name, sizeof(name), "%s/%s/%s/%s", d->vendor, d->type, d->name, d->instances[i]->id);
    for (size_t k = 0; k < p->usage->n_devices; k++)
        if (strcmp(p->usage->devices[k], name) == 0)
            return false;
    return d->instances[i]->healthy && !is_given(p, name);
}

static size_t free_instances(const struct naive_pieces *p, const Pb__NodeDevice *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n_instances; i++)
        n += instance_is_free(p, d, i);
    return n;
}

uint32_t naive_cores_cpu(const struct naive_pieces *p, const Pb__Resources *ask)
{
    return p->node->cores > 0 ? p->node->total->cpu / p->node->cores * ask->cores : 0;
}

/* ---- requests */

static bool is_called(const Pb__NodeDevice *d, const char *name)
{
    char two[64], three[96];
    snprintf(two, sizeof(two), "%s/%s", d->vendor, d->type);
    snprintf(three, sizeof(three), "%s/%s/%s", d->vendor, d->type, d->name);
    return strcmp(name, d->type) == 0 || strcmp(name, two) == 0 || strcmp(name, three) == 0;
}

static double bytes(const char *text)
{
    char *unit;
    double n = strtod(text, &unit);
    return strcmp(unit, " GiB") == 0 ? n * 1073741824 : n * 1e6; /* or MB */
}

/* "${device.model} = X" or "${device.attr.memory} >= X"; no others are asked for. */
static bool holds(const Pb__NodeDevice *d, const char *left, const char *right)
{
    if (strcmp(left, "${device.model}") == 0)
        return strcmp(d->name, right) == 0;
    return d->n_attributes > 0 && bytes(d->attributes[0]->value) >= bytes(right);
}

static bool suits(const Pb__NodeDevice *d, const Pb__RequestedDevice *r)
{
    for (size_t i = 0; i < r->n_constraints; i++)
        if (!holds(d, r->constraints[i]->l_target, r->constraints[i]->r_target))
            return false;
    return is_called(d, r->name);
}

static double likes(const Pb__NodeDevice *d, const Pb__RequestedDevice *r)
{
    double sum = 0;
    for (size_t i = 0; i < r->n_affinities; i++)
        if (holds(d, r->affinities[i]->l_target, r->affinities[i]->r_target))
            sum += r->affinities[i]->weight;
    return sum;
}

/* Of the node's devices the one that the request likes best among those not tried yet. */
static size_t next_best(const Pb__Node *n, const Pb__RequestedDevice *r, const bool *tried)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n->n_devices; i++)
        if (!tried[i] && suits(n->devices[i], r) &&
            (best == SIZE_MAX || likes(n->devices[i], r) > likes(n->devices[best], r)))
            best = i;
    return best;
}

static bool choose(const struct naive_pieces *p, const Pb__Resources *ask, size_t request,
                   size_t *left, double *liked)
{
    if (request == ask->n_devices)
        return true;
    const Pb__RequestedDevice *r = ask->devices[request];
    bool tried[MOST_PIECES] = {false};
    for (size_t i; (i = next_best(p->node, r, tried)) != SIZE_MAX; tried[i] = true) {
        if (left[i] < r->count)
            continue;
        left[i] -= r->count;
        if (choose(p, ask, request + 1, left, liked)) {
            *liked += likes(p->node->devices[i], r);
            return true;
        }
        left[i] += r->count;
    }
    return false;
}

static bool choose_all(const struct naive_pieces *p, const Pb__Resources *ask, double *liked)
{
    size_t left[MOST_PIECES] = {0};
    *liked = 0;
    for (size_t i = 0; i < p->node->n_devices; i++)
        left[i] = free_instances(p, p->node->devices[i]);
    return choose(p, ask, 0, left, liked);
}

/* ---- */

bool naive_pieces_fit(const struct naive_pieces *p, const Pb__Resources *ask)
{
    size_t cores = 0;
    double liked;
    for (size_t i = 0; i < p->node->n_reservable_cores; i++)
        cores += core_is_free(p, p->node->reservable_cores[i]);
    return cores >= ask->cores && choose_all(p, ask, &liked);
}

double naive_device_affinity(const struct naive_pieces *p, const Pb__Resources *ask,
                             double *weights)
{
    double liked;
    *weights = 0;
    for (size_t i = 0; i < ask->n_devices; i++)
        for (size_t k = 0; k < ask->devices[i]->n_affinities; k++)
            *weights += abs(ask->devices[i]->affinities[k]->weight);
    choose_all(p, ask, &liked);
    return liked;
}

static void give(struct naive_pieces *p, const char *name)
{
    cr_assert_lt(p->given_count, MOST_PIECES);
    snprintf(p->given[p->given_count++], sizeof(p->given[0]), "%s", name);
}

static void take_core(struct naive_pieces *p, uint32_t core, const char *label)
{
    char name[64];
    bool there = false;
    for (size_t i = 0; i < p->node->n_reservable_cores; i++)
        there = there || p->node->reservable_cores[i] == core;
    cr_assert(there && core_is_free(p, core), "%s: core %u is not free", label, core);
    snprintf(name, sizeof(name), "core %u", core);
    give(p, name);
}

static void take_instance(struct naive_pieces *p, const Pb__GrantedDevice *g, const char *id,
                          const char *label)
{
    char name[64];
    bool free = false;
    for (size_t i = 0; i < p->node->n_devices; i++) {
        const Pb__NodeDevice *d = p->node->devices[i];
        for (size_t k = 0; k < d->n_instances && strcmp(d->name, g->name) == 0; k++)
            if (strcmp(d->instances[k]->id, id) == 0)
                free = instance_is_free(p, d, k);
    }
    snprintf(name, sizeof(name), "%s/%s/%s/%s", g->vendor, g->type, g->name, id);
    cr_assert(free, "%s: %s is not free", label, name);
    give(p, name);
}

static void check_request(const struct naive_pieces *p, const Pb__RequestedDevice *r,
                          const Pb__GrantedDevice *g, const char *label)
{
    bool found = false;
    for (size_t i = 0; i < p->node->n_devices; i++)
        found = found ||
                (strcmp(p->node->devices[i]->name, g->name) == 0 && suits(p->node->devices[i], r));
    cr_assert(found, "%s: not such a device as was asked for", label);
    cr_assert_eq(g->n_device_ids, r->count, "%s: not as many as asked for", label);
}

static void take_devices(struct naive_pieces *p, const Pb__RequestedDevice *r,
                         const Pb__GrantedDevice *g, const char *label)
{
    check_request(p, r, g, label);
    for (size_t k = 0; k < g->n_device_ids; k++)
        take_instance(p, g, g->device_ids[k], label);
}

static void take_grant(struct naive_pieces *p, const Pb__Resources *ask, const Pb__TaskGrant *g,
                       const char *label)
{
    cr_assert(g->n_cores == ask->cores && g->n_devices == ask->n_devices,
              "%s: %zu cores and %zu devices", label, g->n_cores, g->n_devices);
    for (size_t i = 0; i < g->n_cores; i++)
        take_core(p, g->cores[i], label);
    for (size_t i = 0; i < g->n_devices; i++)
        take_devices(p, ask->devices[i], g->devices[i], label);
}

void naive_pieces_take(struct naive_pieces *p, const Pb__Resources *ask, const Pb__Placement *at,
                       const char *label)
{
    size_t wanted = ask->cores + ask->n_devices > 0 ? 1 : 0;
    cr_assert_eq(at->n_grants, wanted, "%s: %zu grants", label, at->n_grants);
    for (size_t i = 0; i < wanted; i++)
        take_grant(p, ask, at->grants[i], label);
}
