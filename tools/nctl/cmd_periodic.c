/* Periodic jobs: a launch now. */
#include "client.h"
#include "base/strbuf.h"
#include "monitor.h"
#include "resolve.h"
#include "show.h"
#include <stdlib.h>
#include <string.h>

/* Those of a list of jobs that are periodic; a new reference. */
static json_t *periodic_ones(const json_t *jobs)
{
    json_t *found = json_array(), *job;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)jobs, i, job) if (flag_at(job, "Periodic"))
        json_array_append(found, job);
    return found;
}

static void print_several(const json_t *jobs)
{
    struct table t;
    size_t i;
    json_t *job;
    fprintf(stderr, "Prefix matched multiple periodic jobs\n\n");
    table_init(&t, "ID|Namespace|Status", false);
    json_array_foreach((json_t *)(uintptr_t)jobs, i, job)
        TABLE_ROW(&t, text_at(job, "ID"), text_at(job, "Namespace"), text_at(job, "Status"));
    table_print(&t, stderr);
    table_free(&t);
}

/* The one periodic job that the prefix means, a new reference; NULL: told on stderr. */
static json_t *find(struct client *c, const char *prefix)
{
    struct answer a;
    struct strbuf query = STRBUF_INIT;
    json_t *only = NULL, *found = NULL;
    query_add(&query, "prefix", prefix);
    if (client_get_json(c, &a, "Error querying jobs", "/v1/jobs", strbuf_text(&query))) {
        json_t *jobs = periodic_ones(a.json);
        size_t count = match_prefix(jobs, prefix, false, &only);
        if (count == 1)
            found = json_incref(only);
        else if (count > 1)
            print_several(jobs);
        else
            fprintf(stderr, "No periodic job(s) with prefix or id \"%s\" found\n", prefix);
        json_decref(jobs);
    }
    answer_free(&a);
    strbuf_free(&query);
    return found;
}

static int launched(struct client *c, const struct args *args, const json_t *reply)
{
    struct monitor_options o = {.verbose = args_has(args, "verbose")};
    const char *eval = text_at(reply, "EvalID");
    if (args_has(args, "json"))
        print_json(reply);
    else if (args_has(args, "detach"))
        printf("Force periodic successful\nEvaluation ID: %s\n", eval);
    else
        return monitor_eval(c, eval, &o, NULL);
    return EXIT_OK;
}

static int run_force(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *job = c != NULL ? find(c, args->items[0]) : NULL;
    int code = EXIT_ERROR;
    if (job != NULL) {
        struct answer a;
        struct strbuf query = STRBUF_INIT;
        char *path = path_of("/v1/job/", text_at(job, "ID"), "/periodic/force");
        if (*text_at(job, "Namespace") != '\0')
            query_add(&query, "namespace", text_at(job, "Namespace"));
        if (client_call(c, "PUT", path, query.len > 0 ? strbuf_text(&query) : NULL, NULL, &a))
            code = a.json != NULL ? launched(c, args, a.json)
                                  : answer_refused(&a, "Error forcing periodic job");
        answer_free(&a);
        strbuf_free(&query);
        free(path);
    }
    json_decref(job);
    client_close(c);
    return code;
}

static const struct flag force_flags[] = {
    {"detach", FLAG_BOOL, NULL, "print the evaluation's id and return"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    {"json", FLAG_BOOL, NULL, "print the server's answer as JSON"},
    FLAG_END,
};

const struct command commands_periodic[] = {
    {"periodic force", "job periodic force", "<job>", "launch a periodic job now, and follow it",
     "Its schedule goes on as it is. An earlier launch that still runs does not hinder it, even "
     "where the job prohibits overlap.",
     force_flags, 1, 1, run_force},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
