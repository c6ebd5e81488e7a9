/* Allocations: status, logs, stop. */
#include "allocs.h"
#include "base/err.h"
#include "client.h"
#include "monitor.h"
#include "rescheduleview.h"
#include "resolve.h"
#include "show.h"
#include "stream.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- status */

static void add_deployment(struct table *t, const json_t *a, bool verbose)
{
    const json_t *status = value_at(a, "DeploymentStatus"), *healthy = value_at(status, "Healthy");
    if (*text_at(a, "DeploymentID") == '\0')
        return;
    pairs_add(t, "Deployment ID", "%s", show_id(text_at(a, "DeploymentID"), verbose));
    pairs_add(t, "Deployment Health", "%s",
              json_is_true(healthy)    ? "healthy"
              : json_is_false(healthy) ? "unhealthy"
                                       : "unset");
    if (flag_at(status, "Canary"))
        pairs_add(t, "Canary", "true");
}

static void print_head(struct client *c, const struct args *args, const json_t *a)
{
    bool verbose = args_has(args, "verbose");
    const json_t *job = value_at(a, "Job"), *metrics = value_at(a, "Metrics");
    struct table t;
    pairs_init(&t, client_colors(c));
    pairs_add(&t, "ID", "%s", text_at(a, "ID"));
    if (!args_has(args, "short")) {
        pairs_add(&t, "Eval ID", "%s", show_id(text_at(a, "EvalID"), verbose));
        pairs_add(&t, "Name", "%s", text_at(a, "Name"));
        pairs_add(&t, "Node ID", "%s", show_id(text_at(a, "NodeID"), verbose));
        pairs_add(&t, "Node Name", "%s", text_at(a, "NodeName"));
        pairs_add(&t, "Job ID", "%s", text_at(a, "JobID"));
        pairs_add(&t, "Job Version", "%lld", (long long)number_at(job, "Version"));
        pairs_add(&t, "Client Status", "%s", text_at(a, "ClientStatus"));
        pairs_add(&t, "Client Description", "%s", text_at(a, "ClientDescription"));
        pairs_add(&t, "Desired Status", "%s", text_at(a, "DesiredStatus"));
        pairs_add(&t, "Desired Description", "%s", text_at(a, "DesiredDescription"));
    } else
        pairs_add(&t, "Name", "%s", text_at(a, "Name"));
    pairs_add(&t, "Created", "%s", show_time(number_at(a, "CreateTime"), verbose));
    pairs_add(&t, "Modified", "%s", show_time(number_at(a, "ModifyTime"), verbose));
    add_deployment(&t, a, verbose);
    if (!args_has(args, "short"))
        add_reschedule(c, &t, a);
    if (*text_at(a, "NextAllocation") != '\0')
        pairs_add(&t, "Replacement Alloc ID", "%s", show_id(text_at(a, "NextAllocation"), verbose));
    if (verbose && json_is_object(metrics)) {
        pairs_add(&t, "Evaluated Nodes", "%lld", (long long)number_at(metrics, "NodesEvaluated"));
        pairs_add(&t, "Filtered Nodes", "%lld", (long long)number_at(metrics, "NodesFiltered"));
        pairs_add(&t, "Exhausted Nodes", "%lld", (long long)number_at(metrics, "NodesExhausted"));
        pairs_add(&t, "Allocation Time", "%.3fµs",
                  (double)number_at(metrics, "AllocationTime") / 1000);
        pairs_add(&t, "Failures", "%lld", (long long)number_at(metrics, "CoalescedFailures"));
    }
    table_print(&t, stdout);
    table_free(&t);
}

static bool label_is_dynamic(const json_t *shared, const char *label)
{
    size_t i, k;
    json_t *network, *port;
    json_array_foreach(value_at(shared, "Networks"), i, network)
        json_array_foreach(value_at(network, "DynamicPorts"), k,
                           port) if (strcmp(text_at(port, "Label"), label) == 0) return true;
    return false;
}

