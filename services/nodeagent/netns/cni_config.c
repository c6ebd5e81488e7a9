#include "cni_config.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool cni_name_is_usable(const char *name)
{
    size_t len = name == NULL ? 0 : strlen(name);
    if (len == 0 || len > 64 || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && strchr("_.-", name[i]) == NULL)
            return false;
    return true;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* A file for one plugin becomes a list. Takes nothing. */
static json_t *list_of_one(const json_t *file)
{
    json_t *plugin = json_deep_copy(file);
    json_object_del(plugin, "name");
    json_object_del(plugin, "cniVersion");
    return json_pack("{sO*, sO*, s[o]}", "name", json_object_get(file, "name"), "cniVersion",
                     json_object_get(file, "cniVersion"), "plugins", plugin);
}

static enum err check_list(const json_t *list, struct reason *why)
{
    size_t i;
    json_t *plugin, *plugins = json_object_get(list, "plugins");
    if (!cni_name_is_usable(text_of(list, "name")))
        return reason_set(why, ERR_INVALID,
                          "\"name\" must be 1 to 64 letters, digits, '_', '.' and '-'");
    if (text_of(list, "cniVersion") == NULL)
        return reason_set(why, ERR_INVALID, "\"cniVersion\" is missing");
    if (!json_is_array(plugins) || json_array_size(plugins) == 0 ||
        json_array_size(plugins) > CNI_PLUGINS_MOST)
        return reason_set(why, ERR_INVALID, "\"plugins\" must be a list of 1 to %d",
                          CNI_PLUGINS_MOST);
    json_array_foreach(plugins, i, plugin)
    {
        if (!cni_name_is_usable(text_of(plugin, "type")))
            return reason_set(why, ERR_INVALID,
                              "\"type\" of plugin %zu must be the name of a program", i + 1);
    }
    return OK;
}

json_t *cni_parse(const char *text, size_t len, struct reason *why)
{
    json_error_t error;
    json_t *file = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (file == NULL) {
        reason_set(why, ERR_INVALID, "line %d: %s", error.line, error.text);
        return NULL;
    }
    bool is_list = json_object_get(file, "plugins") != NULL;
    json_t *list = is_list ? json_incref(file) : list_of_one(file);
    json_decref(file);
    if (!json_is_object(list) || check_list(list, why) != OK) {
        if (!json_is_object(list))
            reason_set(why, ERR_INVALID, "it is not an object");
        json_decref(list);
        return NULL;
    }
    return list;
}

/* ---- what an allocation is */

static void add_mapping(json_t *list, const struct netport *p, const char *protocol)
{
    json_array_append_new(list, json_pack("{si, si, ss}", "hostPort", p->node, "containerPort",
                                          p->inside, "protocol", protocol));
}

/* The value of "IP" in "A=1;IP=10.0.0.2;B=2". */
static json_t *wanted_ips(const char *args)
{
    json_t *list = json_array();
    while (*args != '\0') {
        size_t len = strcspn(args, ";");
        if (strncmp(args, "IP=", 3) == 0)
            json_array_append_new(list, json_stringn(args + 3, len - 3));
        args += len + (args[len] == ';');
    }
    return list;
}

json_t *cni_runtime(const struct netplace *p, const char *args)
{
    json_t *runtime = json_object(), *mappings = json_array(), *ips = wanted_ips(args);
    for (size_t i = 0; i < p->port_count; i++) {
        add_mapping(mappings, &p->ports[i], "tcp");
        add_mapping(mappings, &p->ports[i], "udp");
    }
    if (json_array_size(mappings) > 0)
        json_object_set(runtime, "portMappings", mappings);
    if (json_array_size(ips) > 0)
        json_object_set(runtime, "ips", ips);
    json_decref(mappings);
    json_decref(ips);
    return runtime;
}

/* ---- what is asked */

/* Only what the plugin says that it can use. */
static void add_runtime(json_t *request, const json_t *runtime)
{
    const char *key;
    json_t *value, *capabilities = json_object_get(request, "capabilities"), *told = json_object();
    json_object_foreach((json_t *)(uintptr_t)runtime, key, value)
    {
        if (json_is_true(json_object_get(capabilities, key)))
            json_object_set(told, key, value);
    }
    if (json_object_size(told) > 0)
        json_object_set(request, "runtimeConfig", told);
    json_decref(told);
}

char *cni_request(const json_t *list, size_t i, const json_t *previous, const json_t *runtime)
{
    json_t *request = json_deep_copy(json_array_get(json_object_get(list, "plugins"), i));
    json_object_set(request, "name", json_object_get(list, "name"));
    json_object_set(request, "cniVersion", json_object_get(list, "cniVersion"));
    if (previous != NULL)
        json_object_set(request, "prevResult", (json_t *)(uintptr_t)previous);
    add_runtime(request, runtime);
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    return text;
}

bool cni_has_check(const json_t *list)
{
    const char *version = text_of(list, "cniVersion");
    char *rest;
    unsigned long major = version == NULL ? 0 : strtoul(version, &rest, 10);
    return version != NULL && *rest == '.' && (major > 0 || strtoul(rest + 1, NULL, 10) >= 4);
}

void cni_failure(const char *plugin, const char *command, const char *text, size_t len,
                 struct reason *why)
{
    json_t *said = json_loadb(text, len, 0, NULL);
    const char *message = text_of(said, "msg"), *details = text_of(said, "details");
    bool has_details = details != NULL && details[0] != '\0';
    reason_set(why, ERR_UNAVAILABLE, "plugin %s, %s: %s%s%s", plugin, command,
               message != NULL ? message : "it failed without a reason", has_details ? ": " : "",
               has_details ? details : "");
    json_decref(said);
    if (why == NULL)
        return;
    for (char *c = why->text; *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
}
