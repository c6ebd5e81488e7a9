#include "base/duration.h"
#include "base/nearest.h"
#include "driver.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

extern const struct driver driver_raw_exec, driver_exec, driver_docker, driver_mock;

static const struct driver *const drivers[] = {&driver_raw_exec, &driver_exec, &driver_docker,
                                               &driver_mock};

const struct driver *driver_at(size_t i)
{
    return i < COUNT_OF(drivers) ? drivers[i] : NULL;
}

const struct driver *driver_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(drivers); i++)
        if (name != NULL && strcmp(drivers[i]->name, name) == 0)
            return drivers[i];
    return NULL;
}

/* what, name: whose config it is, for the reason. */
static enum err check_keys(const char *what, const char *name, const char *const *keys,
                           const json_t *config, struct reason *why)
{
    size_t known = 0;
    while (keys[known] != NULL)
        known++;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)config, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < known && !found; i++)
            found = strcmp(keys[i], key) == 0;
        if (found)
            continue;
        const char *near = nearest_name(key, keys, known);
        return reason_set(why, ERR_INVALID, "%s \"%s\" has no key \"%.100s\"%s%s%s", what, name,
                          key, near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near,
                          near == NULL ? "" : "\"?");
    }
    return OK;
}

enum err driver_make_plan(const struct driver *d, struct driver_ask *ask, struct driver_plan *out,
                          struct reason *why)
{
    json_error_t error;
    const char *text = ask->task->config_json;
    json_t *config = json_loads(text == NULL || *text == '\0' ? "{}" : text, 0, &error);
    enum err e;
    *out = (struct driver_plan){.recoverable = false};
    if (config == NULL)
        e = reason_set(why, ERR_INVALID, "config is not JSON: %s", error.text);
    else if (!json_is_object(config))
        e = reason_set(why, ERR_INVALID, "config is not an object");
    else
        e = check_keys("config of driver", d->name, d->keys, config, why);
    ask->config = config;
    if (e == OK)
        e = d->plan(ask, out, why);
    json_decref(config);
    ask->config = NULL;
    return e;
}

static enum err wrong_type(const struct driver_ask *ask, const char *key, const char *wanted,
                           struct reason *why)
{
    return reason_set(why, ERR_INVALID, "config key \"%s\" must be %s", key, wanted);
}

static const json_t *value_of(const struct driver_ask *ask, const char *key)
{
    const json_t *v = json_object_get(ask->config, key);
    return json_is_null(v) ? NULL : v;
}

enum err config_text(const struct driver_ask *ask, const char *key, const char **out,
                     struct reason *why)
{
    const json_t *v = value_of(ask, key);
    if (v == NULL)
        return OK;
    if (!json_is_string(v))
        return wrong_type(ask, key, "a string", why);
    *out = taskenv_expand(ask->env, ask->arena, json_string_value(v));
    return OK;
}

enum err config_number(const struct driver_ask *ask, const char *key, int64_t *out,
                       struct reason *why)
{
    const json_t *v = value_of(ask, key);
    if (v == NULL)
        return OK;
    /* Nomad's JSON form writes numbers of a config as 1.0; old job files write them in quotes. */
    char *end = NULL;
    if (json_is_integer(v))
        *out = json_integer_value(v);
    else if (json_is_real(v) && (double)(int64_t)json_real_value(v) == json_real_value(v))
        *out = (int64_t)json_real_value(v);
    else if (json_is_string(v) && *json_string_value(v) != '\0')
        *out = strtoll(json_string_value(v), &end, 10);
    else
        return wrong_type(ask, key, "a whole number", why);
    return end != NULL && *end != '\0' ? wrong_type(ask, key, "a whole number", why) : OK;
}

enum err config_bool(const struct driver_ask *ask, const char *key, bool *out, struct reason *why)
{
    const json_t *v = value_of(ask, key);
    if (v == NULL)
        return OK;
    if (!json_is_boolean(v))
        return wrong_type(ask, key, "true or false", why);
    *out = json_is_true(v);
    return OK;
}