static void print_addresses(const json_t *alloc, bool colors)
{
    const json_t *shared = value_at(value_at(alloc, "AllocatedResources"), "Shared");
    const json_t *ports = value_at(shared, "Ports");
    const char *mode = text_at(json_array_get(value_at(shared, "Networks"), 0), "Mode");
    struct table t;
    size_t i;
    json_t *port;
    if (json_array_size(ports) == 0)
        return;
    print_section(stdout, colors, "Allocation Addresses%s%s%s", *mode != '\0' ? " (mode = \"" : "",
                  mode, *mode != '\0' ? "\")" : "");
    table_init(&t, "Label|Dynamic|Address", colors);
    json_array_foreach((json_t *)ports, i, port)
    {
        const char *label = text_at(port, "Label"), *ip = text_at(port, "HostIP");
        const char *to =
            number_at(port, "To") > 0 ? show(" -> %lld", (long long)number_at(port, "To")) : "";
        TABLE_ROW(&t, show("*%s", label), label_is_dynamic(shared, label) ? "yes" : "",
                  show("%s:%lld%s", ip, (long long)number_at(port, "Value"), to));
    }
    table_print(&t, stdout);
    table_free(&t);
}

static const char *used_of(double used, double asked, bool known, const char *unit)
{
    return known ? show("%.0f/%.0f %s", used, asked, unit) : show("%.0f %s", asked, unit);
}

/* stats: what the agent measured, or null. */
static void print_resources(const json_t *alloc, const char *task, const json_t *stats, bool colors)
{
    const json_t *all = value_at(alloc, "AllocatedResources");
    const json_t *own = value_at(value_at(all, "Tasks"), task);
    const json_t *usage = value_at(value_at(value_at(stats, "Tasks"), task), "ResourceUsage");
    bool known = json_is_object(usage);
    double mb = (double)number_at(value_at(own, "Memory"), "MemoryMB") * 1048576;
    const char *memory = show_bytes(mb);
    struct table t;
    if (known)
        memory = show("%s/%s", show_bytes((double)number_at(value_at(usage, "MemoryStats"), "RSS")),
                      memory);
    printf("%s\n", colors ? "\033[1mTask Resources\033[0m" : "Task Resources");
    table_init(&t, "CPU|Memory|Disk|Addresses", colors);
    TABLE_ROW(&t,
              used_of(json_number_value(json_object_get(value_at(usage, "CpuStats"), "TotalTicks")),
                      (double)number_at(value_at(own, "Cpu"), "CpuShares"), known, "MHz"),
              memory, show_bytes((double)number_at(value_at(all, "Shared"), "DiskMB") * 1048576),
              "");
    table_print(&t, stdout);
    table_free(&t);
}

static void print_events(const json_t *state, bool colors)
{
    const json_t *events = value_at(state, "Events");
    const char *last = text_at(state, "LastRestart");
    struct table t;
    pairs_init(&t, colors);
    printf("\nTask Events:\n");
    pairs_add(&t, "Started At", "%s", show_time(time_parse(text_at(state, "StartedAt")), true));
    pairs_add(&t, "Finished At", "%s", show_time(time_parse(text_at(state, "FinishedAt")), true));
    pairs_add(&t, "Total Restarts", "%lld", (long long)number_at(state, "Restarts"));
    pairs_add(&t, "Last Restart", "%s", show_time(time_parse(last), true));
    table_print(&t, stdout);
    table_free(&t);
    printf("\nRecent Events:\n");
    table_init(&t, "Time|Type|Description", colors);
    for (size_t i = json_array_size(events); i-- > 0;) {
        const json_t *e = json_array_get(events, i);
        const char *text = text_at(e, "DisplayMessage");
        TABLE_ROW(&t, show_time(number_at(e, "Time"), true), text_at(e, "Type"),
                  *text != '\0' ? text : text_at(e, "Message"));
    }
    table_print(&t, stdout);
    table_free(&t);
}

static void print_task(const json_t *alloc, const char *task, const json_t *stats, bool colors)
{
    const json_t *state = value_at(value_at(alloc, "TaskStates"), task);
    const char *word = text_at(state, "State");
    print_section(stdout, colors, "Task \"%s\" is \"%s\"", task, *word != '\0' ? word : "pending");
    print_resources(alloc, task, stats, colors);
    if (json_is_object(state))
        print_events(state, colors);
}

