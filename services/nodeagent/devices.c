#include "devices.h"
#include "wire/grant.h"
#include "wire/wire.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading */

static enum err take_text(struct arena *a, const json_t *object, const char *key, char **out,
                          struct reason *why)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL)
        return OK;
    if (!json_is_string(value))
        return reason_set(why, ERR_INVALID, "\"%s\" must be a text", key);
    *out = arena_strdup(a, json_string_value(value));
    return OK;
}

static enum err check_keys(const json_t *object, const char *const *known, struct reason *why)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0)
            i++;
        if (known[i] == NULL)
            return reason_set(why, ERR_INVALID, "unknown key \"%.60s\"", key);
    }
    return OK;
}

/* A text is the id of a healthy one. */
static enum err read_instance(struct arena *a, const json_t *j, Pb__NodeDeviceInstance **out,
                              struct reason *why)
{
    static const char *const keys[] = {"id", "healthy", "health_description", NULL};
    Pb__NodeDeviceInstance *n = *out = arena_array(a, Pb__NodeDeviceInstance, 1);
    pb__node_device_instance__init(n);
    n->has_healthy = n->healthy = true;
    if (json_is_string(j)) {
        n->id = arena_strdup(a, json_string_value(j));
        return OK;
    }
    if (!json_is_object(j))
        return reason_set(why, ERR_INVALID, "an instance must be a text or an object");
    const json_t *healthy = json_object_get(j, "healthy");
    if (healthy != NULL && !json_is_boolean(healthy))
        return reason_set(why, ERR_INVALID, "\"healthy\" must be true or false");
    n->healthy = healthy == NULL || json_is_true(healthy);
    enum err e = check_keys(j, keys, why);
    if (e == OK)
        e = take_text(a, j, "id", &n->id, why);
    return e == OK ? take_text(a, j, "health_description", &n->health_description, why) : e;
}

static int by_id(const void *a, const void *b)
{
    const char *x = (*(Pb__NodeDeviceInstance *const *)a)->id,
               *y = (*(Pb__NodeDeviceInstance *const *)b)->id;
    return strcmp(x != NULL ? x : "", y != NULL ? y : "");
}

static enum err read_instances(struct arena *a, const json_t *list, Pb__NodeDevice *d,
                               struct reason *why)
{
    enum err e = OK;
    if (!json_is_array(list) || json_array_size(list) > INSTANCES_MOST)
        return reason_set(why, ERR_INVALID, "\"instances\" must be a list of at most %d",
                          INSTANCES_MOST);
    d->instances = arena_array(a, Pb__NodeDeviceInstance *, json_array_size(list) + 1);
    for (size_t i = 0; e == OK && i < json_array_size(list); i++)
        e = read_instance(a, json_array_get(list, i), &d->instances[d->n_instances++], why);
    if (e == OK && d->n_instances > 1)
        qsort(d->instances, d->n_instances, sizeof(*d->instances), by_id);
    return e;
}

/* Numbers and truths become the texts they are written with. */
static char *value_text(struct arena *a, const json_t *value)
{
    if (json_is_string(value))
        return arena_strdup(a, json_string_value(value));
    if (json_is_integer(value))
        return arena_printf(a, "%lld", (long long)json_integer_value(value));
    if (json_is_real(value))
        return arena_printf(a, "%.15g", json_real_value(value));
    return json_is_boolean(value) ? arena_strdup(a, json_is_true(value) ? "true" : "false") : NULL;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(Pb__KeyValue *const *)a)->key, (*(Pb__KeyValue *const *)b)->key);
}

static enum err read_attributes(struct arena *a, const json_t *object, Pb__NodeDevice *d,
                                struct reason *why)
{
    const char *key;
    json_t *value;
    if (object == NULL)
        return OK;
    if (!json_is_object(object) || json_object_size(object) > DEVICE_ATTRIBUTES)
        return reason_set(why, ERR_INVALID, "\"attributes\" must be an object of at most %d",
                          DEVICE_ATTRIBUTES);
    d->attributes = arena_array(a, Pb__KeyValue *, json_object_size(object) + 1);
    json_object_foreach((json_t *)object, key, value)
    {
        Pb__KeyValue *p = arena_array(a, Pb__KeyValue, 1);
        pb__key_value__init(p);
        p->key = arena_strdup(a, key);
        p->value = value_text(a, value);
        if (p->value == NULL)
            return reason_set(why, ERR_INVALID, "attribute \"%.60s\" must be a text or a number",
                              key);
        d->attributes[d->n_attributes++] = p;
    }
    if (d->n_attributes > 1)
        qsort(d->attributes, d->n_attributes, sizeof(*d->attributes), by_key);
    return OK;
}

static enum err read_device(struct arena *a, const json_t *j, Pb__NodeDevice **out,
                            struct reason *why)
{
    static const char *const keys[] = {"vendor", "type", "name", "instances", "attributes", NULL};
    Pb__NodeDevice *d = *out = arena_array(a, Pb__NodeDevice, 1);
    pb__node_device__init(d);
    if (!json_is_object(j))
        return reason_set(why, ERR_INVALID, "a device must be an object");
    enum err e = check_keys(j, keys, why);
    if (e == OK)
        e = take_text(a, j, "vendor", &d->vendor, why);
    if (e == OK)
        e = take_text(a, j, "type", &d->type, why);
    if (e == OK)
        e = take_text(a, j, "name", &d->name, why);
    if (e == OK)
        e = read_instances(a, json_object_get(j, "instances"), d, why);
    return e == OK ? read_attributes(a, json_object_get(j, "attributes"), d, why) : e;
}

