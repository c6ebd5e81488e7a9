#include "jobstatus.h"
#include "base/clock.h"
#include "base/err.h"
#include "childview.h"
#include "client.h"
#include "deployview.h"
#include "resolve.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
             children_load(c, v->job, args_has(args, "verbose"), &v->children);
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

int job_status_run(const struct args *args)
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

/* ---- inspect */

int job_inspect_run(const struct args *args)
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
