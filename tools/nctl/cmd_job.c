/* Jobs: submit, validate, stop; what reads them is in jobstatus.c. */
#include "client.h"
#include "base/clock.h"
#include "base/err.h"
#include "childview.h"
#include "jobfile/jobfile.h"
#include "jobsource.h"
#include "jobstatus.h"
#include "monitor.h"
#include "resolve.h"
#include "sched/periodic.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JOB_MEMORY = 256 << 20 }; /* what a job file may become */

/* ---- submit */

static json_t *register_body(const struct args *args, const Pb__Job *job)
{
    json_t *body = json_object();
    json_object_set_new(body, "Job", jobsource_json(job));
    if (args_has(args, "check-index")) {
        json_object_set_new(body, "EnforceIndex", json_true());
        json_object_set_new(body, "JobModifyIndex",
                            json_integer(args_number(args, "check-index", 0)));
    }
    if (args_has(args, "preserve-counts"))
        json_object_set_new(body, "PreserveCounts", json_true());
    return body;
}

static void print_warnings(FILE *to, const char *warnings)
{
    if (*warnings == '\0')
        return;
    fprintf(to, "Job Warnings:\n");
    print_clean(to, warnings);
    fprintf(to, "\n\n");
}

static int refused(const struct answer *a)
{
    if (strstr(strbuf_text(&a->text), "Enforcing job modify index") == NULL)
        return answer_refused(a, "Error submitting job");
    fprintf(stderr, "%s\nJob not updated\n", strbuf_text(&a->text));
    return EXIT_ERROR;
}

static void print_registered(const Pb__Job *job, const char *eval)
{
    const char *next = job_is_launched(job) ? next_launch(job->periodic, clock_wall_ns()) : NULL;
    printf("Job registration successful\n");
    if (*eval != '\0')
        printf("Evaluation ID: %s\n", eval);
    if (next != NULL)
        printf("Approximate next launch time: %s\n", next);
}

static int submitted(struct client *c, const struct args *args, const Pb__Job *job,
                     const json_t *reply)
{
    const char *eval = text_at(reply, "EvalID");
    bool json = args_has(args, "json"), detach = args_has(args, "detach");
    struct monitor_options o = {args_has(args, "verbose"), json, true, true};
    json_t *result = NULL;
    int code = EXIT_OK;
    if (!json)
        print_warnings(stdout, text_at(reply, "Warnings"));
    if (detach || *eval == '\0') {
        if (!json)
            print_registered(job, eval);
    } else
        code = monitor_eval(c, eval, &o, json ? &result : NULL);
    if (json) {
        json_t *all = json_copy((json_t *)reply);
        json_object_update(all, result);
        print_json(all);
        json_decref(all);
    }
    json_decref(result);
    return code;
}

static int send_job(struct client *c, const struct args *args, Pb__Job *job)
{
    struct answer a;
    json_t *body = register_body(args, job);
    char *text = json_dumps(body, JSON_COMPACT);
    int code = EXIT_ERROR;
    json_decref(body);
    if (args_has(args, "output"))
        code = EXIT_OK, puts(text);
    else {
        if (client_call(c, "PUT", "/v1/jobs", NULL, text, &a))
            code = a.json != NULL ? submitted(c, args, job, a.json) : refused(&a);
        answer_free(&a);
    }
    free(text);
    return code;
}

static int run_submit(const struct args *args)
{
    struct arena *arena = arena_new(JOB_MEMORY);
    Pb__Job *job = jobsource_read(arena, args->items[0]);
    struct client *c = job != NULL ? client_open(args) : NULL;
    int code = EXIT_ERROR;
    if (c != NULL) {
        jobsource_place(c, arena, job);
        job_canonicalize(arena, job);
        code = send_job(c, args, job);
    }
    client_close(c);
    arena_free(arena);
    return code;
}

/* ---- validate: by the code that the server runs, so no server is needed */

static json_t *problems_json(const struct job_problems *p)
{
    json_t *errors = json_array(), *warnings = json_array();
    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(errors, json_string(p->texts[i]));
    for (size_t i = 0; i < p->warning_count; i++)
        json_array_append_new(warnings, json_string(p->warnings[i]));
    return json_pack("{s:o, s:o}", "ValidationErrors", errors, "Warnings", warnings);
}

/* Lists within lists end in several blank lines. */
static void print_problem(FILE *to, const char *bullet, const char *text)
{
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        len--;
    char *trimmed = xstrdup(text);
    trimmed[len] = '\0';
    fputs(bullet, to);
    print_clean(to, trimmed);
    fputc('\n', to);
    free(trimmed);
}

static void print_problems(const struct job_problems *p)
{
    if (p->warning_count > 0)
        printf("Job Warnings:\n%zu warning(s):\n\n", p->warning_count);
    for (size_t i = 0; i < p->warning_count; i++)
        print_problem(stdout, "* ", p->warnings[i]);
    if (p->warning_count > 0)
        putchar('\n');
    if (p->count == 0) {
        printf("Job validation successful\n");
        return;
    }
    fflush(stdout);
    fprintf(stderr, "Job validation errors:\n%zu error%s occurred:\n", p->count,
            p->count == 1 ? "" : "s");
    for (size_t i = 0; i < p->count; i++)
        print_problem(stderr, "\t* ", p->texts[i]);
}

