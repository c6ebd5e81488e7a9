#include "jobfile/scaling.h"
#include "base/err.h"
#include "canonical.h"
#include "problems.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const keys[] = {"Enabled", "Max", "Min", "Policy", "Type"};
/* What a server puts in: a job that was read from one may be sent again. */
static const char *const not_kept[] = {"ID", "Namespace", "Target", "CreateIndex", "ModifyIndex"};

json_t *group_scaling(const Pb__TaskGroup *group)
{
    return group->scaling_json != NULL ? json_loads(group->scaling_json, JSON_DECODE_ANY, NULL)
                                       : NULL;
}

const char *job_scaling_mistake(const Pb__Job *job)
{
    bool any = false;
    for (size_t i = 0; i < job->n_task_groups; i++)
        any |= job->task_groups[i]->scaling_json != NULL;
    if (any && job->type != NULL && strcmp(job->type, "system") == 0)
        return "Task groups with job type system do not support scaling stanzas";
    if (any && job->type != NULL && strcmp(job->type, "sysbatch") == 0)
        return "Task groups with job type sysbatch do not support scaling stanzas";
    return NULL;
}

/* ---- the canonical form */

/* Numbers of the policy become floating: Nomad's users compare what comes back with that. */
static json_t *with_floats(json_t *value)
{
    const char *key;
    json_t *part;
    size_t i;
    if (json_is_integer(value))
        return json_real((double)json_integer_value(value));
    if (json_is_object(value)) {
        json_t *all = json_object();
        json_object_foreach(value, key, part) json_object_set_new(all, key, with_floats(part));
        return all;
    }
    if (json_is_array(value)) {
        json_t *all = json_array();
        json_array_foreach(value, i, part) json_array_append_new(all, with_floats(part));
        return all;
    }
    return json_incref(value);
}

/* As it is spelled in a canonical job; NULL: dropped. */
static const char *spelling(const char *key)
{
    for (size_t i = 0; i < COUNT_OF(not_kept); i++)
        if (strcasecmp(key, not_kept[i]) == 0)
            return NULL;
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (strcasecmp(key, keys[i]) == 0)
            return keys[i];
    return key; /* for validate_scaling to tell of */
}

static json_t *canonical(json_t *given, uint32_t count)
{
    json_t *all = json_object(), *value;
    const char *key;
    json_object_foreach(given, key, value)
    {
        if (spelling(key) != NULL && !json_is_null(value))
            json_object_set(all, spelling(key), value);
    }
    if (json_object_get(all, "Enabled") == NULL)
        json_object_set_new(all, "Enabled", json_true());
    if (json_object_get(all, "Min") == NULL)
        json_object_set_new(all, "Min", json_integer(count));
    if (json_object_get(all, "Type") == NULL)
        json_object_set_new(all, "Type", json_string("horizontal"));
    value = json_object_get(all, "Policy");
    json_object_set_new(all, "Policy", value == NULL ? json_object() : with_floats(value));
    return all;
}

void scaling_canonicalize(struct arena *a, Pb__TaskGroup *group)
{
    json_t *given = group_scaling(group);
    if (json_is_null(given))
        group->scaling_json = NULL;
    if (json_is_object(given)) {
        json_t *all = canonical(given, group->count);
        char *text = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
        group->scaling_json = arena_strdup(a, text);
        free(text);
        json_decref(all);
    }
    json_decref(given);
}

/* ---- mistakes */

#define INVALID "Scaling policy invalid: "

static void validate_bounds(struct texts *errors, const json_t *scaling, int64_t count)
{
    const json_t *max = json_object_get(scaling, "Max"), *min = json_object_get(scaling, "Min");
    int64_t most = json_integer_value(max), least = json_integer_value(min);
    if (!json_is_integer(max) || most < 0)
        texts_add(errors, INVALID "maximum count must be specified and non-negative");
    else if (most < least)
        texts_add(errors, INVALID "maximum count must not be less than minimum count");
    if (!json_is_integer(min) || least < 0)
        texts_add(errors, INVALID "minimum count must be specified and non-negative");
    if (errors->count > 0 && !(json_is_integer(max) && json_is_integer(min)))
        return;
    if (count < least)
        texts_add(errors,
                  INVALID "task group count must not be less than minimum count in scaling policy");
    else if (count > most)
        texts_add(errors, INVALID
                  "task group count must not be greater than maximum count in scaling policy");
}

static void validate_keys(struct texts *errors, const json_t *scaling)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)scaling, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < COUNT_OF(keys); i++)
            known |= strcmp(key, keys[i]) == 0;
        if (!known)
            texts_add(errors,
                      INVALID "unknown setting \"%.60s\": there are min, max, enabled and policy",
                      key);
    }
}

void validate_scaling(struct texts *errors, const Pb__TaskGroup *group)
{
    struct texts own = {.arena = errors->arena};
    json_t *scaling = group_scaling(group);
    const json_t *enabled = json_object_get(scaling, "Enabled");
    const char *type = json_string_value(json_object_get(scaling, "Type"));
    if (group->scaling_json == NULL)
        return;
    if (!json_is_object(scaling)) {
        texts_add(errors, "scaling must be one group of settings: { min max enabled policy }");
    } else {
        validate_keys(&own, scaling);
        if (!json_is_boolean(enabled))
            texts_add(&own, INVALID "enabled must be true or false");
        if (!json_is_object(json_object_get(scaling, "Policy")))
            texts_add(&own, INVALID "policy must be a group of settings");
        if (type == NULL || strcmp(type, "horizontal") != 0)
            texts_add(&own, INVALID "scaling policy type \"%.60s\" is not valid",
                      type == NULL ? "" : type);
        validate_bounds(&own, scaling, group->count);
        texts_nest(errors, &own, "Task group scaling policy validation failed: ");
    }
    json_decref(scaling);
}
