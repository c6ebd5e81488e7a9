/* Orders to the tasks of an allocation, and to a node: restart, signal, metadata, collection. */
#include "base/err.h"
#include "client.h"
#include "resolve.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tasks */

/* Whether the allocation has that task; says so if not. */
static bool has_task(struct client *c, const char *alloc_id, const char *task)
{
    struct answer a;
    char *path = path_of("/v1/allocation/", alloc_id, "");
    bool has = client_get_json(c, &a, "Error querying allocation", path, NULL);
    const json_t *tasks = value_at(value_at(a.json, "AllocatedResources"), "Tasks");
    if (has && json_object_get(tasks, task) == NULL) {
        size_t count;
        const char **names = sorted_keys(tasks, &count);
        fprintf(stderr, "Could not find task named: %s, found:\n", task);
        for (size_t i = 0; i < count; i++)
            fprintf(stderr, "%s\n", names[i]);
        free(names);
        has = false;
    }
    answer_free(&a);
    free(path);
    return has;
}

static int put(struct client *c, char *path, const char *query, json_t *body, const char *what)
{
    struct answer a;
    char *text = json_dumps(body, JSON_COMPACT);
    int code = EXIT_ERROR;
    if (client_call(c, "PUT", path, query, text, &a))
        code = a.status == 200 ? EXIT_OK : answer_refused(&a, what);
    answer_free(&a);
    free(text);
    free(path);
    json_decref(body);
    return code;
}

/* Task: the second argument, or all. */
static int order(const struct args *args, const char *action, const char *task_key, json_t *body,
                 const char *what)
{
    const char *task = args_text(args, "task", args->count > 1 ? args->items[1] : "");
    struct client *c = client_open(args);
    json_t *found = c != NULL ? resolve_or_say(c, "alloc", args->items[0]) : NULL;
    int code = EXIT_ERROR;
    json_object_set_new(body, task_key, json_string(task));
    if (found != NULL && (*task == '\0' || has_task(c, text_at(found, "ID"), task)))
        code = put(c, path_of("/v1/client/allocation/", text_at(found, "ID"), action), NULL,
                   json_incref(body), what);
    json_decref(body);
    json_decref(found);
    client_close(c);
    return code;
}

static int run_restart(const struct args *args)
{
    return order(args, "/restart", "TaskName", json_object(), "Failed to restart allocation");
}

static int run_signal(const struct args *args)
{
    return order(args, "/signal", "Task",
                 json_pack("{ss}", "Signal", args_text(args, "s", "SIGKILL")),
                 "Error signalling allocation");
}

/* ---- nodes */

/* "node_id=..." of the node that the first argument or -node-id names. False: told. */
static bool node_query(struct client *c, const char *prefix, struct strbuf *query)
{
    json_t *found = resolve_or_say(c, "node", prefix);
    if (found != NULL)
        query_add(query, "node_id", text_at(found, "ID"));
    json_decref(found);
    return found != NULL;
}

static void print_part(const json_t *meta, const char *part, bool colors)
{
    const json_t *pairs = value_at(meta, part);
    struct table t;
    size_t count;
    const char **keys = sorted_keys(pairs, &count);
    print_section(stdout, colors, "%s", strcmp(part, "Meta") == 0 ? "All Meta" : "Dynamic Meta");
    pairs_init(&t, colors);
    for (size_t i = 0; i < count; i++)
        pairs_add(&t, keys[i], "%s",
                  json_is_null(value_at(pairs, keys[i])) ? "<unset>" : text_at(pairs, keys[i]));
    table_print(&t, stdout);
    table_free(&t);
    free(keys);
}

static int read_meta(struct client *c, const struct args *args, const char *query)
{
    struct answer a;
    int code = EXIT_ERROR;
    if (client_get_json(c, &a, "Error reading dynamic node metadata", "/v1/client/metadata",
                        query)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else {
            print_part(a.json, "Meta", client_colors(c));
            print_part(a.json, "Dynamic", client_colors(c));
        }
    }
    answer_free(&a);
    return code;
}

