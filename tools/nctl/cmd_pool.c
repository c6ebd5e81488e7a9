/* Node pools. */
#include "base/err.h"
#include "client.h"
#include "show.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXAMPLE "pool.nomad.json"

/* The answer's JSON, or what was refused said; then false. out is the caller's to free. */
static bool get_pool(struct client *c, const char *name, const char *after, const char *what,
                     struct answer *out)
{
    char *path = path_of("/v1/node/pool/", name, after);
    bool ok = client_get_json(c, out, what, path, NULL);
    free(path);
    return ok;
}

/* ---- the list */

static int run_list(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a;
    struct table t;
    size_t i;
    json_t *pool;
    if (c == NULL)
        return EXIT_ERROR;
    bool ok = client_get_json(c, &a, "Error querying node pools", "/v1/node/pools", NULL);
    if (ok && args_has(args, "json"))
        print_json(a.json);
    else if (ok) {
        table_init(&t, "Name|Description", client_colors(c));
        json_array_foreach(a.json, i, pool) TABLE_ROW(
            &t, text_at(pool, "Name"),
            *text_at(pool, "Description") != '\0' ? text_at(pool, "Description") : "<none>");
        table_print(&t, stdout);
        table_free(&t);
    }
    answer_free(&a);
    client_close(c);
    return ok ? EXIT_OK : EXIT_ERROR;
}

/* ---- one */

static void print_pairs_of(const char *title, const json_t *object, const char *none, bool colors)
{
    struct table t;
    size_t count;
    const char **keys = sorted_keys(object, &count);
    print_section(stdout, colors, "%s", title);
    pairs_init(&t, colors);
    for (size_t i = 0; i < count; i++)
        pairs_add(&t, keys[i], "%s", text_at(object, keys[i]));
    if (count > 0)
        table_print(&t, stdout);
    else
        printf("%s\n", none);
    table_free(&t);
    free(keys);
}

static void print_pool(const json_t *pool, bool colors)
{
    const char *algorithm = text_at(value_at(pool, "SchedulerConfiguration"), "SchedulerAlgorithm");
    struct table t;
    pairs_init(&t, colors);
    pairs_add(&t, "Name", "%s", text_at(pool, "Name"));
    pairs_add(&t, "Description", "%s",
              *text_at(pool, "Description") != '\0' ? text_at(pool, "Description") : "<none>");
    table_print(&t, stdout);
    table_free(&t);
    print_pairs_of("Metadata", value_at(pool, "Meta"), "No metadata", colors);
    print_section(stdout, colors, "Scheduler Configuration");
    if (*algorithm == '\0') {
        printf("No scheduler configuration\n");
        return;
    }
    pairs_init(&t, colors);
    pairs_add(&t, "Scheduler Algorithm", "%s", algorithm);
    table_print(&t, stdout);
    table_free(&t);
}

static int run_info(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a;
    if (c == NULL)
        return EXIT_ERROR;
    bool ok = get_pool(c, args->items[0], "", "Error querying node pool", &a);
    if (ok && args_has(args, "json"))
        print_json(a.json);
    else if (ok)
        print_pool(a.json, client_colors(c));
    answer_free(&a);
    client_close(c);
    return ok ? EXIT_OK : EXIT_ERROR;
}

/* ---- what is in it */

static int run_nodes(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a;
    struct table t;
    size_t i;
    json_t *n;
    if (c == NULL)
        return EXIT_ERROR;
    bool ok = get_pool(c, args->items[0], "/nodes", "Error querying nodes", &a);
    if (ok && args_has(args, "json"))
        print_json(a.json);
    else if (ok && json_array_size(a.json) == 0)
        printf("No nodes\n");
    else if (ok) {
        bool verbose = args_has(args, "verbose");
        table_init(&t, "ID|Node Pool|DC|Name|Class|Drain|Eligibility|Status", client_colors(c));
        json_array_foreach(a.json, i, n)
            TABLE_ROW(&t, show_id(text_at(n, "ID"), verbose),
                      *text_at(n, "NodePool") != '\0' ? text_at(n, "NodePool") : "default",
                      text_at(n, "Datacenter"), text_at(n, "Name"),
                      *text_at(n, "NodeClass") != '\0' ? text_at(n, "NodeClass") : "<none>",
                      flag_at(n, "Drain") ? "true" : "false", text_at(n, "SchedulingEligibility"),
                      text_at(n, "Status"));
        table_print(&t, stdout);
        table_free(&t);
    }
    answer_free(&a);
    client_close(c);
    return ok ? EXIT_OK : EXIT_ERROR;
}