static void print_short_tasks(const json_t *alloc, bool colors)
{
    const json_t *states = value_at(alloc, "TaskStates");
    struct table t;
    size_t count;
    const char **names = sorted_keys(states, &count);
    print_section(stdout, colors, "Tasks");
    table_init(&t, "Name|State|Last Event|Time|Lifecycle", colors);
    for (size_t i = 0; i < count; i++) {
        const json_t *events = value_at(value_at(states, names[i]), "Events");
        const json_t *last = json_array_get(events, json_array_size(events) - 1);
        TABLE_ROW(&t, names[i], text_at(value_at(states, names[i]), "State"), text_at(last, "Type"),
                  show_time(number_at(last, "Time"), true), "main");
    }
    table_print(&t, stdout);
    table_free(&t);
    free(names);
}

static void print_tasks(struct client *c, const json_t *alloc)
{
    const json_t *tasks = value_at(value_at(alloc, "AllocatedResources"), "Tasks");
    struct answer stats = {0};
    char *path = path_of("/v1/client/allocation/", text_at(alloc, "ID"), "/stats");
    size_t count;
    const char **names = sorted_keys(tasks, &count);
    if (strcmp(text_at(alloc, "ClientStatus"), "pending") != 0)
        client_get(c, &stats, path,
                   NULL); /* only adds what is used now; a server without it is fine */
    for (size_t i = 0; i < count; i++)
        print_task(alloc, names[i], stats.json, client_colors(c));
    answer_free(&stats);
    free(names);
    free(path);
}

static void print_alloc(struct client *c, const struct args *args, const json_t *alloc)
{
    bool colors = client_colors(c), verbose = args_has(args, "verbose");
    print_head(c, args, alloc);
    if (args_has(args, "short")) {
        print_short_tasks(alloc, colors);
        return;
    }
    print_addresses(alloc, colors);
    print_tasks(c, alloc);
    if (verbose && json_array_size(value_at(value_at(alloc, "Metrics"), "ScoreMetaData")) > 0) {
        print_section(stdout, colors, "Placement Metrics");
        print_scores(value_at(alloc, "Metrics"), true, colors);
    }
}

json_t *alloc_get(struct client *c, const char *prefix)
{
    json_t *found = resolve_or_say(c, "alloc", prefix), *alloc = NULL;
    struct answer a;
    if (found == NULL)
        return NULL;
    char *path = path_of("/v1/allocation/", text_at(found, "ID"), "");
    if (client_get_json(c, &a, "Error querying allocation", path, NULL))
        alloc = json_incref(a.json);
    answer_free(&a);
    free(path);
    json_decref(found);
    return alloc;
}

static int list_allocs(struct client *c, const struct args *args)
{
    struct answer a;
    int code = EXIT_ERROR;
    if (!args_has(args, "json")) {
        fprintf(stderr, "This command takes one of the following argument conditions:\n"
                        " * A single <allocation>\n * No arguments, with output format specified\n"
                        "For help try \"nctl alloc status --help\".\n");
        return code;
    }
    if (client_get_json(c, &a, "Error querying allocations", "/v1/allocations", NULL))
        code = EXIT_OK, print_json(a.json);
    answer_free(&a);
    return code;
}

static int run_status(const struct args *args)
{
    struct client *c = client_open(args);
    int code = EXIT_ERROR;
    if (c != NULL && args->count == 0)
        code = list_allocs(c, args);
    else if (c != NULL) {
        json_t *alloc = alloc_get(c, args->items[0]);
        if (alloc != NULL && args_has(args, "json"))
            print_json(alloc);
        else if (alloc != NULL)
            print_alloc(c, args, alloc);
        code = alloc != NULL ? EXIT_OK : EXIT_ERROR;
        json_decref(alloc);
    }
    client_close(c);
    return code;
}

/* ---- logs */

