/* Jobs: submit, validate, status, stop, inspect. */
#include "client.h"
#include "base/clock.h"
#include "base/err.h"
#include "childview.h"
#include "deployview.h"
#include "jobfile/jobfile.h"
#include "jobsource.h"
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

/* ---- status */

static const char *job_status(const json_t *job)
{
    const char *status = text_at(job, "Status");
    return flag_at(job, "Stop") ? show("%s (stopped)", status) : status;
}

/* What launches others says so, as in Nomad. */
static const char *job_type(const json_t *job)
{
    const char *kind = flag_at(job, "Periodic")           ? "/periodic"
                       : flag_at(job, "ParameterizedJob") ? "/parameterized"
                                                          : "";
    return show("%s%s", text_at(job, "Type"), kind);
}

/* The namespace only where there may be several. */
static void print_jobs(struct client *c, const json_t *jobs)
{
    bool all = client_namespace(c) != NULL && strcmp(client_namespace(c), "*") == 0;
    struct table t;
    size_t i;
    json_t *job;
    table_init(&t,
               all ? "ID|Namespace|Type|Priority|Status|Submit Date"
                   : "ID|Type|Priority|Status|Submit Date",
               client_colors(c));
    json_array_foreach((json_t *)(uintptr_t)jobs, i, job)
    {
        const char *cells[TABLE_MAX_COLUMNS];
        size_t n = 0;
        cells[n++] = text_at(job, "ID");
        if (all)
            cells[n++] = text_at(value_at(job, "JobSummary"), "Namespace");
        cells[n++] = job_type(job);
        cells[n++] = show("%lld", (long long)number_at(job, "Priority"));
        cells[n++] = job_status(job);
        cells[n++] = show_time(number_at(job, "SubmitTime"), true);
        table_row(&t, cells);
    }
    table_print(&t, stdout);
    table_free(&t);
}

static int list_jobs(struct client *c, const struct args *args)
{
    struct answer a;
    int code = EXIT_ERROR;
    if (client_get_json(c, &a, "Error querying jobs", "/v1/jobs", NULL)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else if (json_array_size(a.json) == 0)
            printf("No running jobs\n");
        else
            print_jobs(c, a.json);
    }
    answer_free(&a);
    return code;
}

/* All that `status JOB` shows. */
struct job_view {
    json_t *job, *summary, *allocs, *evals, *deployment;
    json_t *children; /* of one that has them instead of allocations */
};

static bool view_part(struct client *c, json_t **out, const char *what, const char *id,
                      const char *after, const char *query)
{
    struct answer a;
    char *path = path_of("/v1/job/", id, after);
    bool ok = client_get_json(c, &a, what, path, query);
    if (ok)
        *out = json_incref(a.json);
    answer_free(&a);
    free(path);
    return ok;
}

static bool view_load(struct client *c, const struct args *args, const char *id,
                      const char *namespace, struct job_view *v)
{
    struct strbuf query = STRBUF_INIT, all = STRBUF_INIT;
    if (*namespace != '\0')
        query_add(&query, "namespace", namespace);
    query_add(&all, "all", args_has(args, "all-allocs") ? "true" : "false");
    if (*namespace != '\0')
        query_add(&all, "namespace", namespace);
    const char *q = query.len > 0 ? strbuf_text(&query) : NULL;
    bool ok = view_part(c, &v->job, "Error querying job", id, "", q);
    if (ok && !args_has(args, "short") &&
        (job_json_is_periodic(v->job) || job_json_is_parameterized(v->job)))
        ok = view_part(c, &v->summary, "Error querying job summary", id, "/summary", q) &&
             children_load(c, v->job, &v->children);
    else if (ok && !args_has(args, "short"))
        ok = view_part(c, &v->allocs, "Error querying job allocations", id, "/allocations",
                       strbuf_text(&all)) &&
             view_part(c, &v->evals, "Error querying job evaluations", id, "/evaluations", q) &&
             view_part(c, &v->deployment, "Error querying latest job deployment", id, "/deployment",
                       q) &&
             view_part(c, &v->summary, "Error querying job summary", id, "/summary", q);
    strbuf_free(&query);
    strbuf_free(&all);
    return ok;
}