static int run_meta_read(const struct args *args)
{
    struct strbuf query = STRBUF_INIT;
    struct client *c = client_open(args);
    int code = EXIT_ERROR;
    if (c != NULL && node_query(c, args->items[0], &query))
        code = read_meta(c, args, strbuf_text(&query));
    strbuf_free(&query);
    client_close(c);
    return code;
}

/* KEY=VALUE arguments, and the keys of -unset. NULL: told. */
static json_t *meta_of(const struct args *args)
{
    json_t *meta = json_object();
    for (int i = 1; i < args->count; i++) {
        const char *value = strchr(args->items[i], '=');
        if (value == NULL || value == args->items[i]) {
            fprintf(stderr, "\"%s\" is not KEY=VALUE\n", args->items[i]);
            json_decref(meta);
            return NULL;
        }
        json_object_setn_new(meta, args->items[i], (size_t)(value - args->items[i]),
                             json_string(value + 1));
    }
    char *unset = xstrdup(args_text(args, "unset", "")), *rest = unset, *key;
    while ((key = strsep(&rest, ",")) != NULL)
        if (*key != '\0')
            json_object_set_new(meta, key, json_null());
    free(unset);
    if (json_object_size(meta) > 0)
        return meta;
    fprintf(stderr, "Nothing to do: give KEY=VALUE, or -unset KEY,...\n");
    json_decref(meta);
    return NULL;
}

static int run_meta_apply(const struct args *args)
{
    struct strbuf query = STRBUF_INIT;
    struct client *c = client_open(args);
    json_t *meta = c != NULL ? meta_of(args) : NULL;
    int code = EXIT_ERROR;
    if (meta != NULL && node_query(c, args->items[0], &query))
        code = put(c, xstrdup("/v1/client/metadata"), strbuf_text(&query),
                   json_pack("{sO}", "Meta", meta), "Error applying dynamic node metadata");
    json_decref(meta);
    strbuf_free(&query);
    client_close(c);
    return code;
}

static int run_collect(const struct args *args)
{
    struct strbuf query = STRBUF_INIT;
    struct client *c = client_open(args);
    int code = EXIT_ERROR;
    if (c != NULL && node_query(c, args->items[0], &query))
        code = put(c, xstrdup("/v1/client/gc"), strbuf_text(&query), json_object(),
                   "Error collecting allocations");
    strbuf_free(&query);
    client_close(c);
    return code;
}

static const struct flag restart_flags[] = {
    {"task", FLAG_TEXT, "TASK", "only this one, as the second argument"},
    FLAG_END,
};
static const struct flag signal_flags[] = {
    {"s", FLAG_TEXT, "SIGNAL", "which signal, such as SIGHUP (default SIGKILL)"},
    {"task", FLAG_TEXT, "TASK", "only this one, as the second argument"},
    FLAG_END,
};
static const struct flag read_flags[] = {
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};
static const struct flag apply_flags[] = {
    {"unset", FLAG_TEXT, "KEY,...", "take these keys away, also those of the settings"},
    FLAG_END,
};

const struct command commands_orders[] = {
    {"alloc restart", NULL, "<alloc> [task]", "restart the tasks of an allocation in their place",
     NULL, restart_flags, 1, 2, run_restart},
    {"alloc signal", NULL, "<alloc> [task]", "send a signal to the tasks of an allocation", NULL,
     signal_flags, 1, 2, run_signal},
    {"node meta read", NULL, "<node>", "a node's metadata, and what of it was set while it runs",
     NULL, read_flags, 1, 1, run_meta_read},
    {"node meta apply", NULL, "<node> [KEY=VALUE ...]",
     "set metadata of a node while it runs; kept over its restarts", NULL, apply_flags, 1, -1,
     run_meta_apply},
    {"node gc", NULL, "<node>", "remove what ended allocations have left on a node", NULL, NULL, 1,
     1, run_collect},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
