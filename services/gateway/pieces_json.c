#include "pieces_json.h"
#include "wire/json.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- a node's devices */

/* What follows a number, without the space between: letters and one '/'. */
static bool is_unit(const char *s)
{
    size_t letters = 0, slashes = 0;
    for (; *s != '\0'; s++) {
        letters += isalpha((unsigned char)*s) != 0;
        slashes += *s == '/';
        if (!isalpha((unsigned char)*s) && *s != '/')
            return false;
    }
    return letters > 0 && letters < 6 && slashes < 2;
}

/* "11 GiB" is the number 11 with a unit, "true" is a truth, "515.48.07" a text. */
static json_t *attribute_json(const char *text)
{
    char *end, *whole_end;
    json_t *tree = json_pack("{sn,sn,sn,sn,ss}", "Bool", "Float", "Int", "String", "Unit", "");
    errno = 0;
    long long whole = strtoll(text, &whole_end, 10);
    double number = strtod(text, &end);
    const char *unit = *end == ' ' ? end + 1 : end;
    bool is_number = end != text && errno == 0 && !isspace((unsigned char)text[0]) &&
                     (isdigit((unsigned char)text[0]) || text[0] == '-') &&
                     (*end == '\0' || is_unit(unit));
    if (is_number) {
        bool integer = whole_end == end;
        json_put(tree, integer ? "Int" : "Float",
                 integer ? json_integer(whole) : json_real(number));
        json_put(tree, "Unit", json_text(unit));
    } else if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        json_put(tree, "Bool", json_boolean(text[0] == 't'));
    } else {
        json_put(tree, "String", json_text(text));
    }
    return tree;
}

static json_t *instances_json(const Pb__NodeDevice *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->n_instances; i++)
        json_array_append_new(list, json_pack("{so,so,so,sn}", "HealthDescription",
                                              json_text(d->instances[i]->health_description),
                                              "Healthy", json_boolean(d->instances[i]->healthy),
                                              "ID", json_text(d->instances[i]->id), "Locality"));
    return list;
}

json_t *node_devices_json(const Pb__Node *n)
{
    if (n->n_devices == 0)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < n->n_devices; i++) {
        const Pb__NodeDevice *d = n->devices[i];
        json_t *attributes = json_object();
        for (size_t k = 0; k < d->n_attributes; k++)
            json_put(
                attributes, d->attributes[k]->key,
                attribute_json(d->attributes[k]->value == NULL ? "" : d->attributes[k]->value));
        json_array_append_new(list,
                              json_pack("{so,so,so,so,so}", "Attributes", attributes, "Instances",
                                        instances_json(d), "Name", json_text(d->name), "Type",
                                        json_text(d->type), "Vendor", json_text(d->vendor)));
    }
    return list;
}

/* ---- cores */

static json_t *numbers_json(const uint32_t *numbers, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(numbers[i]));
    return list;
}

json_t *node_cores_json(const Pb__Node *n)
{
    return numbers_json(n->reservable_cores, n->n_reservable_cores);
}

json_t *node_reserved_cores_json(const Pb__Node *n)
{
    json_t *list = json_array();
    size_t next = 0;
    for (uint32_t i = 0; n->n_reservable_cores > 0 && i < n->cores; i++) {
        while (next < n->n_reservable_cores && n->reservable_cores[next] < i)
            next++;
        if (next == n->n_reservable_cores || n->reservable_cores[next] != i)
            json_array_append_new(list, json_integer(i));
    }
    return list;
}

/* ---- what was given */

const Pb__TaskGrant *grant_of(const Pb__Alloc *a, const char *task)
{
    for (size_t i = 0; i < a->n_grants; i++)
        if (task != NULL && a->grants[i]->task != NULL && strcmp(a->grants[i]->task, task) == 0)
            return a->grants[i];
    return NULL;
}

json_t *granted_cores_json(const Pb__TaskGrant *g)
{
    return g == NULL || g->n_cores == 0 ? json_null() : numbers_json(g->cores, g->n_cores);
}

json_t *granted_devices_json(const Pb__TaskGrant *g)
{
    if (g == NULL || g->n_devices == 0)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < g->n_devices; i++) {
        const Pb__GrantedDevice *d = g->devices[i];
        json_t *ids = json_array();
        for (size_t k = 0; k < d->n_device_ids; k++)
            json_array_append_new(ids, json_text(d->device_ids[k]));
        json_array_append_new(list, json_pack("{so,so,so,so}", "DeviceIDs", ids, "Name",
                                              json_text(d->name), "Type", json_text(d->type),
                                              "Vendor", json_text(d->vendor)));
    }
    if (json_array_size(list) > 0)
        return list;
    json_decref(list);
    return json_null();
}

/* What is left of the whole beside the tasks that asked for MHz is that of the cores. */
uint32_t task_cpu(const Pb__Alloc *a, const Pb__TaskGroup *group, const Pb__Task *task)
{
    const Pb__TaskGrant *own = grant_of(a, task->name);
    if (own == NULL || own->n_cores == 0)
        return task->resources == NULL ? 0 : task->resources->cpu;
    uint64_t of_cores = a->resources == NULL ? 0 : a->resources->cpu, cores = 0;
    for (size_t i = 0; i < group->n_tasks; i++) {
        const Pb__TaskGrant *g = grant_of(a, group->tasks[i]->name);
        const Pb__Resources *r = group->tasks[i]->resources;
        cores += g == NULL ? 0 : g->n_cores;
        if (r != NULL)
            of_cores -= r->cpu < of_cores ? r->cpu : of_cores;
    }
    return cores == 0 ? 0 : (uint32_t)(of_cores * own->n_cores / cores);
}
