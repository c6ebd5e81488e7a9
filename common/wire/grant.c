#include "wire/grant.h"
#include <stdio.h>
#include <string.h>

void device_name(char out[DEVICE_NAME_SIZE], const char *vendor, const char *type, const char *name,
                 const char *id)
{
    snprintf(out, DEVICE_NAME_SIZE, "%.128s/%.128s/%.128s/%.128s", vendor, type, name, id);
}

static void each_instance(const Pb__GrantedDevice *d, const struct grant_visitor *v)
{
    char name[DEVICE_NAME_SIZE];
    for (size_t i = 0; i < d->n_device_ids; i++) {
        device_name(name, d->vendor, d->type, d->name, d->device_ids[i]);
        v->device(v->self, name);
    }
}

void grants_each(Pb__TaskGrant *const *grants, size_t count, const struct grant_visitor *v)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < grants[i]->n_cores; k++)
            v->core(v->self, grants[i]->cores[k]);
        for (size_t k = 0; k < grants[i]->n_devices; k++)
            each_instance(grants[i]->devices[k], v);
    }
}

uint32_t grants_memory_max_mb(Pb__TaskGrant *const *grants, size_t count, const char *task)
{
    for (size_t i = 0; i < count; i++)
        if (task != NULL && strcmp(grants[i]->task, task) == 0)
            return grants[i]->memory_max_mb;
    return 0;
}

/* ---- what is sound */

static bool is_text(const char *s)
{
    size_t n = 0;
    if (s == NULL || s[0] == '\0')
        return false;
    for (; s[n] != '\0'; n++)
        if ((unsigned char)s[n] < ' ' || s[n] == 0x7f || s[n] == '/' || n == DEVICE_TEXT_MOST)
            return false;
    return true;
}

static bool is_kind(const char *vendor, const char *type, const char *name)
{
    return is_text(vendor) && is_text(type) && is_text(name);
}

static const char *grant_mistake(const Pb__TaskGrant *g)
{
    for (size_t i = 0; i < g->n_cores; i++)
        if (g->cores[i] >= CORES_MOST)
            return "a grant has a core that no node has";
    for (size_t i = 0; i < g->n_devices; i++) {
        const Pb__GrantedDevice *d = g->devices[i];
        if (!is_kind(d->vendor, d->type, d->name))
            return "a granted device needs a vendor, a type and a name";
        for (size_t k = 0; k < d->n_device_ids; k++)
            if (!is_text(d->device_ids[k]))
                return "a granted device has an instance without a name";
    }
    return g->task == NULL ? "a grant needs a task" : NULL;
}

const char *grants_mistake(Pb__TaskGrant *const *grants, size_t count)
{
    const char *wrong = NULL;
    for (size_t i = 0; i < count && wrong == NULL; i++)
        wrong = grant_mistake(grants[i]);
    return wrong;
}

static const char *attributes_mistake(const Pb__NodeDevice *d)
{
    if (d->n_attributes > DEVICE_ATTRIBUTES)
        return "a device has more than 64 attributes";
    for (size_t i = 0; i < d->n_attributes; i++) {
        const Pb__KeyValue *p = d->attributes[i];
        if (p->key == NULL || p->key[0] == '\0' || strlen(p->key) > DEVICE_TEXT_MOST ||
            (p->value != NULL && strlen(p->value) > 512))
            return "an attribute of a device has no name, or is too long";
        if (strpbrk(p->key, "\x1f\n") != NULL ||
            (p->value != NULL && strpbrk(p->value, "\x1f\n") != NULL))
            return "an attribute of a device holds what is not printable";
    }
    return NULL;
}

static int compare_devices(const Pb__NodeDevice *a, const Pb__NodeDevice *b)
{
    int c = strcmp(a->vendor, b->vendor);
    if (c == 0)
        c = strcmp(a->type, b->type);
    return c != 0 ? c : strcmp(a->name, b->name);
}

static const char *device_mistake(const Pb__NodeDevice *d, size_t *instances)
{
    if (!is_kind(d->vendor, d->type, d->name))
        return "a device needs a vendor, a type and a name, without '/', of at most 128 bytes";
    for (size_t i = 0; i < d->n_instances; i++) {
        if (!is_text(d->instances[i]->id))
            return "an instance of a device needs an id, without '/', of at most 128 bytes";
        if (i > 0 && strcmp(d->instances[i - 1]->id, d->instances[i]->id) >= 0)
            return "the instances of a device must be sorted, each once";
    }
    *instances += d->n_instances;
    return *instances > INSTANCES_MOST ? "a node has more than 1024 instances of devices"
                                       : attributes_mistake(d);
}

const char *node_pieces_mistake(const Pb__Node *node)
{
    size_t instances = 0;
    const char *wrong = NULL;
    for (size_t i = 0; i < node->n_reservable_cores; i++) {
        if (node->reservable_cores[i] >= CORES_MOST)
            return "a node has a core whose number is above 4095";
        if (i > 0 && node->reservable_cores[i - 1] >= node->reservable_cores[i])
            return "the cores of a node must be sorted, each once";
    }
    if (node->n_devices > DEVICES_MOST)
        return "a node has more than 256 devices";
    for (size_t i = 0; i < node->n_devices && wrong == NULL; i++) {
        wrong = device_mistake(node->devices[i], &instances);
        if (wrong == NULL && i > 0 && compare_devices(node->devices[i - 1], node->devices[i]) >= 0)
            wrong = "the devices of a node must be sorted, each once";
    }
    return wrong;
}
