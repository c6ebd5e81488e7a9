#include "jobfile/diff_fields.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "wire/json.h"
#include <stdlib.h>
#include <string.h>

/* ---- names */

void keyset_add(struct keyset *n, const char *name)
{
    if (name == NULL)
        return;
    if (n->count == n->room) {
        n->room = n->room == 0 ? 16 : 2 * n->room;
        n->list = xrealloc(n->list, n->room * sizeof(*n->list));
    }
    n->list[n->count++] = name;
}

void keyset_add_keys(struct keyset *n, const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) keyset_add(n, key);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void keyset_sort(struct keyset *n)
{
    size_t kept = 0;
    if (n->count > 0)
        qsort(n->list, n->count, sizeof(*n->list), compare_names);
    for (size_t i = 0; i < n->count; i++)
        if (kept == 0 || strcmp(n->list[kept - 1], n->list[i]) != 0)
            n->list[kept++] = n->list[i];
    n->count = kept;
}

void keyset_free(struct keyset *n)
{
    free(n->list);
}

/* ---- one field */

static bool is_there(const json_t *v)
{
    return v != NULL && !json_is_null(v);
}

static bool is_scalar(const json_t *v)
{
    return !is_there(v) || (!json_is_array(v) && !json_is_object(v));
}

static json_t *value_text(const json_t *v)
{
    if (!is_there(v))
        return json_string("");
    if (json_is_string(v))
        return json_incref((json_t *)(uintptr_t)v);
    if (json_is_boolean(v))
        return json_string(json_is_true(v) ? "true" : "false");
    if (json_is_integer(v))
        return json_sprintf("%lld", (long long)json_integer_value(v));
    return json_sprintf("%.10g", json_real_value(v));
}

void field_add(json_t *fields, const char *name, const json_t *old, const json_t *now,
               bool quiet_too)
{
    json_t *was = value_text(old), *is = value_text(now);
    bool same = json_equal(was, is);
    const char *type = same                           ? "None"
                       : json_string_length(was) == 0 ? "Added"
                       : json_string_length(is) == 0  ? "Deleted"
                                                      : "Edited";
    if (!same || quiet_too)
        json_array_append_new(fields, json_pack("{sn,ss,sO,sO,ss}", "Annotations", "Name", name,
                                                "New", is, "Old", was, "Type", type));
    json_decref(was);
    json_decref(is);
}

static int compare_fields(const void *a, const void *b)
{
    const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
    int c = strcmp(json_string_value(json_object_get(x, "Name")),
                   json_string_value(json_object_get(y, "Name")));
    return c != 0 ? c
                  : strcmp(json_string_value(json_object_get(x, "Old")),
                           json_string_value(json_object_get(y, "Old")));
}

void fields_sort(json_t *fields)
{
    size_t n = json_array_size(fields);
    json_t **sorted = xcalloc(n + 1, sizeof(*sorted));
    for (size_t i = 0; i < n; i++)
        sorted[i] = json_incref(json_array_get(fields, i));
    if (n > 0)
        qsort(sorted, n, sizeof(*sorted), compare_fields);
    json_array_clear(fields);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(fields, sorted[i]);
    free(sorted);
}

/* ---- values at any depth */

static void flatten_lists(json_t *fields, const char *name, const json_t *old, const json_t *now,
                          bool quiet_too)
{
    size_t a = json_array_size(old), b = json_array_size(now);
    for (size_t i = 0; i < a || i < b; i++) {
        struct strbuf at = STRBUF_INIT;
        strbuf_printf(&at, "%s[%zu]", name, i);
        fields_flattened(fields, strbuf_text(&at), json_array_get(old, i), json_array_get(now, i),
                         quiet_too);
        strbuf_free(&at);
    }
}

static void flatten_objects(json_t *fields, const char *name, const json_t *old, const json_t *now,
                            bool quiet_too)
{
    struct keyset keys = {0};
    keyset_add_keys(&keys, old);
    keyset_add_keys(&keys, now);
    keyset_sort(&keys);
    for (size_t i = 0; i < keys.count; i++) {
        struct strbuf at = STRBUF_INIT;
        strbuf_printf(&at, name[0] == '\0' ? "%s%s" : "%s[%s]", name, keys.list[i]);
        fields_flattened(fields, strbuf_text(&at), json_object_get(old, keys.list[i]),
                         json_object_get(now, keys.list[i]), quiet_too);
        strbuf_free(&at);
    }
    keyset_free(&keys);
}