static void print_job(const json_t *job, bool colors)
{
    struct table t;
    struct strbuf dcs = STRBUF_INIT;
    size_t i;
    json_t *dc;
    json_array_foreach(value_at(job, "Datacenters"), i, dc)
        strbuf_printf(&dcs, "%s%s", i > 0 ? "," : "", json_string_value(dc));
    pairs_init(&t, colors);
    pairs_add(&t, "ID", "%s", text_at(job, "ID"));
    pairs_add(&t, "Name", "%s", text_at(job, "Name"));
    pairs_add(&t, "Submit Date", "%s", show_time(number_at(job, "SubmitTime"), true));
    pairs_add(&t, "Type", "%s", text_at(job, "Type"));
    pairs_add(&t, "Priority", "%lld", (long long)number_at(job, "Priority"));
    pairs_add(&t, "Datacenters", "%s", strbuf_text(&dcs));
    if (*text_at(job, "NodePool") != '\0')
        pairs_add(&t, "Node Pool", "%s", text_at(job, "NodePool"));
    pairs_add(&t, "Namespace", "%s", text_at(job, "Namespace"));
    pairs_add(&t, "Status", "%s", job_status(job));
    bool periodic = job_json_is_periodic(job), parameterized = job_json_is_parameterized(job);
    pairs_add(&t, "Periodic", "%s", periodic ? "true" : "false");
    pairs_add(&t, "Parameterized", "%s", parameterized ? "true" : "false");
    if (periodic && !parameterized) {
        const char *next = next_launch_of_json(job, clock_wall_ns());
        pairs_add(&t, "Next Periodic Launch", "%s",
                  flag_at(job, "Stop") ? "none (job stopped)"
                  : next != NULL       ? next
                                       : "none");
    }
    if (*text_at(job, "StatusDescription") != '\0')
        pairs_add(&t, "Waiting", "%s", text_at(job, "StatusDescription"));
    table_print(&t, stdout);
    table_free(&t);
    strbuf_free(&dcs);
}

static void print_summary(const json_t *summary, bool colors)
{
    static const char *const counts[] = {"Queued", "Starting", "Running",
                                         "Failed", "Complete", "Lost"};
    const json_t *groups = value_at(summary, "Summary");
    struct table t;
    size_t count;
    const char **keys = sorted_keys(groups, &count);
    print_section(stdout, colors, "Summary");
    table_init(&t, "Task Group|Queued|Starting|Running|Failed|Complete|Lost", colors);
    for (size_t i = 0; i < count; i++) {
        const char *cells[TABLE_MAX_COLUMNS] = {keys[i]};
        for (size_t k = 0; k < COUNT_OF(counts); k++)
            cells[k + 1] = show("%lld", (long long)number_at(value_at(groups, keys[i]), counts[k]));
        table_row(&t, cells);
    }
    table_print(&t, stdout);
    table_free(&t);
    free(keys);
}

static void print_evals(const json_t *evals, bool whole, bool colors)
{
    struct table t;
    size_t i;
    json_t *eval;
    print_section(stdout, colors, "Evaluations");
    table_init(&t, "ID|Priority|Triggered By|Status|Placement Failures", colors);
    json_array_foreach((json_t *)evals, i, eval)
    {
        bool blocked = strcmp(text_at(eval, "Status"), "blocked") == 0;
        bool failed = json_object_size(value_at(eval, "FailedTGAllocs")) > 0;
        TABLE_ROW(&t, show_id(text_at(eval, "ID"), whole),
                  show("%lld", (long long)number_at(eval, "Priority")),
                  text_at(eval, "TriggeredBy"), text_at(eval, "Status"),
                  blocked  ? "N/A - In Progress"
                  : failed ? "true"
                           : "false");
    }
    table_print(&t, stdout);
    table_free(&t);
}

