/* Counts of task groups, and the policies that autoscalers follow. */
#include "base/err.h"
#include "client.h"
#include "monitor.h"
#include "resolve.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- job scale */

/* The job's groups and their events; NULL: told. */
static json_t *scale_of(struct client *c, const char *job)
{
    struct answer a;
    json_t *status = NULL;
    char *path = path_of("/v1/job/", job, "/scale");
    if (client_get_json(c, &a, "Error querying job", path, NULL))
        status = json_incref(a.json);
    answer_free(&a);
    free(path);
    return status;
}

/* The one that is named, or the only one; NULL: told. */
static const char *pick_group(const json_t *status, const char *name)
{
    json_t *groups = value_at(status, "TaskGroups");
    if (name == NULL && json_object_size(groups) == 1)
        return json_object_iter_key(json_object_iter(groups));
    if (name == NULL) {
        fprintf(stderr, "Group name required: the job has several\n");
        return NULL;
    }
    if (json_object_get(groups, name) != NULL)
        return name;
    fprintf(stderr, "Group ");
    print_clean(stderr, name);
    fprintf(stderr, " not found within job\n");
    return NULL;
}

static bool read_count(const char *text, long *out)
{
    char *end;
    *out = strtol(text, &end, 10);
    if (*text != '\0' && *end == '\0' && *out >= 0)
        return true;
    fprintf(stderr, "The count must be a number from 0 on, not \"");
    print_clean(stderr, text);
    fprintf(stderr, "\"\n");
    return false;
}

static int scale(struct client *c, const struct args *args, const char *group, long count)
{
    struct answer a;
    struct monitor_options o = {.verbose = args_has(args, "verbose"), .placed = true};
    const char *job = args->items[0];
    char *path = path_of("/v1/job/", job, "/scale");
    json_t *body =
        json_pack("{sI,s{ss,ss},ss,sb,sn}", "Count", (json_int_t)count, "Target", "Group", group,
                  "Job", job, "Message", "submitted using the Norn CLI", "Error", 0, "Meta");
    char *text = json_dumps(body, JSON_COMPACT);
    int code = EXIT_ERROR;
    if (client_call(c, "PUT", path, NULL, text, &a)) {
        const char *eval = text_at(a.json, "EvalID");
        if (a.json == NULL)
            code = answer_refused(&a, "Error submitting scaling request");
        else if (*eval == '\0')
            code = EXIT_OK;
        else if (args_has(args, "detach"))
            code = EXIT_OK, printf("Evaluation ID: %s\n", eval);
        else
            code = monitor_eval(c, eval, &o, NULL);
    }
    answer_free(&a);
    free(text);
    json_decref(body);
    free(path);
    return code;
}

static int run_scale(const struct args *args)
{
    bool named = args->count == 3;
    long count;
    if (!read_count(args->items[args->count - 1], &count))
        return EXIT_ERROR;
    struct client *c = client_open(args);
    json_t *status = c != NULL ? scale_of(c, args->items[0]) : NULL;
    const char *group = status != NULL ? pick_group(status, named ? args->items[1] : NULL) : NULL;
    int code = group != NULL ? scale(c, args, group, count) : EXIT_ERROR;
    json_decref(status);
    client_close(c);
    return code;
}

/* ---- its events */

struct event {
    const char *group;
    const json_t *event;
};

