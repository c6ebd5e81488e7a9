/* Nodes. */
#include "base/err.h"
#include "client.h"
#include "nodepieces.h"
#include "nodestats.h"
#include "resolve.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the list */

static const char *running_allocs(struct client *c, const char *node_id)
{
    struct answer a;
    size_t i, running = 0;
    json_t *alloc;
    char *path = path_of("/v1/node/", node_id, "/allocations");
    if (client_get(c, &a, path, NULL))
        json_array_foreach(a.json, i, alloc) running +=
            strcmp(text_at(alloc, "ClientStatus"), "running") == 0;
    answer_free(&a);
    free(path);
    return show("%zu", running);
}

static const char *pool_of(const json_t *node)
{
    return *text_at(node, "NodePool") != '\0' ? text_at(node, "NodePool") : "default";
}

/* Where all are in one pool, the list is as it was before there were any. */
static bool any_in_a_pool(const json_t *nodes)
{
    size_t i;
    json_t *node;
    json_array_foreach((json_t *)(uintptr_t)nodes, i,
                       node) if (strcmp(pool_of(node), "default") != 0) return true;
    return false;
}

static void print_nodes(struct client *c, const struct args *args, const json_t *nodes)
{
    bool verbose = args_has(args, "verbose"), allocs = args_has(args, "allocs");
    struct strbuf heading = STRBUF_INIT;
    struct table t;
    size_t i;
    json_t *node;
    bool pools = any_in_a_pool(nodes);
    strbuf_printf(&heading, "ID%s|DC|Name|Class%s|Drain|Eligibility|Status%s",
                  pools ? "|Node Pool" : "", verbose ? "|Address|Version" : "",
                  allocs ? "|Running Allocs" : "");
    table_init(&t, strbuf_text(&heading), client_colors(c));
    json_array_foreach((json_t *)nodes, i, node)
    {
        const char *cells[TABLE_MAX_COLUMNS];
        size_t n = 0;
        cells[n++] = show_id(text_at(node, "ID"), verbose);
        if (pools)
            cells[n++] = pool_of(node);
        cells[n++] = text_at(node, "Datacenter");
        cells[n++] = text_at(node, "Name");
        cells[n++] = *text_at(node, "NodeClass") != '\0' ? text_at(node, "NodeClass") : "<none>";
        if (verbose) {
            cells[n++] = text_at(node, "Address");
            cells[n++] = text_at(node, "Version");
        }
        cells[n++] = flag_at(node, "Drain") ? "true" : "false";
        cells[n++] = text_at(node, "SchedulingEligibility");
        cells[n++] = text_at(node, "Status");
        if (allocs)
            cells[n++] = running_allocs(c, text_at(node, "ID"));
        table_row(&t, cells);
    }
    table_print(&t, stdout);
    table_free(&t);
    strbuf_free(&heading);
}

static int list_nodes(struct client *c, const struct args *args)
{
    struct answer a;
    int code = EXIT_ERROR;
    if (client_get_json(c, &a, "Error querying node status", "/v1/nodes", NULL)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else if (json_array_size(a.json) == 0)
            printf("No nodes registered\n");
        else
            print_nodes(c, args, a.json);
    }
    answer_free(&a);
    return code;
}

/* ---- one node */

static void add_joined_keys(struct table *t, const char *name, const json_t *object,
                            const char *only_if)
{
    struct strbuf s = STRBUF_INIT;
    size_t count;
    const char **keys = sorted_keys(object, &count);
    for (size_t i = 0; i < count; i++)
        if (only_if == NULL || flag_at(value_at(object, keys[i]), only_if))
            strbuf_printf(&s, "%s%s", s.len > 0 ? "," : "", keys[i]);
    pairs_add(t, name, "%s", strbuf_text(&s));
    strbuf_free(&s);
    free(keys);
}

/* drivers: what to call the healthy ones; NULL: leave them to a table of their own. */
static void print_head(const json_t *node, const json_t *stats, const char *drivers, bool colors)
{
    struct table t;
    pairs_init(&t, colors);
    pairs_add(&t, "ID", "%s", text_at(node, "ID"));
    pairs_add(&t, "Name", "%s", text_at(node, "Name"));
    pairs_add(&t, "Node Pool", "%s", pool_of(node));
    pairs_add(&t, "Class", "%s", text_at(node, "NodeClass"));
    pairs_add(&t, "DC", "%s", text_at(node, "Datacenter"));
    pairs_add(&t, "Drain", "%s", flag_at(node, "Drain") ? "true" : "false");
    pairs_add(&t, "Eligibility", "%s", text_at(node, "SchedulingEligibility"));
    pairs_add(&t, "Status", "%s", text_at(node, "Status"));
    if (json_is_object(stats))
        pairs_add(&t, "Uptime", "%s", show_seconds(number_at(stats, "Uptime")));
    add_joined_keys(&t, "Host Volumes", value_at(node, "HostVolumes"), NULL);
    if (drivers != NULL)
        add_joined_keys(&t, drivers, value_at(node, "Drivers"), "Healthy");
    table_print(&t, stdout);
    table_free(&t);
}

static void print_drivers(const json_t *drivers, bool colors)
{
    struct table t;
    size_t count;
    const char **keys = sorted_keys(drivers, &count);
    print_section(stdout, colors, "Drivers");
    table_init(&t, "Driver|Detected|Healthy|Message|Time", colors);
    for (size_t i = 0; i < count; i++) {
        const json_t *d = value_at(drivers, keys[i]);
        const char *message = text_at(d, "HealthDescription");
        TABLE_ROW(&t, keys[i], flag_at(d, "Detected") ? "true" : "false",
                  flag_at(d, "Healthy") ? "true" : "false", *message != '\0' ? message : "<none>",
                  show_time(time_parse(text_at(d, "UpdateTime")), true));
    }
    table_print(&t, stdout);
    table_free(&t);
    free(keys);
}