const char *alloc_pick_task(const json_t *alloc, const char *wanted)
{
    const json_t *tasks = value_at(value_at(alloc, "AllocatedResources"), "Tasks");
    if (wanted != NULL)
        return wanted;
    if (json_object_size(tasks) == 1)
        return json_object_iter_key(json_object_iter((json_t *)tasks));
    size_t count;
    const char **names = sorted_keys(tasks, &count);
    fprintf(stderr, "Allocation \"%s\" is running the following tasks:\n",
            show_id(text_at(alloc, "ID"), false));
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "  * %s\n", names[i]);
    fprintf(stderr, "\nPlease specify the task.\n");
    free(names);
    return NULL;
}

static int read_logs(struct client *c, const struct args *args, const json_t *alloc)
{
    const char *task =
        alloc_pick_task(alloc, args_text(args, "task", args->count > 1 ? args->items[1] : NULL));
    struct strbuf query = STRBUF_INIT;
    if (task == NULL)
        return EXIT_ERROR;
    query_add(&query, "task", task);
    query_add(&query, "type", args_has(args, "stderr") ? "stderr" : "stdout");
    char *path = path_of("/v1/client/fs/logs/", text_at(alloc, "ID"), "");
    int code = stream_print(c, args, path, &query);
    strbuf_free(&query);
    free(path);
    return code;
}

static int run_logs(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *alloc = c != NULL ? alloc_get(c, args->items[0]) : NULL;
    int code = alloc != NULL ? read_logs(c, args, alloc) : EXIT_ERROR;
    json_decref(alloc);
    client_close(c);
    return code;
}

/* ---- stop */

static int stop_alloc(struct client *c, const struct args *args, const char *id)
{
    struct answer a;
    struct monitor_options o = {.verbose = args_has(args, "verbose"), .placed = true};
    char *path = path_of("/v1/allocation/", id, "/stop");
    int code = EXIT_ERROR;
    if (client_call(c, "PUT", path, NULL, NULL, &a)) {
        const char *eval = text_at(a.json, "EvalID");
        if (a.json == NULL)
            code = answer_refused(&a, "Error stopping allocation");
        else if (args_has(args, "detach"))
            code = EXIT_OK, printf("%s\n", eval);
        else
            code = monitor_eval(c, eval, &o, NULL);
    }
    answer_free(&a);
    free(path);
    return code;
}

static int run_stop(const struct args *args)
{
    struct client *c = client_open(args);
    json_t *found = c != NULL ? resolve_or_say(c, "alloc", args->items[0]) : NULL;
    int code = found != NULL ? stop_alloc(c, args, text_at(found, "ID")) : EXIT_ERROR;
    json_decref(found);
    client_close(c);
    return code;
}

static const struct flag stop_flags[] = {
    {"detach", FLAG_BOOL, NULL, "print the evaluation's id and return"},
    {"verbose", FLAG_BOOL, NULL, "whole ids"},
    FLAG_END,
};
static const struct flag status_flags[] = {
    {"short", FLAG_BOOL, NULL, "only what its tasks do"},
    {"verbose", FLAG_BOOL, NULL, "whole ids, exact times and why it was placed there"},
    {"stats", FLAG_BOOL, NULL, "accepted; what is used is always shown where known"},
    {"json", FLAG_BOOL, NULL, "print the allocation, or without an id all of them, as JSON"},
    FLAG_END,
};
static const struct flag logs_flags[] = {
    {"stderr", FLAG_BOOL, NULL, "the task's stderr instead of its stdout"},
    {"f", FLAG_BOOL, NULL, "follow: print what is added, until interrupted"},
    {"tail", FLAG_BOOL, NULL, "only the end: the last 10 lines, or -n, or -c"},
    {"n", FLAG_NUMBER, "LINES", "with -tail: that many lines"},
    {"c", FLAG_NUMBER, "BYTES", "with -tail: that many bytes"},
    {"task", FLAG_TEXT, "TASK", "the task, as the second argument"},
    FLAG_END,
};

const struct command commands_alloc[] = {
    {"alloc status", "alloc-status", "[alloc]", "an allocation, its tasks and their events", NULL,
     status_flags, 0, 1, run_status},
    {"alloc logs", "logs", "<alloc> [task]", "what a task has written", NULL, logs_flags, 1, 2,
     run_logs},
    {"alloc stop", NULL, "<alloc>", "stop an allocation; another one takes its place", NULL,
     stop_flags, 1, 1, run_stop},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
