/* What would be, and why things are as they are. */
#include "base/err.h"
#include "client.h"
#include "jobfile/jobfile.h"
#include "jobsource.h"
#include "planview.h"
#include "resolve.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB_MEMORY (64u << 20)

enum { EXIT_PLAN_CHANGES = 1, EXIT_PLAN_ERROR = 255 };

/* ---- what-if */

static bool what_if_wrong(const char *text)
{
    fprintf(stderr,
            "-what-if \"%s\" is neither \"nodes+=10 like NODE\" nor \"nodes-=NODE\", with the name "
            "or id of a node; several are separated by commas\n",
            text);
    return false;
}

/* By id, or by name. */
static json_t *find_node(struct client *c, const char *name)
{
    struct answer a;
    json_t *found = NULL;
    bool asked = client_get_json(c, &a, "Error querying nodes", "/v1/nodes", NULL);
    for (size_t i = 0; asked && i < json_array_size(a.json) && found == NULL; i++)
        if (strcmp(text_at(json_array_get(a.json, i), "Name"), name) == 0)
            found = json_incref(json_array_get(a.json, i));
    answer_free(&a);
    return found != NULL || !asked ? found : resolve_or_say(c, "node", name);
}

/* One "nodes..." into list; false: said. */
static bool read_change(struct client *c, const char *text, json_t *list)
{
    char name[256], count[10];
    int end = 0;
    text += strspn(text, " ");
    bool adds = sscanf(text, "nodes += %9[0-9] like %255s %n", count, name, &end) == 2;
    unsigned long add = adds ? strtoul(count, NULL, 10) : 0;
    if (!adds && sscanf(text, "nodes -= %255s %n", name, &end) != 1)
        return what_if_wrong(text);
    if (text[end] != '\0')
        return what_if_wrong(text);
    json_t *node = find_node(c, name);
    if (node == NULL)
        return false;
    json_t *change = json_pack("{s:s}", "NodeID", text_at(node, "ID"));
    json_object_set_new(change, adds ? "Add" : "Remove",
                        adds ? json_integer((json_int_t)add) : json_true());
    json_array_append_new(list, change);
    json_decref(node);
    return true;
}

static bool read_what_if(struct client *c, const struct args *args, json_t *list)
{
    char *copy = xstrdup(args_text(args, "what-if", "")), *rest = copy, *one;
    bool ok = true;
    if (*copy == '\0')
        rest = NULL;
    while (ok && (one = strsep(&rest, ",")) != NULL)
        ok = read_change(c, one, list);
    free(copy);
    return ok;
}

/* ---- plan */

static json_t *plan_request(struct client *c, const struct args *args, const Pb__Job *job)
{
    json_t *what_if = json_array();
    if (!read_what_if(c, args, what_if)) {
        json_decref(what_if);
        return NULL;
    }
    bool where = args_has(args, "where") || json_array_size(what_if) > 0;
    return json_pack("{so,sb,sb,sb,sb,so}", "Job", jobsource_json(job), "Diff",
                     strcmp(args_text(args, "diff", "true"), "true") == 0, "PolicyOverride",
                     args_has(args, "policy-override"), "PreserveCounts",
                     args_has(args, "preserve-counts"), "Where", where, "WhatIf", what_if);
}

static int send_plan(struct client *c, const struct args *args, const Pb__Job *job)
{
    struct answer a;
    json_t *request = plan_request(c, args, job);
    if (request == NULL)
        return EXIT_PLAN_ERROR;
    char *text = json_dumps(request, JSON_COMPACT), *path = path_of("/v1/job/", job->id, "/plan");
    int code = EXIT_PLAN_ERROR;
    if (client_call(c, "PUT", path, NULL, text, &a)) {
        if (a.json == NULL)
            answer_refused(&a, "Error during plan");
        else if (args_has(args, "json"))
            print_json(a.json);
        else
            planview_print(a.json, &(struct planview){.file = args->items[0],
                                                      .job = job->id,
                                                      .verbose = args_has(args, "verbose"),
                                                      .all_at_once = job->all_at_once,
                                                      .colors = client_colors(c)});
        if (a.json != NULL)
            code = planview_changes(a.json) ? EXIT_PLAN_CHANGES : EXIT_OK;
    }
    answer_free(&a);
    json_decref(request);
    free(text);
    free(path);
    return code;
}

