/* The versions of a job: history, and the way back. */
#include "client.h"
#include "base/err.h"
#include "diffview.h"
#include "monitor.h"
#include "resolve.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_version(const struct args *args, const json_t *job, const json_t *diff)
{
    printf("Version     = %lld\nStable      = %s\nSubmit Date = %s\n",
           (long long)number_at(job, "Version"), flag_at(job, "Stable") ? "true" : "false",
           show_time(number_at(job, "SubmitTime"), true));
    if (args_has(args, "full")) {
        printf("Full        = JSON Job:\n");
        print_json(job);
    } else if (json_is_object(diff)) {
        printf("Diff        = \n");
        print_job_diff(diff, false);
    }
}

/* False: there is no such version. */
static bool print_versions(const struct args *args, const json_t *reply)
{
    const json_t *versions = value_at(reply, "Versions"), *diffs = value_at(reply, "Diffs"), *job;
    bool one = args_has(args, "version"), any = false;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)versions, i, job)
    {
        if (one && number_at(job, "Version") != args_number(args, "version", 0))
            continue;
        if (any)
            putchar('\n');
        any = true;
        print_version(args, job, json_array_get(diffs, i));
    }
    return any;
}

static int print_as_json(const struct args *args, const json_t *reply)
{
    const json_t *versions = value_at(reply, "Versions"), *job;
    size_t i;
    if (!args_has(args, "version")) {
        print_json(versions);
        return EXIT_OK;
    }
    json_array_foreach((json_t *)(uintptr_t)versions, i,
                       job) if (number_at(job, "Version") == args_number(args, "version", 0))
    {
        print_json(job);
        return EXIT_OK;
    }
    return EXIT_ERROR;
}

static int history_of(struct client *c, const struct args *args, const json_t *found)
{
    struct answer a;
    char *path = path_of("/v1/job/", text_at(found, "ID"), "/versions");
    bool diffs = args_has(args, "p") && !args_has(args, "json");
    int code = EXIT_ERROR;
    if (client_get_json(c, &a, "Error retrieving job versions", path,
                        diffs ? "diffs=true" : "diffs=false")) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            code = print_as_json(args, a.json);
        else if (!print_versions(args, a.json))
            code = EXIT_ERROR;
        if (code != EXIT_OK)
            fprintf(stderr, "Error printing job history for non-existing job or job version\n");
    }
    answer_free(&a);
    free(path);
    return code;
}

static int run_history(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *found = c != NULL ? resolve_or_say(c, "job", args->items[0]) : NULL;
    int code = found != NULL ? history_of(c, args, found) : EXIT_ERROR;
    json_decref(found);
    client_close(c);
    return code;
}

/* ---- the way back */

static int revert_to(struct client *c, const struct args *args, const json_t *found, long version)
{
    struct answer a;
    struct monitor_options o = {
        .verbose = args_has(args, "verbose"), .placed = true, .deployment = true};
    const char *job = text_at(found, "ID");
    struct strbuf query = STRBUF_INIT;
    char *path = path_of("/v1/job/", job, "/revert");
    json_t *body = json_pack("{ss,sI,sn}", "JobID", job, "JobVersion", (json_int_t)version,
                             "EnforcePriorVersion");
    char *text = json_dumps(body, JSON_COMPACT);
    int code = EXIT_ERROR;
    if (*text_at(found, "Namespace") != '\0')
        query_add(&query, "namespace", text_at(found, "Namespace"));
    if (client_call(c, "PUT", path, query.len > 0 ? strbuf_text(&query) : NULL, text, &a)) {
        const char *eval = text_at(a.json, "EvalID");
        if (a.json == NULL)
            code = answer_refused(&a, "Error retrieving job versions");
        else if (*eval == '\0')
            code = EXIT_OK;
        else if (args_has(args, "detach"))
            code = EXIT_OK, printf("Evaluation ID: %s\n", eval);
        else
            code = monitor_eval(c, eval, &o, NULL);
    }
    answer_free(&a);
    strbuf_free(&query);
    free(text);
    json_decref(body);
    free(path);
    return code;
}

static int run_revert(const struct args *args)
{
    char *end;
    long version = strtol(args->items[1], &end, 10);
    if (*args->items[1] == '\0' || *end != '\0' || version < 0) {
        fprintf(stderr, "The version must be a number from 0 on: see \"nctl job history\"\n");
        return EXIT_ERROR;
    }
    struct client *c = client_open(args);
    json_t *found = c != NULL ? resolve_or_say(c, "job", args->items[0]) : NULL;
    int code = found != NULL ? revert_to(c, args, found, version) : EXIT_ERROR;
    json_decref(found);
    client_close(c);
    return code;
}

static const struct flag revert_flags[] = {
    {"detach", FLAG_BOOL, NULL, "print the evaluation's id and return"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    FLAG_END,
};
static const struct flag history_flags[] = {
    {"p", FLAG_BOOL, NULL, "what each version changed of the one before"},
    {"version", FLAG_NUMBER, "N", "only this version"},
    {"full", FLAG_BOOL, NULL, "the whole job of each version, as JSON"},
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};

const struct command commands_history[] = {
    {"job history", "history", "<job>", "the versions of a job that are kept, newest first", NULL,
     history_flags, 1, 1, run_history},
    {"job revert", NULL, "<job> <version>", "make an older version of a job the newest one",
     "The versions are those of \"nctl job history\".", revert_flags, 2, 2, run_revert},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