enum err config_duration_ms(const struct driver_ask *ask, const char *key, int64_t *out,
                            struct reason *why)
{
    const char *text = NULL;
    int64_t ns = 0;
    const json_t *v = value_of(ask, key);
    if (v == NULL)
        return OK;
    if (json_is_integer(v) || json_is_real(v)) {
        enum err e = config_number(ask, key, &ns, why);
        *out = ns / 1000000;
        return e;
    }
    enum err e = config_text(ask, key, &text, why);
    if (e != OK || !duration_parse(text, &ns) || ns < 0)
        return wrong_type(ask, key, "a duration like \"10s\"", why);
    *out = ns / 1000000;
    return OK;
}

enum err config_pairs(const struct driver_ask *ask, const char *key, char ***names, char ***values,
                      struct reason *why)
{
    json_t *v = (json_t *)(uintptr_t)value_of(ask, key), *item;
    const char *name;
    size_t count = 0;
    if (json_is_array(v) && json_array_size(v) == 1)
        v = json_array_get(v, 0);
    if (v != NULL && !json_is_object(v))
        return wrong_type(ask, key, "a block of names and values", why);
    *names = arena_array(ask->arena, char *, json_object_size(v) + 1);
    *values = arena_array(ask->arena, char *, json_object_size(v) + 1);
    json_object_foreach(v, name, item)
    {
        if (!json_is_string(item) && !json_is_integer(item))
            return wrong_type(ask, key, "a block of names and values", why);
        (*names)[count] = arena_strdup(ask->arena, name);
        (*values)[count++] =
            json_is_string(item)
                ? taskenv_expand(ask->env, ask->arena, json_string_value(item))
                : arena_printf(ask->arena, "%lld", (long long)json_integer_value(item));
    }
    (*names)[count] = NULL;
    return OK;
}

enum err config_object(const struct driver_ask *ask, const char *key, json_t **out,
                       struct reason *why)
{
    char **names = NULL, **values = NULL;
    enum err e = config_pairs(ask, key, &names, &values, why);
    *out = NULL;
    if (e != OK || names == NULL || names[0] == NULL)
        return e;
    *out = json_object();
    for (size_t i = 0; names[i] != NULL; i++)
        json_object_set_new(*out, names[i], json_string(values[i]));
    return OK;
}

enum err config_blocks(const struct driver_ask *ask, const char *key, const char *const *keys,
                       struct driver_ask **out, size_t *count, struct reason *why)
{
    const json_t *v = value_of(ask, key);
    size_t most = json_is_array(v) ? json_array_size(v) : v != NULL;
    enum err e = OK;
    *count = 0;
    *out = arena_array(ask->arena, struct driver_ask, most + 1);
    for (size_t i = 0; e == OK && i < most; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_object(one))
            return wrong_type(ask, key, "a block, or a list of them", why);
        e = check_keys("config key", key, keys, one, why);
        (*out)[*count] = *ask;
        (*out)[(*count)++].config = one;
    }
    return e;
}

enum err config_block(const struct driver_ask *ask, const char *key, const char *const *keys,
                      struct driver_ask **out, struct reason *why)
{
    size_t count;
    enum err e = config_blocks(ask, key, keys, out, &count, why);
    if (e == OK && count > 1)
        return wrong_type(ask, key, "one block", why);
    if (count == 0)
        *out = NULL;
    return e;
}

enum err config_list(const struct driver_ask *ask, const char *key, char ***out, size_t *count,
                     struct reason *why)
{
    const json_t *v = value_of(ask, key), *item;
    size_t i;
    *count = 0;
    *out = NULL;
    if (v == NULL)
        return OK;
    if (!json_is_array(v))
        return wrong_type(ask, key, "a list of strings", why);
    *out = arena_array(ask->arena, char *, json_array_size(v) + 1);
    json_array_foreach(v, i, item)
    {
        if (!json_is_string(item))
            return wrong_type(ask, key, "a list of strings", why);
        (*out)[(*count)++] = taskenv_expand(ask->env, ask->arena, json_string_value(item));
    }
    return OK;
}

int signal_number(const char *name)
{
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; i < NSIG; i++) {
        const char *known = sigabbrev_np(i);
        if (known != NULL && strcasecmp(known, name) == 0)
            return i;
    }
    return strcasecmp(name, "IOT") == 0 ? SIGABRT : 0;
}
