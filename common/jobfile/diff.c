#include "jobfile/diff.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "jobfile/diff_fields.h"
#include "wire/json.h"
#include <stdlib.h>
#include <string.h>

/* A part of a job, group or task that is told as objects of their own. */
struct part {
    const char *key;  /* in JSON */
    const char *name; /* in the diff */
    enum { ONE, SET, NAMED, TEXTS, FREE, FREE_IN_BOTH } shape;
};

static const struct part job_parts[] = {
    {"Datacenters", "Datacenters", TEXTS}, {"Constraints", "Constraint", SET},
    {"Affinities", "Affinity", SET},       {"Spreads", "Spread", SET},
    {"Periodic", "Periodic", ONE},         {"ParameterizedJob", "ParameterizedJob", ONE},
    {"Multiregion", "Multiregion", ONE},   {NULL, NULL, ONE},
};
static const struct part group_parts[] = {
    {"Constraints", "Constraint", SET},
    {"Affinities", "Affinity", SET},
    {"Spreads", "Spread", SET},
    {"RestartPolicy", "RestartPolicy", ONE},
    {"ReschedulePolicy", "ReschedulePolicy", ONE},
    {"EphemeralDisk", "EphemeralDisk", ONE},
    {"Update", "Update", ONE},
    {"Networks", "Network", SET},
    {"Services", "Service", NAMED},
    {"Volumes", "Volume", FREE},
    {"Scaling", "Scaling", FREE_IN_BOTH}, /* to come or go it changes nothing */
    {NULL, NULL, ONE},
};
static const struct part task_parts[] = {
    {"Constraints", "Constraint", SET},
    {"Affinities", "Affinity", SET},
    {"Config", "Config", FREE},
    {"Resources", "Resources", ONE},
    {"LogConfig", "LogConfig", ONE},
    {"DispatchPayload", "DispatchPayload", ONE},
    {"Lifecycle", "Lifecycle", ONE},
    {"Artifacts", "Artifact", SET},
    {"VolumeMounts", "VolumeMount", SET},
    {"Services", "Service", NAMED},
    {"Vault", "Vault", ONE},
    {"Templates", "Template", SET},
    {NULL, NULL, ONE},
};

static const char *type_of(const json_t *old, const json_t *now)
{
    bool was = old != NULL && !json_is_null(old), is = now != NULL && !json_is_null(now);
    return !was && !is            ? "None"
           : !was                 ? "Added"
           : !is                  ? "Deleted"
           : json_equal(old, now) ? "None"
                                  : "Edited";
}

static json_t *list_or_null(json_t *list)
{
    if (json_array_size(list) > 0)
        return list;
    json_decref(list);
    return json_null();
}

static const json_t *get(const json_t *object, const char *key)
{
    return json_object_get(object, key); /* of NULL and null: NULL */
}

/* ---- objects */

static void add_object(json_t *out, const char *name, const json_t *old, const json_t *now);

static json_t *object_new(const char *name, const char *type, json_t *fields, json_t *objects)
{
    return json_pack("{so,ss,so,ss}", "Fields", list_or_null(fields), "Name", name, "Objects",
                     list_or_null(objects), "Type", type);
}