static void print_events(const json_t *events, bool colors)
{
    struct table t;
    print_section(stdout, colors, "Node Events");
    table_init(&t, "Time|Subsystem|Message", colors);
    for (size_t i = json_array_size(events); i-- > 0;) {
        const json_t *e = json_array_get(events, i);
        TABLE_ROW(&t, show_time(time_parse(text_at(e, "Timestamp")), true), text_at(e, "Subsystem"),
                  text_at(e, "Message"));
    }
    table_print(&t, stdout);
    table_free(&t);
}

static const char *bytes_of(double used_mb, double all_mb)
{
    return show("%s/%s", show_bytes(used_mb * 1048576), show_bytes(all_mb * 1048576));
}

static int64_t part_at(const json_t *resources, const char *part, const char *key)
{
    return number_at(value_at(resources, part), key);
}

static void print_allocated(const json_t *node, const json_t *allocs, bool colors)
{
    const json_t *all = value_at(node, "NodeResources"),
                 *kept = value_at(node, "ReservedResources");
    double cpu = 0, memory = 0, disk = 0;
    struct table t;
    size_t i;
    json_t *alloc, *task;
    const char *name;
    json_array_foreach((json_t *)allocs, i, alloc)
    {
        const char *status = text_at(alloc, "ClientStatus");
        const json_t *own = value_at(alloc, "AllocatedResources");
        if (strcmp(status, "running") != 0 && strcmp(status, "pending") != 0)
            continue;
        json_object_foreach(value_at(own, "Tasks"), name, task)
        {
            cpu += (double)part_at(task, "Cpu", "CpuShares");
            memory += (double)part_at(task, "Memory", "MemoryMB");
        }
        disk += (double)part_at(own, "Shared", "DiskMB");
    }
    print_section(stdout, colors, "Allocated Resources");
    table_init(&t, "CPU|Memory|Disk", colors);
    TABLE_ROW(
        &t,
        show("%.0f/%lld MHz", cpu,
             (long long)(part_at(all, "Cpu", "CpuShares") - part_at(kept, "Cpu", "CpuShares"))),
        bytes_of(memory, (double)(part_at(all, "Memory", "MemoryMB") -
                                  part_at(kept, "Memory", "MemoryMB"))),
        bytes_of(disk, (double)(part_at(all, "Disk", "DiskMB") - part_at(kept, "Disk", "DiskMB"))));
    table_print(&t, stdout);
    table_free(&t);
}

static void print_pairs(const char *title, const json_t *object, bool colors)
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
    table_free(&t);
    free(keys);
}

static int print_node(struct client *c, const struct args *args, const json_t *node)
{
    bool verbose = args_has(args, "verbose"), colors = client_colors(c);
    struct answer allocs = {0}, stats = {0};
    struct strbuf query = STRBUF_INIT;
    char *path = path_of("/v1/node/", text_at(node, "ID"), "/allocations");
    bool ok = client_get_json(c, &allocs, "Error querying node allocations", path, NULL);
    query_add(&query, "node_id", text_at(node, "ID"));
    if (ok && !args_has(args, "short"))
        client_get(c, &stats, "/v1/client/stats",
                   strbuf_text(&query)); /* what it adds may be missing */
    if (ok) {
        const char *drivers = args_has(args, "short") ? "Drivers"
                              : verbose               ? NULL
                                                      : "Driver Status";
        print_head(node, stats.json, drivers, colors);
        if (!args_has(args, "short")) {
            if (verbose)
                print_drivers(value_at(node, "Drivers"), colors);
            print_events(value_at(node, "Events"), colors);
            print_allocated(node, allocs.json, colors);
            print_utilization(c, node, allocs.json, stats.json);
            if (args_has(args, "stats"))
                print_host_stats(stats.json, colors);
            print_pieces(node, allocs.json, colors);
        }
        print_allocs(allocs.json, verbose, colors);
    }
    if (ok && verbose) {
        print_pairs("Attributes", value_at(node, "Attributes"), colors);
        print_pairs("Meta", value_at(node, "Meta"), colors);
    }
    answer_free(&allocs);
    answer_free(&stats);
    strbuf_free(&query);
    free(path);
    return ok ? EXIT_OK : EXIT_ERROR;
}

static int show_node(struct client *c, const struct args *args, const char *id)
{
    struct answer a;
    char *path = path_of("/v1/node/", id, "");
    int code = EXIT_ERROR;
    if (client_get_json(c, &a, "Error querying node", path, NULL)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else
            code = print_node(c, args, a.json);
    }
    answer_free(&a);
    free(path);
    return code;
}

static int run_status(const struct args *args)
{
    struct client *c = client_open(args);
    int code = EXIT_ERROR;
    if (c != NULL && args->count == 0)
        code = list_nodes(c, args);
    else if (c != NULL) {
        json_t *found = resolve_or_say(c, "node", args->items[0]);
        if (found != NULL)
            code = show_node(c, args, text_at(found, "ID"));
        json_decref(found);
    }
    client_close(c);
    return code;
}

static const struct flag status_flags[] = {
    {"verbose", FLAG_BOOL, NULL, "whole ids; also drivers, attributes and meta"},
    {"short", FLAG_BOOL, NULL, "without events and resources"},
    {"allocs", FLAG_BOOL, NULL, "in the list: how many allocations run"},
    {"stats", FLAG_BOOL, NULL, "also what each core and disk of the machine does"},
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};

const struct command commands_node[] = {
    {"node status", "node-status", "[node]", "all nodes, or one with its allocations", NULL,
     status_flags, 0, 1, run_status},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
