#include "childview.h"
#include "base/duration.h"
#include "sched/periodic.h"
#include "show.h"
#include "wire/json.h"
#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)

bool job_json_is_periodic(const json_t *job)
{
    return json_is_object(value_at(job, "Periodic"));
}

bool job_json_is_parameterized(const json_t *job)
{
    return json_is_object(value_at(job, "ParameterizedJob")) && !flag_at(job, "Dispatched");
}

/* ---- the next launch */

const char *next_launch(const Pb__Periodic *periodic, int64_t now_ns)
{
    struct periodic *p = NULL;
    struct reason why;
    char when[ZONE_TIME_SIZE], wait[32];
    if (!periodic->enabled || periodic_new(&p, periodic, &why) != OK)
        return NULL;
    int64_t now = (now_ns + SECOND_NS / 2) / SECOND_NS, next = periodic_next(p, now_ns / SECOND_NS);
    if (next != CRON_NEVER)
        zone_format(periodic_zone(p), next, when);
    periodic_free(p);
    if (next == CRON_NEVER)
        return NULL;
    duration_format((next - now) * SECOND_NS, wait);
    return show("%s (%s from now)", when, wait);
}

const char *next_launch_of_json(const json_t *job, int64_t now_ns)
{
    struct arena *a = arena_new(1 << 20);
    const json_t *from = value_at(job, "Periodic"), *specs = value_at(from, "Specs");
    Pb__Periodic p = PB__PERIODIC__INIT;
    p.enabled = flag_at(from, "Enabled");
    p.spec = arena_strdup(a, text_at(from, "Spec"));
    p.time_zone = arena_strdup(a, text_at(from, "TimeZone"));
    p.specs = arena_array(a, char *, json_array_size(specs) + 1);
    for (size_t i = 0; i < json_array_size(specs); i++)
        if (json_is_string(json_array_get(specs, i)))
            p.specs[p.n_specs++] = arena_strdup(a, json_string_value(json_array_get(specs, i)));
    const char *text = next_launch(&p, now_ns);
    arena_free(a);
    return text;
}

/* ---- children */

enum { CHILDREN_SHOWN = 100 };

bool children_load(struct client *c, const json_t *job, bool all, json_t **out)
{
    struct answer a;
    struct strbuf query = STRBUF_INIT;
    query_add(&query, "prefix",
              show("%s/%s-", text_at(job, "ID"),
                   job_json_is_parameterized(job) ? "dispatch" : "periodic"));
    if (*text_at(job, "Namespace") != '\0')
        query_add(&query, "namespace", text_at(job, "Namespace"));
    if (!all)
        query_add(&query, "per_page", show("%d", CHILDREN_SHOWN));
    bool ok = client_get_json(c, &a, "Error querying child jobs", "/v1/jobs", strbuf_text(&query));
    if (ok)
        *out = json_incref(a.json);
    answer_free(&a);
    strbuf_free(&query);
    return ok;
}

static const char *joined(const json_t *texts)
{
    const char *all = "";
    for (size_t i = 0; i < json_array_size(texts); i++)
        all = show("%s%s%s", all, i > 0 ? ", " : "", json_string_value(json_array_get(texts, i)));
    return *all != '\0' ? all : "<none>";
}

static void print_parameters(const json_t *parameters, bool colors)
{
    struct table t;
    print_section(stdout, colors, "Parameterized Job");
    pairs_init(&t, colors);
    pairs_add(&t, "Payload", "%s", text_at(parameters, "Payload"));
    pairs_add(&t, "Required Metadata", "%s", joined(value_at(parameters, "MetaRequired")));
    pairs_add(&t, "Optional Metadata", "%s", joined(value_at(parameters, "MetaOptional")));
    if (number_at(parameters, "MaxRunning") > 0)
        pairs_add(&t, "Running At Once", "%lld", (long long)number_at(parameters, "MaxRunning"));
    table_print(&t, stdout);
    table_free(&t);
}

/* max_running of its parent leaves it no place yet. */
static bool waits_for_turn(const json_t *child)
{
    static const char turn[] = "waits for its turn";
    return strncmp(text_at(child, "StatusDescription"), turn, strlen(turn)) == 0;
}

/* Those that wait for their turn apart, where there may be some. */
static void print_counts(const json_t *counts, bool limited, bool colors)
{
    const char *running = show("%lld", (long long)number_at(counts, "Running"));
    const char *dead = show("%lld", (long long)number_at(counts, "Dead"));
    long long pending = (long long)number_at(counts, "Pending");
    long long waiting = (long long)number_at(counts, "Waiting");
    struct table t;
    if (limited || waiting > 0) {
        table_init(&t, "Waiting|Pending|Running|Dead", colors);
        TABLE_ROW(&t, show("%lld", waiting),
                  show("%lld", pending > waiting ? pending - waiting : 0), running, dead);
    } else {
        table_init(&t, "Pending|Running|Dead", colors);
        TABLE_ROW(&t, show("%lld", pending), running, dead);
    }
    table_print(&t, stdout);
    table_free(&t);
}

static const char *child_status(const json_t *child)
{
    return show("%s%s", text_at(child, "Status"),
                flag_at(child, "Stop")  ? " (stopped)"
                : waits_for_turn(child) ? " (waits for its turn)"
                                        : "");
}

void children_print(const json_t *job, const json_t *summary, const json_t *children, bool colors)
{
    bool dispatched = job_json_is_parameterized(job);
    struct table t;
    size_t i;
    json_t *child;
    if (dispatched)
        print_parameters(value_at(job, "ParameterizedJob"), colors);
    print_section(stdout, colors,
                  dispatched ? "Parameterized Job Summary" : "Children Job Summary");
    const json_t *counts = value_at(summary, "Children");
    print_counts(counts, number_at(value_at(job, "ParameterizedJob"), "MaxRunning") > 0, colors);
    if (json_array_size(children) == 0) {
        printf(dispatched ? "\nNo dispatched instances of parameterized job found\n"
                          : "\nNo instances of periodic job found\n");
        return;
    }
    print_section(stdout, colors, dispatched ? "Dispatched Jobs" : "Previously Launched Jobs");
    table_init(&t, "ID|Status", colors);
    json_array_foreach((json_t *)(uintptr_t)children, i, child)
        TABLE_ROW(&t, text_at(child, "ID"), child_status(child));
    table_print(&t, stdout);
    table_free(&t);
    long long all = (long long)number_at(counts, "Pending") +
                    (long long)number_at(counts, "Running") + (long long)number_at(counts, "Dead");
    long long shown = (long long)json_array_size(children);
    if (shown >= CHILDREN_SHOWN && shown < all)
        printf("... and %lld more, which -verbose shows\n", all - shown);
}