/* Lists of texts: which came and which went; those that stay come with them. */
static void add_texts(json_t *out, const char *name, const json_t *old, const json_t *now)
{
    json_t *fields = json_array();
    bool added = false, deleted = false;
    size_t i;
    const json_t *text;
    json_array_foreach((json_t *)(uintptr_t)old, i, text)
    {
        bool stays = array_has(now, text);
        deleted |= !stays;
        field_add(fields, name, text, stays ? text : NULL, true);
    }
    json_array_foreach((json_t *)(uintptr_t)now, i, text)
    {
        if (array_has(old, text))
            continue;
        added = true;
        field_add(fields, name, NULL, text, true);
    }
    if (!added && !deleted) {
        json_decref(fields);
        return;
    }
    fields_sort(fields);
    const char *type = added && deleted ? "Edited" : added ? "Added" : "Deleted";
    json_array_append_new(out, object_new(name, type, fields, json_array()));
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Those of one list that the other lacks, in the order of their JSON text: lists of things without
 * a name have none. */
static void add_missing(json_t *out, const char *name, const json_t *list, const json_t *other,
                        bool added)
{
    char **texts = xcalloc(json_array_size(list) + 1, sizeof(*texts));
    size_t i, count = 0;
    const json_t *one;
    json_array_foreach((json_t *)(uintptr_t)list, i, one) if (!array_has(other, one))
        texts[count++] = json_dumps(one, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    if (count > 0)
        qsort(texts, count, sizeof(*texts), compare_texts);
    for (i = 0; i < count; i++) {
        json_t *copy = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        add_object(out, name, added ? NULL : copy, added ? copy : NULL);
        json_decref(copy);
        free(texts[i]);
    }
    free(texts);
}

/* Each came or went. Those that came are told first. */
static void add_set(json_t *out, const char *name, const json_t *old, const json_t *now)
{
    add_missing(out, name, now, old, true);
    add_missing(out, name, old, now, false);
}

static const json_t *find_named(const json_t *list, const json_t *name)
{
    size_t i;
    const json_t *one;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       one) if (json_equal(get(one, "Name"), name)) return one;
    return NULL;
}

static void add_named(json_t *out, const char *name, const json_t *old, const json_t *now)
{
    size_t i;
    const json_t *one;
    json_array_foreach((json_t *)(uintptr_t)now, i, one)
        add_object(out, name, find_named(old, get(one, "Name")), one);
    json_array_foreach((json_t *)(uintptr_t)old, i, one) if (find_named(now, get(one, "Name")) ==
                                                             NULL) add_object(out, name, one, NULL);
}

static bool holds_objects(const json_t *list)
{
    return json_is_object(json_array_get(list, 0));
}

/* What lies below an object: lists and objects of its own. */
static void add_below(json_t *out, const char *of, const char *key, const json_t *old,
                      const json_t *now)
{
    const char *name = part_name(of, key);
    bool list = json_is_array(old) || json_is_array(now);
    if (list && (holds_objects(old) || holds_objects(now)))
        (strcmp(name, "Check") == 0 ? add_named : add_set)(out, name, old, now);
    else if (list)
        add_texts(out, name, old, now);
    else if ((json_is_object(old) || json_is_object(now)) && !key_is_map(key))
        add_object(out, name, old, now);
}

static void add_object(json_t *out, const char *name, const json_t *old, const json_t *now)
{
    const char *type = type_of(old, now);
    if (strcmp(type, "None") == 0)
        return;
    json_t *fields = json_array(), *objects = json_array();
    fields_of_object(fields, name, old, now);
    struct keyset keys = {0};
    keyset_add_keys(&keys, old);
    keyset_add_keys(&keys, now);
    keyset_sort(&keys);
    for (size_t i = 0; i < keys.count; i++)
        add_below(objects, name, keys.list[i], get(old, keys.list[i]), get(now, keys.list[i]));
    keyset_free(&keys);
    json_array_append_new(out, object_new(name, type, fields, objects));
}

static void add_free(json_t *out, const char *name, const json_t *old, const json_t *now)
{
    const char *type = type_of(old, now);
    if (strcmp(type, "None") == 0)
        return;
    json_t *fields = json_array();
    fields_flattened(fields, "", old, now, true);
    fields_sort(fields);
    json_array_append_new(out, object_new(name, type, fields, json_array()));
}

static json_t *parts_diff(const struct part *parts, const json_t *old, const json_t *now)
{
    json_t *out = json_array();
    for (; parts->key != NULL; parts++) {
        const json_t *a = get(old, parts->key), *b = get(now, parts->key);
        switch (parts->shape) {
        case ONE:
            add_object(out, parts->name, a, b);
            break;
        case SET:
            add_set(out, parts->name, a, b);
            break;
        case NAMED:
            add_named(out, parts->name, a, b);
            break;
        case TEXTS:
            add_texts(out, parts->name, a, b);
            break;
        case FREE:
            add_free(out, parts->name, a, b);
            break;
        case FREE_IN_BOTH:
            if (json_is_object(a) && json_is_object(b))
                add_free(out, parts->name, a, b);
        }
    }
    return list_or_null(out);
}

/* ---- tasks, groups, the job */

static json_t *plain_fields(const char *of, const json_t *old, const json_t *now)
{
    json_t *fields = json_array();
    fields_of_noun(fields, of, old, now);
    return list_or_null(fields);
}

typedef json_t *noun_diff(const char *name, const json_t *old, const json_t *now);

/* Of both lists, by name. */
static json_t *nouns_diff(const json_t *old, const json_t *now, noun_diff *diff)
{
    json_t *out = json_array();
    struct keyset names = {0};
    size_t i;
    const json_t *one;
    json_array_foreach((json_t *)(uintptr_t)old, i, one)
        keyset_add(&names, json_string_value(get(one, "Name")));
    json_array_foreach((json_t *)(uintptr_t)now, i, one)
        keyset_add(&names, json_string_value(get(one, "Name")));
    keyset_sort(&names);
    for (i = 0; i < names.count; i++) {
        json_t *name = json_string(names.list[i]);
        json_array_append_new(out,
                              diff(names.list[i], find_named(old, name), find_named(now, name)));
        json_decref(name);
    }
    keyset_free(&names);
    return list_or_null(out);
}

static json_t *task_diff(const char *name, const json_t *old, const json_t *now)
{
    return json_pack("{sn,so,ss,so,ss}", "Annotations", "Fields", plain_fields("Task", old, now),
                     "Name", name, "Objects", parts_diff(task_parts, old, now), "Type",
                     type_of(old, now));
}

static json_t *group_diff(const char *name, const json_t *old, const json_t *now)
{
    return json_pack("{so,ss,so,so,ss,sn}", "Fields", plain_fields("Group", old, now), "Name", name,
                     "Objects", parts_diff(group_parts, old, now), "Tasks",
                     nouns_diff(get(old, "Tasks"), get(now, "Tasks"), task_diff), "Type",
                     type_of(old, now), "Updates");
}

/* The job as JSON without what is no specification. */
static json_t *specification(const Pb__Job *job)
{
    if (job == NULL)
        return NULL;
    Pb__Job plain = *job;
    plain.nomad_token_id = plain.status = plain.status_description = NULL;
    plain.has_version = plain.has_stable = plain.has_submit_time = false;
    plain.version = 0;
    plain.stable = false;
    plain.submit_time = 0;
    plain.has_create_index = plain.has_modify_index = plain.has_job_modify_index = false;
    plain.create_index = plain.modify_index = plain.job_modify_index = 0;
    plain.has_stop = true;
    return wire_to_json(&plain.base);
}

json_t *job_diff(const Pb__Job *old, const Pb__Job *now)
{
    json_t *a = specification(old), *b = specification(now);
    const char *id = now != NULL ? now->id : old != NULL ? old->id : NULL;
    json_t *diff = json_pack("{so,so,so,so,ss}", "Fields", plain_fields("Job", a, b), "ID",
                             json_text(id), "Objects", parts_diff(job_parts, a, b), "TaskGroups",
                             nouns_diff(get(a, "TaskGroups"), get(b, "TaskGroups"), group_diff),
                             "Type", type_of(a, b));
    json_decref(a);
    json_decref(b);
    return diff;
}

bool job_diff_is_change(const json_t *diff)
{
    const char *type = json_string_value(get(diff, "Type"));
    return type != NULL && strcmp(type, "None") != 0;
}
