/* The cores and the device instances that are given to tasks, in a node's usage: sorted lists. */
#include "state/internal.h"
#include "wire/grant.h"
#include <string.h>

struct pieces {
    struct view *view;
    Pb__NodeUsage *usage;
};

/* ---- cores */

static size_t core_slot(const Pb__NodeUsage *u, uint32_t core)
{
    size_t i = 0;
    while (i < u->n_cores && u->cores[i] < core)
        i++;
    return i;
}

static void add_core(void *self, uint32_t core)
{
    const struct pieces *p = self;
    Pb__NodeUsage *u = p->usage;
    size_t at = core_slot(u, core), n = u->n_cores;
    uint32_t *cores = arena_array(p->view->arena, uint32_t, n + 1);
    if (at > 0)
        memcpy(cores, u->cores, at * sizeof *cores);
    if (at < n)
        memcpy(cores + at + 1, u->cores + at, (n - at) * sizeof *cores);
    cores[at] = core;
    u->cores = cores;
    u->n_cores++;
}

static void remove_core(void *self, uint32_t core)
{
    Pb__NodeUsage *u = ((const struct pieces *)self)->usage;
    size_t at = core_slot(u, core);
    if (at == u->n_cores || u->cores[at] != core)
        return;
    u->n_cores--;
    memmove(u->cores + at, u->cores + at + 1, (u->n_cores - at) * sizeof *u->cores);
}

/* ---- devices */

static size_t device_slot(const Pb__NodeUsage *u, const char *name)
{
    size_t i = 0;
    while (i < u->n_devices && strcmp(u->devices[i], name) < 0)
        i++;
    return i;
}

static void add_device(void *self, const char *name)
{
    const struct pieces *p = self;
    Pb__NodeUsage *u = p->usage;
    size_t at = device_slot(u, name), n = u->n_devices;
    char **names = arena_array(p->view->arena, char *, n + 1);
    if (at > 0)
        memcpy(names, u->devices, at * sizeof *names);
    if (at < n)
        memcpy(names + at + 1, u->devices + at, (n - at) * sizeof *names);
    names[at] = arena_strdup(p->view->arena, name);
    u->devices = names;
    u->n_devices++;
}

static void remove_device(void *self, const char *name)
{
    Pb__NodeUsage *u = ((const struct pieces *)self)->usage;
    size_t at = device_slot(u, name);
    if (at == u->n_devices || strcmp(u->devices[at], name) != 0)
        return;
    u->n_devices--;
    memmove(u->devices + at, u->devices + at + 1, (u->n_devices - at) * sizeof *u->devices);
}

/* ---- */

void pieces_add(struct view *v, Pb__NodeUsage *u, const struct load *l)
{
    struct pieces p = {v, u};
    grants_each(l->grants, l->grant_count, &(struct grant_visitor){&p, add_core, add_device});
}

void pieces_remove(struct view *v, Pb__NodeUsage *u, const struct load *l)
{
    struct pieces p = {v, u};
    grants_each(l->grants, l->grant_count, &(struct grant_visitor){&p, remove_core, remove_device});
}

struct load alloc_load(const Pb__Alloc *a)
{
    return (struct load){a->resources, a->ports, a->n_ports, a->grants, a->n_grants};
}

struct load placement_load(const Pb__Placement *p)
{
    return (struct load){p->resources, p->ports, p->n_ports, p->grants, p->n_grants};
}
