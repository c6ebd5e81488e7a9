/* Namespaces. */
#include "client.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As Nomad's command line prints it: without what only servers compare. */
static void print_without_hash(json_t *value)
{
    size_t i;
    json_t *one;
    if (json_is_object(value))
        json_object_del(value, "Hash");
    json_array_foreach(value, i, one) json_object_del(one, "Hash");
    print_json(value);
}

static void print_list(const json_t *list, bool colors)
{
    struct table t;
    size_t i;
    json_t *n;
    table_init(&t, "Name|Description", colors);
    json_array_foreach((json_t *)(uintptr_t)list, i, n)
        TABLE_ROW(&t, text_at(n, "Name"), text_at(n, "Description"));
    table_print(&t, stdout);
    table_free(&t);
}

static int run_list(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a;
    if (c == NULL)
        return EXIT_ERROR;
    bool ok = client_get_json(c, &a, "Error retrieving namespaces", "/v1/namespaces", NULL);
    if (ok && args_has(args, "json"))
        print_without_hash(a.json);
    else if (ok)
        print_list(a.json, client_colors(c));
    answer_free(&a);
    client_close(c);
    return ok ? EXIT_OK : EXIT_ERROR;
}

/* ---- one, by any prefix of its name */

/* NULL: none, or several; said. Borrowed from list. */
static json_t *choose(const json_t *list, const char *name, bool colors)
{
    size_t i;
    json_t *n;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       n) if (strcmp(text_at(n, "Name"), name) == 0) return n;
    if (json_array_size(list) == 1)
        return json_array_get(list, 0);
    if (json_array_size(list) == 0) {
        fprintf(stderr, "Error retrieving namespaces: Namespace \"%s\" matched no namespaces\n",
                name);
        return NULL;
    }
    fprintf(stderr, "Prefix matched multiple namespaces\n\n");
    fflush(stderr);
    print_list(list, colors);
    return NULL;
}

static int with_one(const struct args *args, void (*print)(json_t *n, bool colors))
{
    struct client *c = client_open(args);
    struct answer a;
    struct strbuf query = STRBUF_INIT;
    json_t *n = NULL;
    if (c == NULL)
        return EXIT_ERROR;
    query_add(&query, "prefix", args->items[0]);
    if (client_get_json(c, &a, "Error retrieving namespaces", "/v1/namespaces",
                        strbuf_text(&query)) &&
        (n = choose(a.json, args->items[0], client_colors(c))) != NULL)
        print(n, client_colors(c));
    int code = n != NULL ? EXIT_OK : EXIT_ERROR;
    answer_free(&a);
    strbuf_free(&query);
    client_close(c);
    return code;
}

static void print_one(json_t *n, bool colors)
{
    struct table t;
    size_t count;
    const char **keys = sorted_keys(value_at(n, "Meta"), &count);
    pairs_init(&t, colors);
    pairs_add(&t, "Name", "%s", text_at(n, "Name"));
    pairs_add(&t, "Description", "%s",
              *text_at(n, "Description") != '\0' ? text_at(n, "Description") : "<none>");
    pairs_add(&t, "Quota", "%s", *text_at(n, "Quota") != '\0' ? text_at(n, "Quota") : "<none>");
    table_print(&t, stdout);
    table_free(&t);
    if (count > 0) {
        print_section(stdout, colors, "Metadata");
        pairs_init(&t, colors);
        for (size_t i = 0; i < count; i++)
            pairs_add(&t, keys[i], "%s", text_at(value_at(n, "Meta"), keys[i]));
        table_print(&t, stdout);
        table_free(&t);
    }
    free(keys);
}

static void inspect_one(json_t *n, bool colors)
{
    print_without_hash(n);
}

static int run_status(const struct args *args)
{
    return with_one(args, print_one);
}

static int run_inspect(const struct args *args)
{
    return with_one(args, inspect_one);
}

/* ---- changes */

/* What is there already, else what is new; a new reference. NULL: no answer; said. */
static json_t *present(struct client *c, const char *name)
{
    struct answer a;
    char *path = path_of("/v1/namespace/", name, "");
    json_t *n = NULL;
    if (!client_get(c, &a, path, NULL))
        n = NULL;
    else if (a.json != NULL)
        n = json_incref(a.json);
    else if (a.status == 404)
        n = json_pack("{ss,ss,ss}", "Name", name, "Description", "", "Quota", "");
    else
        answer_refused(&a, "Error looking up namespace");
    answer_free(&a);
    free(path);
    return n;
}

static int run_apply(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a = {0};
    int code = EXIT_ERROR;
    json_t *n = c != NULL ? present(c, args->items[0]) : NULL;
    if (n != NULL && args_has(args, "description"))
        json_object_set_new(n, "Description", json_string(args_text(args, "description", "")));
    if (n != NULL && args_has(args, "quota"))
        json_object_set_new(n, "Quota", json_string(args_text(args, "quota", "")));
    char *body = n != NULL ? json_dumps(n, JSON_COMPACT) : NULL;
    if (body != NULL && client_call(c, "PUT", "/v1/namespace", NULL, body, &a)) {
        code = a.status == 200 ? EXIT_OK : answer_refused(&a, "Error applying namespace");
        if (code == EXIT_OK)
            printf("Successfully applied namespace \"%s\"!\n", args->items[0]);
    }
    answer_free(&a);
    free(body);
    json_decref(n);
    client_close(c);
    return code;
}

static int run_delete(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a = {0};
    int code = EXIT_ERROR;
    char *path = path_of("/v1/namespace/", args->items[0], "");
    if (c != NULL && client_call(c, "DELETE", path, NULL, NULL, &a)) {
        code = a.status == 200 ? EXIT_OK : answer_refused(&a, "Error deleting namespace");
        if (code == EXIT_OK)
            printf("Successfully deleted namespace \"%s\"!\n", args->items[0]);
    }
    answer_free(&a);
    free(path);
    client_close(c);
    return code;
}

static const struct flag list_flags[] = {
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};
static const struct flag apply_flags[] = {
    {"description", FLAG_TEXT, "TEXT", "what it is for; at most 256 bytes"},
    {"quota", FLAG_TEXT, "NAME", "refused: there are no quotas"},
    FLAG_END,
};

const struct command commands_namespace[] = {
    {"namespace list", NULL, "", "all namespaces", NULL, list_flags, 0, 0, run_list},
    {"namespace status", NULL, "<namespace>", "one namespace", NULL, NULL, 1, 1, run_status},
    {"namespace inspect", NULL, "<namespace>", "one namespace as JSON", NULL, NULL, 1, 1,
     run_inspect},
    {"namespace apply", NULL, "<namespace>", "make a namespace, or change it",
     "What no flag names stays as it is. Jobs say \"namespace\" in their file, or are run with "
     "-namespace.",
     apply_flags, 1, 1, run_apply},
    {"namespace delete", NULL, "<namespace>", "delete a namespace without running jobs", NULL, NULL,
     1, 1, run_delete},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