static int run_plan(const struct args *args)
{
    struct arena *arena = arena_new(JOB_MEMORY);
    Pb__Job *job = jobsource_read(arena, args->items[0]);
    struct client *c = job != NULL ? client_open(args) : NULL;
    int code = EXIT_PLAN_ERROR;
    if (c != NULL) {
        jobsource_place(c, arena, job);
        job_canonicalize(arena, job);
        code = send_plan(c, args, job);
    }
    client_close(c);
    arena_free(arena);
    return code;
}

/* ---- why */

static const char *found_why(struct client *c, const char *name, const char **kind, json_t **found)
{
    static const char *const kinds[] = {"job", "alloc", "eval"};
    static const char *const paths[] = {"/v1/job/", "/v1/allocation/", "/v1/evaluation/"};
    bool hex = strspn(name, "0123456789abcdefABCDEF-") == strlen(name);
    for (size_t i = 0; i < 3; i++) {
        enum resolve r = i == 0 || hex ? resolve(c, kinds[i], name, found) : RESOLVE_NONE;
        if (r == RESOLVE_FAILED)
            return NULL;
        if (r == RESOLVED) {
            *kind = kinds[i];
            return paths[i];
        }
    }
    fprintf(stderr, "No job, allocation or evaluation with prefix or id \"%s\" found\n", name);
    return NULL;
}

static int run_why(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *found = NULL;
    const char *kind = "", *path = c != NULL ? found_why(c, args->items[0], &kind, &found) : NULL;
    int code = EXIT_ERROR;
    if (path != NULL) {
        struct answer a;
        char *whole = path_of(path, text_at(found, "ID"), "/why");
        if (client_get_json(c, &a, "Error asking why", whole, NULL)) {
            code = EXIT_OK;
            if (args_has(args, "json"))
                print_json(a.json);
            else
                why_print(a.json, args_has(args, "verbose"), client_colors(c));
        }
        answer_free(&a);
        free(whole);
    }
    json_decref(found);
    client_close(c);
    return code;
}

static const struct flag plan_flags[] = {
    {"diff", FLAG_BOOL, NULL, "what would change in the job; on unless -diff=false"},
    {"where", FLAG_BOOL, NULL, "also the nodes where the placements would go"},
    {"what-if", FLAG_TEXT, "CHANGES",
     "plan on other nodes than there are: \"nodes+=10 like NODE\", \"nodes-=NODE\", or several, "
     "separated by commas"},
    {"preserve-counts", FLAG_BOOL, NULL, "with the counts of the groups as they run"},
    {"policy-override", FLAG_BOOL, NULL, "accepted; there are no policies to override"},
    {"verbose", FLAG_BOOL, NULL, "more of the differences"},
    {"json", FLAG_BOOL, NULL, "print the server's answer as JSON"},
    FLAG_END,
};
static const struct flag why_flags[] = {
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    {"json", FLAG_BOOL, NULL, "print the server's answer as JSON"},
    FLAG_END,
};

const struct command commands_plan[] = {
    {"plan", "job plan", "<file>",
     "what registering a job would change and place, without doing it",
     "Changes nothing. What it says is what happens if the state stays as it is.\nExits 0 when "
     "nothing would change, 1 when allocations would be made, changed or stopped, 255 on an "
     "error.",
     plan_flags, 1, 1, run_plan},
    {"why", NULL, "<job, alloc or eval>", "why allocations are where they are, or nowhere",
     "Of a job: for each group what its next allocation could choose from, what the other nodes "
     "lack, and what would be enough, the least first.\nOf an evaluation or allocation: the nodes "
     "that were looked at, and the best of them with each part of their score.",
     why_flags, 1, 1, run_why},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