/* The evaluation that id names, or NULL. */
static const json_t *eval_of(const json_t *evals, const char *id)
{
    size_t i;
    json_t *eval;
    json_array_foreach((json_t *)evals, i,
                       eval) if (strcmp(text_at(eval, "ID"), id) == 0) return eval;
    return NULL;
}

/* What still waits for room: the blocked evaluation tells, or the one it comes from. */
static void print_waiting(const json_t *evals, bool colors)
{
    size_t i;
    json_t *eval;
    json_array_foreach((json_t *)evals, i, eval)
    {
        if (strcmp(text_at(eval, "Status"), "blocked") != 0)
            continue;
        const json_t *failed = value_at(eval, "FailedTGAllocs");
        if (json_object_size(failed) == 0)
            failed = value_at(eval_of(evals, text_at(eval, "PreviousEval")), "FailedTGAllocs");
        if (json_object_size(failed) == 0)
            continue;
        print_section(stdout, colors, "Placement Failure");
        print_placement_failures(failed, "", false);
        return;
    }
}

static void print_view(const struct args *args, const struct job_view *v, bool colors)
{
    bool verbose = args_has(args, "verbose");
    print_job(v->job, colors);
    if (args_has(args, "short"))
        return;
    if (v->children != NULL) {
        children_print(v->job, v->summary, v->children, colors);
        return;
    }
    print_summary(v->summary, colors);
    if (verbose || args_has(args, "evals"))
        print_evals(v->evals, verbose, colors);
    print_waiting(v->evals, colors);
    if (json_is_object(v->deployment)) {
        print_section(stdout, colors, "Latest Deployment");
        print_deployment(v->deployment, true, verbose, colors);
    }
    print_allocs(v->allocs, verbose, colors);
}

static int status_of(struct client *c, const struct args *args, const json_t *found)
{
    struct job_view v = {0};
    int code = EXIT_ERROR;
    if (view_load(c, args, text_at(found, "ID"), text_at(found, "Namespace"), &v)) {
        code = EXIT_OK;
        if (args_has(args, "json")) {
            json_t *all = json_pack("{s:O, s:O?, s:O*, s:O?, s:O?, s:O?}", "Job", v.job, "Summary",
                                    v.summary, "Children", v.children, "Allocations", v.allocs,
                                    "Evaluations", v.evals, "LatestDeployment", v.deployment);
            print_json(all);
            json_decref(all);
        } else
            print_view(args, &v, client_colors(c));
    }
    json_decref(v.job);
    json_decref(v.summary);
    json_decref(v.allocs);
    json_decref(v.evals);
    json_decref(v.children);
    json_decref(v.deployment);
    return code;
}

static int run_status(const struct args *args)
{
    struct client *c = client_open(args);
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (args->count == 0)
        code = list_jobs(c, args);
    else {
        json_t *found = resolve_or_say(c, "job", args->items[0]);
        if (found != NULL)
            code = status_of(c, args, found);
        json_decref(found);
    }
    client_close(c);
    return code;
}

/* ---- stop, inspect */

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

static int run_inspect(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *found = c != NULL ? resolve_or_say(c, "job", args->items[0]) : NULL;
    struct job_view v = {0};
    int code = EXIT_ERROR;
    if (found != NULL &&
        view_part(c, &v.job, "Error inspecting job", text_at(found, "ID"), "", NULL)) {
        json_t *all = json_pack("{s:O}", "Job", v.job);
        print_json(all);
        json_decref(all);
        code = EXIT_OK;
    }
    json_decref(v.job);
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
     0, 1, run_status},
    {"stop", "job stop", "<job>", "stop a job's tasks and follow it", NULL, stop_flags, 1, 1,
     run_stop},
    {"inspect", "job inspect", "<job>", "a job as the server has it, as JSON", NULL, json_flags, 1,
     1, run_inspect},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