/* ---- the list */

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static int by_name(const void *a, const void *b)
{
    const Pb__NodeDevice *x = *(Pb__NodeDevice *const *)a, *y = *(Pb__NodeDevice *const *)b;
    int c = strcmp(or_empty(x->vendor), or_empty(y->vendor));
    if (c == 0)
        c = strcmp(or_empty(x->type), or_empty(y->type));
    return c != 0 ? c : strcmp(or_empty(x->name), or_empty(y->name));
}

static enum err read_list(struct arena *a, const json_t *root, Pb__Node *node, struct reason *why)
{
    static const char *const keys[] = {"devices", NULL};
    const json_t *list = json_object_get(root, "devices");
    if (!json_is_array(list))
        return reason_set(why, ERR_INVALID, "must be an object with a list \"devices\"");
    size_t count = json_array_size(list);
    if (count + node->n_devices > DEVICES_MOST)
        return reason_set(why, ERR_INVALID, "a node may list at most %d devices", DEVICES_MOST);
    Pb__NodeDevice **devices = arena_array(a, Pb__NodeDevice *, count + node->n_devices + 1);
    for (size_t i = 0; i < node->n_devices; i++)
        devices[i] = node->devices[i];
    enum err e = check_keys(root, keys, why);
    for (size_t i = 0; e == OK && i < count; i++)
        if ((e = read_device(a, json_array_get(list, i), &devices[node->n_devices + i], why)) != OK)
            reason_add(why, e, "devices[%zu]", i);
    node->devices = devices;
    node->n_devices += count;
    if (e == OK && node->n_devices > 1)
        qsort(devices, node->n_devices, sizeof(*devices), by_name);
    return e;
}

enum err devices_add(struct arena *a, const char *text, size_t len, Pb__Node *node,
                     struct reason *why)
{
    json_error_t error;
    if (len > DEVICES_TEXT_MOST)
        return reason_set(why, ERR_INVALID, "is longer than %u bytes", DEVICES_TEXT_MOST);
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return reason_set(why, ERR_INVALID, "line %d: not JSON: %.100s", error.line, error.text);
    Pb__Node with = *node;
    enum err e = read_list(a, root, &with, why);
    json_decref(root);
    const char *mistake = e == OK ? node_pieces_mistake(&with) : NULL;
    if (mistake != NULL)
        e = reason_set(why, ERR_INVALID, "%s", mistake);
    if (e == OK) {
        node->devices = with.devices;
        node->n_devices = with.n_devices;
    }
    return e;
}

bool devices_are_same(const Pb__Node *a, const Pb__Node *b)
{
    if (a->n_devices != b->n_devices)
        return false;
    for (size_t i = 0; i < a->n_devices; i++)
        if (!wire_equal(&a->devices[i]->base, &b->devices[i]->base))
            return false;
    return true;
}

/* ---- what was given */

const Pb__NodeDevice *devices_find(const Pb__Node *node, const Pb__GrantedDevice *g)
{
    for (size_t i = 0; i < node->n_devices; i++) {
        const Pb__NodeDevice *d = node->devices[i];
        if (strcmp(d->vendor, or_empty(g->vendor)) == 0 &&
            strcmp(d->type, or_empty(g->type)) == 0 && strcmp(d->name, or_empty(g->name)) == 0)
            return d;
    }
    return NULL;
}

const char *device_attribute_of(const Pb__NodeDevice *d, const char *key)
{
    for (size_t i = 0; i < d->n_attributes; i++)
        if (strcmp(d->attributes[i]->key, key) == 0)
            return d->attributes[i]->value;
    return NULL;
}

static void visit_path(struct arena *a, const char *path, const Pb__GrantedDevice *g, void *self,
                       void (*visit)(void *self, const char *path))
{
    const char *hole = strstr(path, "{id}");
    if (hole == NULL) {
        visit(self, path);
        return;
    }
    for (size_t i = 0; i < g->n_device_ids; i++)
        visit(self,
              arena_printf(a, "%.*s%s%s", (int)(hole - path), path, g->device_ids[i], hole + 4));
}

static void visit_list(struct arena *a, const char *paths, const Pb__GrantedDevice *g, void *self,
                       void (*visit)(void *self, const char *path))
{
    char *rest = paths != NULL ? arena_strdup(a, paths) : NULL, *one;
    while ((one = strsep(&rest, ",")) != NULL) {
        one += strspn(one, " ");
        if (*one != '\0')
            visit_path(a, one, g, self, visit);
    }
}

void devices_each_path(struct arena *a, const Pb__Node *node, const Pb__GrantedDevice *g,
                       void *self, void (*visit)(void *self, const char *path))
{
    const Pb__NodeDevice *d = devices_find(node, g);
    if (d == NULL)
        return;
    visit_list(a, device_attribute_of(d, "path"), g, self, visit);
    for (size_t i = 0; i < g->n_device_ids; i++)
        visit_list(a, device_attribute_of(d, arena_printf(a, "path.%s", g->device_ids[i])), g, self,
                   visit);
}
