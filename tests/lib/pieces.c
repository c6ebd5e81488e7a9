#include "pieces.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* "acme/gpu/x1", taken apart. */
static void take_apart(struct arena *a, const char *kind, char **vendor, char **type, char **name)
{
    char parts[3][32];
    cr_assert_eq(sscanf(kind, "%31[^/]/%31[^/]/%31s", parts[0], parts[1], parts[2]), 3);
    *vendor = arena_strdup(a, parts[0]);
    *type = arena_strdup(a, parts[1]);
    *name = arena_strdup(a, parts[2]);
}

static void *grown(struct arena *a, void *list, size_t count, size_t size)
{
    char *more = arena_alloc(a, (count + 1) * size);
    if (count > 0)
        memcpy(more, list, count * size);
    return more;
}

Pb__NodeDevice *a_device(struct arena *a, const char *kind, const char *ids)
{
    Pb__NodeDevice *d = arena_array(a, Pb__NodeDevice, 1);
    pb__node_device__init(d);
    take_apart(a, kind, &d->vendor, &d->type, &d->name);
    char *rest = NULL;
    for (char *id = strtok_r(arena_strdup(a, ids), " ", &rest); id != NULL;
         id = strtok_r(NULL, " ", &rest)) {
        Pb__NodeDeviceInstance *one = arena_array(a, Pb__NodeDeviceInstance, 1);
        pb__node_device_instance__init(one);
        one->id = id;
        one->has_healthy = one->healthy = 1;
        d->instances = grown(a, d->instances, d->n_instances, sizeof(void *));
        d->instances[d->n_instances++] = one;
    }
    return d;
}

void device_attribute(struct arena *a, Pb__NodeDevice *d, const char *key, const char *value)
{
    Pb__KeyValue *p = arena_array(a, Pb__KeyValue, 1);
    pb__key_value__init(p);
    p->key = arena_strdup(a, key);
    p->value = arena_strdup(a, value);
    d->attributes = grown(a, d->attributes, d->n_attributes, sizeof(void *));
    d->attributes[d->n_attributes++] = p;
}

void node_add_device(struct arena *a, Pb__Node *n, Pb__NodeDevice *d)
{
    n->devices = grown(a, n->devices, n->n_devices, sizeof(void *));
    n->devices[n->n_devices++] = d;
}

void node_list_cores(struct arena *a, Pb__Node *n, uint32_t count)
{
    n->reservable_cores = arena_array(a, uint32_t, count + 1);
    for (n->n_reservable_cores = 0; n->n_reservable_cores < count; n->n_reservable_cores++)
        n->reservable_cores[n->n_reservable_cores] = (uint32_t)n->n_reservable_cores;
}

Pb__TaskGrant *a_grant(struct arena *a, const char *task)
{
    Pb__TaskGrant *g = arena_array(a, Pb__TaskGrant, 1);
    pb__task_grant__init(g);
    g->task = arena_strdup(a, task);
    return g;
}

void grant_core(struct arena *a, Pb__TaskGrant *g, uint32_t core)
{
    g->cores = grown(a, g->cores, g->n_cores, sizeof(uint32_t));
    g->cores[g->n_cores++] = core;
}

void grant_instance(struct arena *a, Pb__TaskGrant *g, const char *kind, const char *id)
{
    Pb__GrantedDevice *d = arena_array(a, Pb__GrantedDevice, 1);
    pb__granted_device__init(d);
    take_apart(a, kind, &d->vendor, &d->type, &d->name);
    d->device_ids = grown(a, NULL, 0, sizeof(char *));
    d->device_ids[d->n_device_ids++] = arena_strdup(a, id);
    g->devices = grown(a, g->devices, g->n_devices, sizeof(void *));
    g->devices[g->n_devices++] = d;
}