static int run_validate(const struct args *args)
{
    struct arena *arena = arena_new(JOB_MEMORY);
    Pb__Job *job = jobsource_read(arena, args->items[0]);
    struct job_problems problems = {.count = 1};
    if (job != NULL) {
        job_canonicalize(arena, job);
        job_validate(arena, job, &problems);
        if (args_has(args, "json")) {
            json_t *all = problems_json(&problems);
            print_json(all);
            json_decref(all);
        } else
            print_problems(&problems);
    }
    arena_free(arena);
    return problems.count == 0 ? EXIT_OK : EXIT_ERROR;
}

/* ---- stop */

static int stop_job(struct client *c, const struct args *args, const json_t *found)
{
    struct answer a;
    struct strbuf query = STRBUF_INIT;
    struct monitor_options o = {.verbose = args_has(args, "verbose"),
                                .quiet = args_has(args, "json")};
    char *path = path_of("/v1/job/", text_at(found, "ID"), "");
    int code = EXIT_ERROR;
    query_add(&query, "purge", args_has(args, "purge") ? "true" : "false");
    if (*text_at(found, "Namespace") != '\0')
        query_add(&query, "namespace", text_at(found, "Namespace"));
    if (client_call(c, "DELETE", path, strbuf_text(&query), NULL, &a)) {
        const char *eval = text_at(a.json, "EvalID");
        if (a.json == NULL)
            code = answer_refused(&a, "Error deregistering job");
        else if (o.quiet)
            code = EXIT_OK, print_json(a.json);
        else if (args_has(args, "detach") || *eval == '\0')
            code = EXIT_OK, printf("%s\n", eval);
        else
            code = monitor_eval(c, eval, &o, NULL);
    }
    answer_free(&a);
    strbuf_free(&query);
    free(path);
    return code;
}

static int run_stop(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *found = c != NULL ? resolve_or_say(c, "job", args->items[0]) : NULL;
    int code = found != NULL ? stop_job(c, args, found) : EXIT_ERROR;
    json_decref(found);
    client_close(c);
    return code;
}

static const struct flag submit_flags[] = {
    {"detach", FLAG_BOOL, NULL, "return once the job is registered"},
    {"verbose", FLAG_BOOL, NULL,
     "whole ids; wait for the tasks; print the scores of the placement"},
    {"check-index", FLAG_NUMBER, "INDEX",
     "only if the job's JobModifyIndex is this; 0: only if there is no such job"},
    {"preserve-counts", FLAG_BOOL, NULL, "keep the counts of the groups as they run"},
    {"output", FLAG_BOOL, NULL, "print the request instead of sending it"},
    {"json", FLAG_BOOL, NULL, "print the registration, evaluation and allocations as JSON"},
    FLAG_END,
};
static const struct flag json_flags[] = {
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};
static const struct flag status_flags[] = {
    {"short", FLAG_BOOL, NULL, "only the job itself"},
    {"evals", FLAG_BOOL, NULL, "also its evaluations"},
    {"all-allocs", FLAG_BOOL, NULL, "also allocations of an earlier job of the same name"},
    {"verbose", FLAG_BOOL, NULL, "whole ids and exact times; also the evaluations"},
    {"json", FLAG_BOOL, NULL,
     "print {Job, Summary, Allocations, Evaluations, LatestDeployment} as JSON"},
    FLAG_END,
};
static const struct flag stop_flags[] = {
    {"purge", FLAG_BOOL, NULL, "forget the job and its history too"},
    {"detach", FLAG_BOOL, NULL, "print the evaluation's id and return"},
    {"yes", FLAG_BOOL, NULL, "accepted for scripts; nothing is asked"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    {"json", FLAG_BOOL, NULL, "print the server's answer as JSON"},
    FLAG_END,
};

const struct command commands_job[] = {
    {"submit", "run, job run, job submit", "<file>", "register a job and follow its placement",
     "The file is in the native form (.job) or in Nomad's JSON form (.json); \"-\" reads standard "
     "input.\nExits 2 when the job is registered but not all of it could be placed; the rest is "
     "placed as soon as there is room. A service that is deployed is followed until its tasks are "
     "healthy, the deployment failed (exits 1), or its canaries wait for a promotion.",
     submit_flags, 1, 1, run_submit},
    {"validate", "job validate", "<file>", "check a job file, without a server",
     "Prints every mistake with its place, then what the job asks for in vain. Exits 1 if there is "
     "a mistake.",
     json_flags, 1, 1, run_validate},
    {"status", "job status", "[job]", "all jobs, or one with its allocations", NULL, status_flags,
     0, 1, job_status_run},
    {"stop", "job stop", "<job>", "stop a job's tasks and follow it", NULL, stop_flags, 1, 1,
     run_stop},
    {"inspect", "job inspect", "<job>", "a job as the server has it, as JSON", NULL, json_flags, 1,
     1, job_inspect_run},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