static int run_jobs(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a;
    struct table t;
    size_t i;
    json_t *job;
    if (c == NULL)
        return EXIT_ERROR;
    bool ok = get_pool(c, args->items[0], "/jobs", "Error querying jobs", &a);
    if (ok && args_has(args, "json"))
        print_json(a.json);
    else if (ok && json_array_size(a.json) == 0)
        printf("No jobs\n");
    else if (ok) {
        table_init(&t, "ID|Type|Priority|Status|Submit Date", client_colors(c));
        json_array_foreach(a.json, i, job)
            TABLE_ROW(&t, text_at(job, "ID"), text_at(job, "Type"),
                      show("%lld", (long long)number_at(job, "Priority")), text_at(job, "Status"),
                      show_time(number_at(job, "SubmitTime"), true));
        table_print(&t, stdout);
        table_free(&t);
    }
    answer_free(&a);
    client_close(c);
    return ok ? EXIT_OK : EXIT_ERROR;
}

/* ---- changes */

/* The specification in a file, or on standard input ("-"). NULL: said. */
static json_t *read_file(const char *path)
{
    json_error_t e;
    bool is_stdin = strcmp(path, "-") == 0;
    json_t *pool = is_stdin ? json_loadf(stdin, 0, &e) : json_load_file(path, 0, &e);
    if (pool == NULL)
        fprintf(stderr, "%s:%d: %s. A node pool is a JSON object: see \"nctl node pool init\"\n",
                is_stdin ? "standard input" : path, e.line, e.text);
    else if (!json_is_object(pool) || *text_at(pool, "Name") == '\0') {
        fprintf(stderr, "%s: a node pool needs a \"Name\": see \"nctl node pool init\"\n", path);
        json_decref(pool);
        pool = NULL;
    }
    return pool;
}

static int run_apply(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a = {0};
    int code = EXIT_ERROR;
    json_t *pool = c != NULL ? read_file(args->items[0]) : NULL;
    char *body = pool != NULL ? json_dumps(pool, JSON_COMPACT) : NULL;
    if (body != NULL && client_call(c, "PUT", "/v1/node/pools", NULL, body, &a)) {
        code = a.status == 200 ? EXIT_OK : answer_refused(&a, "Error applying node pool");
        if (code == EXIT_OK)
            printf("Successfully applied node pool \"%s\"!\n", text_at(pool, "Name"));
    }
    answer_free(&a);
    free(body);
    json_decref(pool);
    client_close(c);
    return code;
}

static int run_delete(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a = {0};
    int code = EXIT_ERROR;
    char *path = path_of("/v1/node/pool/", args->items[0], "");
    if (c != NULL && client_call(c, "DELETE", path, NULL, NULL, &a)) {
        code = a.status == 200 ? EXIT_OK : answer_refused(&a, "Error deleting node pool");
        if (code == EXIT_OK)
            printf("Successfully deleted node pool \"%s\"!\n", args->items[0]);
    }
    answer_free(&a);
    free(path);
    client_close(c);
    return code;
}

static int run_init(const struct args *args)
{
    const char *path = args->count > 0 ? args->items[0] : EXAMPLE;
    json_t *pool = json_pack("{ss,ss,s{ss},s{ss}}", "Name", "example", "Description",
                             "Example node pool", "Meta", "environment", "prod",
                             "SchedulerConfiguration", "SchedulerAlgorithm", "spread");
    FILE *f = fopen(path, "wx");
    bool ok = f != NULL && json_dumpf(pool, f, JSON_INDENT(4)) == 0 && fputc('\n', f) != EOF;
    if (f != NULL && fclose(f) != 0)
        ok = false;
    if (ok)
        printf("Example node pool specification written to %s\n", path);
    else
        fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
    json_decref(pool);
    return ok ? EXIT_OK : EXIT_ERROR;
}

static const struct flag json_flags[] = {
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};
static const struct flag nodes_flags[] = {
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    FLAG_END,
};

const struct command commands_pool[] = {
    {"node pool list", NULL, "", "all node pools", NULL, json_flags, 0, 0, run_list},
    {"node pool info", NULL, "<pool>", "one node pool", NULL, json_flags, 1, 1, run_info},
    {"node pool nodes", NULL, "<pool>", "the nodes of a pool", NULL, nodes_flags, 1, 1, run_nodes},
    {"node pool jobs", NULL, "<pool>", "the jobs of a pool", NULL, json_flags, 1, 1, run_jobs},
    {"node pool apply", NULL, "<file>", "make a node pool, or change it",
     "The file holds JSON, as \"nctl node pool init\" writes it; \"-\" is standard input. A node "
     "is "
     "put\ninto a pool by its agent's setting node_pool, a job by node_pool in its file.",
     NULL, 1, 1, run_apply},
    {"node pool delete", NULL, "<pool>", "delete a node pool without nodes and running jobs", NULL,
     NULL, 1, 1, run_delete},
    {"node pool init", NULL, "[file]", "write an example of a node pool",
     "Into " EXAMPLE " if no file is named.", NULL, 0, 1, run_init},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