static int newest_first(const void *a, const void *b)
{
    int64_t x = number_at(((const struct event *)a)->event, "Time");
    int64_t y = number_at(((const struct event *)b)->event, "Time");
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Of all groups; the caller frees. */
static struct event *events_of(const json_t *status, size_t *count)
{
    struct event *events = NULL;
    size_t i;
    const char *group;
    json_t *state, *event;
    *count = 0;
    json_object_foreach(value_at(status, "TaskGroups"), group, state)
    {
        json_array_foreach(value_at(state, "Events"), i, event)
        {
            events = xrealloc(events, (*count + 1) * sizeof *events);
            events[(*count)++] = (struct event){group, event};
        }
    }
    if (*count > 1)
        qsort(events, *count, sizeof *events, newest_first);
    return events;
}

static void print_event(struct table *t, const struct event *e, bool verbose)
{
    const json_t *count = value_at(e->event, "Count");
    const char *wanted =
        json_is_integer(count) ? show("%lld", (long long)json_integer_value(count)) : "-";
    const char *before = show("%lld", (long long)number_at(e->event, "PreviousCount"));
    const char *date = show_time(number_at(e->event, "Time"), true);
    if (verbose)
        TABLE_ROW(t, e->group, wanted, before, flag_at(e->event, "Error") ? "true" : "false",
                  text_at(e->event, "Message"), text_at(e->event, "EvalID"), date);
    else
        TABLE_ROW(t, e->group, wanted, before, date);
}

static void print_events(const json_t *status, bool verbose, bool colors)
{
    size_t count;
    struct event *events = events_of(status, &count);
    struct table t;
    if (count == 0) {
        printf("No scaling events found\n");
        return;
    }
    table_init(&t,
               verbose ? "Task Group|Count|PrevCount|Error|Message|Eval ID|Date"
                       : "Task Group|Count|PrevCount|Date",
               colors);
    for (size_t i = 0; i < count; i++)
        print_event(&t, &events[i], verbose);
    table_print(&t, stdout);
    table_free(&t);
    free(events);
}

static int run_events(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *status = c != NULL ? scale_of(c, args->items[0]) : NULL;
    if (status != NULL && args_has(args, "json"))
        print_json(status);
    else if (status != NULL)
        print_events(status, args_has(args, "verbose"), client_colors(c));
    int code = status != NULL ? EXIT_OK : EXIT_ERROR;
    json_decref(status);
    client_close(c);
    return code;
}

/* ---- policies */

static const char *target_of(const json_t *policy)
{
    const json_t *target = value_at(policy, "Target");
    return show("Namespace:%s,Job:%s,Group:%s", text_at(target, "Namespace"),
                text_at(target, "Job"), text_at(target, "Group"));
}

static const char *policy_id(const json_t *policy, bool whole)
{
    return show_id(text_at(policy, "ID"), whole);
}

static void print_policies(const json_t *list, bool whole, bool colors)
{
    struct table t;
    size_t i;
    json_t *policy;
    table_init(&t, "ID|Enabled|Type|Target", colors);
    json_array_foreach((json_t *)(uintptr_t)list, i, policy)
        TABLE_ROW(&t, policy_id(policy, whole), flag_at(policy, "Enabled") ? "true" : "false",
                  text_at(policy, "Type"), target_of(policy));
    table_print(&t, stdout);
    table_free(&t);
}

static int run_policies(const struct args *args)
{
    struct client *c = client_open(args);
    struct strbuf query = STRBUF_INIT;
    struct answer a;
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (args_has(args, "job"))
        query_add(&query, "job", args_text(args, "job", ""));
    if (args_has(args, "type"))
        query_add(&query, "type", args_text(args, "type", ""));
    if (client_get_json(c, &a, "Error listing scaling policies", "/v1/scaling/policies",
                        query.len > 0 ? strbuf_text(&query) : NULL)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else if (json_array_size(a.json) == 0)
            printf("No policies found\n");
        else
            print_policies(a.json, args_has(args, "verbose"), client_colors(c));
    }
    answer_free(&a);
    strbuf_free(&query);
    client_close(c);
    return code;
}

static void print_policy(const json_t *policy, bool whole, bool colors)
{
    struct table t;
    pairs_init(&t, colors);
    pairs_add(&t, "ID", "%s", policy_id(policy, whole));
    pairs_add(&t, "Enabled", "%s", flag_at(policy, "Enabled") ? "true" : "false");
    pairs_add(&t, "Target", "%s", target_of(policy));
    pairs_add(&t, "Min", "%lld", (long long)number_at(policy, "Min"));
    pairs_add(&t, "Max", "%lld", (long long)number_at(policy, "Max"));
    table_print(&t, stdout);
    table_free(&t);
    printf("\nPolicy:\n");
    print_json(value_at(policy, "Policy"));
}

static int show_policy(struct client *c, const struct args *args, const char *id)
{
    struct answer a;
    char *path = path_of("/v1/scaling/policy/", id, "");
    int code = EXIT_ERROR;
    if (client_get_json(c, &a, "Error querying scaling policy", path, NULL)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else
            print_policy(a.json, args_has(args, "verbose"), client_colors(c));
    }
    answer_free(&a);
    free(path);
    return code;
}

static int run_policy(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *found = c != NULL ? resolve_or_say(c, "scaling policy", args->items[0]) : NULL;
    int code = found != NULL ? show_policy(c, args, text_at(found, "ID")) : EXIT_ERROR;
    json_decref(found);
    client_close(c);
    return code;
}

static const struct flag scale_flags[] = {
    {"detach", FLAG_BOOL, NULL, "print the evaluation's id and return"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    FLAG_END,
};
static const struct flag show_flags[] = {
    {"verbose", FLAG_BOOL, NULL, "whole ids, and what is otherwise left out"},
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};
static const struct flag policies_flags[] = {
    {"job", FLAG_TEXT, "JOB", "only those of this job"},
    {"type", FLAG_TEXT, "TYPE", "only those of this type: there is \"horizontal\""},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};

const struct command commands_scaling[] = {
    {"job scale", NULL, "<job> [group] <count>", "set how many of a task group shall run",
     "The group may be left out where the job has only one. A group's scaling { min max } bounds "
     "the count; while a deployment of the job goes on nothing is scaled.",
     scale_flags, 2, 3, run_scale},
    {"job scaling-events", NULL, "<job>", "how the counts of a job came to be", NULL, show_flags, 1,
     1, run_events},
    {"scaling policy list", NULL, "", "the scaling policies of all jobs", NULL, policies_flags, 0,
     0, run_policies},
    {"scaling policy info", NULL, "<policy>", "one scaling policy", NULL, show_flags, 1, 1,
     run_policy},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