/* Where the kind of value has changed, what was is gone and what is has come. */
void fields_flattened(json_t *fields, const char *name, const json_t *old, const json_t *now,
                      bool quiet_too)
{
    bool mixed =
        is_there(old) && is_there(now) &&
        (json_is_object(old) != json_is_object(now) || json_is_array(old) != json_is_array(now));
    if (mixed) {
        fields_flattened(fields, name, old, NULL, quiet_too);
        fields_flattened(fields, name, NULL, now, quiet_too);
    } else if (json_is_array(old) || json_is_array(now)) {
        flatten_lists(fields, name, old, now, quiet_too);
    } else if (json_is_object(old) || json_is_object(now)) {
        flatten_objects(fields, name, old, now, quiet_too);
    } else if (is_there(old) || is_there(now)) {
        field_add(fields, name, old, now, quiet_too);
    }
}

/* ---- which fields */

bool key_is_map(const char *key)
{
    static const char *const maps[] = {"Meta",    "Env",           "CanaryMeta", "GetterOptions",
                                       "Options", "GetterHeaders", "Header"};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        if (strcmp(key, maps[i]) == 0)
            return true;
    return false;
}

const char *part_name(const char *of, const char *key)
{
    static const struct {
        const char *key, *name;
    } names[] = {
        {"Affinities", "Affinity"},       {"Checks", "Check"},
        {"Constraints", "Constraint"},    {"Devices", "Device"},
        {"DynamicPorts", "Dynamic Port"}, {"Networks", "Network"},
        {"ReservedPorts", "Static Port"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(key, names[i].key) == 0)
            return names[i].name;
    return key;
}

/* What is chosen by the scheduler, is the place of something else, or is set by another part. */
static bool is_left_out(const char *of, const char *key)
{
    static const struct {
        const char *of, *key;
    } out[] = {
        {"Job", "ID"},
        {"Group", "Name"},
        {"Task", "Name"},
        {"Network", "Device"},
        {"Network", "CIDR"},
        {"Network", "IP"},
        {"Dynamic Port", "Value"},
        {"Job", "VaultToken"},
        {"Job", "Status"},
        {"Job", "Version"},
        {"Job", "Stable"},
        {"Job", "SubmitTime"},
        {"Job", "StatusDescription"},
        {"Job", "NomadTokenID"},
        {"Job", "CreateIndex"},
        {"Job", "ModifyIndex"},
        {"Job", "JobModifyIndex"},
        {"Job", "ConsulToken"},
    };
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        if (strcmp(of, out[i].of) == 0 && strcmp(key, out[i].key) == 0)
            return true;
    return false;
}

static void add_fields(json_t *fields, const char *of, const json_t *old, const json_t *now,
                       bool quiet_too)
{
    struct keyset keys = {0};
    keyset_add_keys(&keys, old);
    keyset_add_keys(&keys, now);
    keyset_sort(&keys);
    for (size_t i = 0; i < keys.count; i++) {
        const char *key = keys.list[i];
        const json_t *a = json_object_get(old, key), *b = json_object_get(now, key);
        bool scalar = is_scalar(a) && is_scalar(b);
        /* A group's stagger is the system jobs' alone: it is worth a word when it has changed. */
        bool minor = strcmp(of, "Update") == 0 && strcmp(key, "Stagger") == 0;
        if (is_left_out(of, key) || (minor && (!is_there(a) || !is_there(b) || json_equal(a, b))))
            continue;
        if (scalar || key_is_map(key))
            fields_flattened(fields, key, a, b, quiet_too && scalar);
    }
    keyset_free(&keys);
    fields_sort(fields);
}

void fields_of_object(json_t *fields, const char *object, const json_t *old, const json_t *now)
{
    add_fields(fields, object, old, now, true);
}

void fields_of_noun(json_t *fields, const char *noun, const json_t *old, const json_t *now)
{
    add_fields(fields, noun, old, now, false);
}

bool array_has(const json_t *array, const json_t *value)
{
    size_t i;
    const json_t *one;
    json_array_foreach((json_t *)(uintptr_t)array, i, one) if (json_equal(one, value)) return true;
    return false;
}
