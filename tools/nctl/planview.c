#include "planview.h"
#include "base/clock.h"
#include "base/duration.h"
#include "diffview.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)

static void print_head_line(bool colors, const char *text)
{
    printf(colors ? "\033[1m" : "");
    print_clean(stdout, text);
    printf(colors ? "\033[0m\n" : "\n");
}

/* ---- a plan */

/* In order of the words, as Nomad has them. */
static const struct {
    const char *key, *word;
} kinds[] = {
    {"Canary", "canary"},   {"Place", "create"},  {"DestructiveUpdate", "create/destroy update"},
    {"Stop", "destroy"},    {"Ignore", "ignore"}, {"InPlaceUpdate", "in-place update"},
    {"Migrate", "migrate"},
};

static const json_t *updates_of(const json_t *plan)
{
    return value_at(value_at(plan, "Annotations"), "DesiredTGUpdates");
}

bool planview_changes(const json_t *plan)
{
    const char *group;
    json_t *u;
    json_object_foreach((json_t *)(uintptr_t)updates_of(plan), group, u)
    {
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
            if (strcmp(kinds[i].key, "Ignore") != 0 && number_at(u, kinds[i].key) > 0)
                return true;
    }
    return false;
}

static void print_next_launch(const char *when)
{
    int64_t at = time_parse(when), wait_ns = at - clock_wall_ns() + SECOND_NS / 2;
    char wait[32];
    if (at <= 0) /* none, or none that will come */
        return;
    duration_format(wait_ns > 0 ? wait_ns / SECOND_NS * SECOND_NS : 0, wait);
    printf("- If submitted now, next periodic launch would be at %s (%s from now).\n", when, wait);
}

static void print_dry_run(const json_t *plan, bool all_at_once, bool colors)
{
    const json_t *failed = value_at(plan, "FailedTGAllocs");
    print_head_line(colors, "Scheduler dry-run:");
    if (json_object_size(failed) == 0) {
        printf("- All tasks successfully allocated.\n");
    } else {
        printf("- WARNING: Failed to place all allocations.\n");
        print_placement_failures(failed, "  ", true);
        if (all_at_once)
            printf("  The job says all_at_once: nothing is placed until all of it fits.\n");
    }
    print_next_launch(text_at(plan, "NextPeriodicLaunch"));
}

static void print_where(const json_t *where, bool verbose, bool colors)
{
    struct table t;
    if (!json_is_array(where) || json_array_size(where) == 0)
        return;
    printf("\n");
    print_head_line(colors, "Placements:");
    table_init(&t, "Task Group|Node ID|Node Name|Count", colors);
    for (size_t i = 0; i < json_array_size(where); i++) {
        const json_t *w = json_array_get(where, i);
        TABLE_ROW(&t, text_at(w, "TaskGroup"), show_id(text_at(w, "NodeID"), verbose),
                  text_at(w, "NodeName"), show("%lld", (long long)number_at(w, "Count")));
    }
    table_print(&t, stdout);
    table_free(&t);
}

void replay_print_plan(const json_t *replay, bool verbose, bool colors)
{
    const json_t *failed = value_at(replay, "FailedTGAllocs");
    const char *group;
    json_t *u;
    print_head_line(colors, "Plan:");
    json_object_foreach(value_at(value_at(replay, "Annotations"), "DesiredTGUpdates"), group, u)
    {
        printf("- ");
        print_clean(stdout, group);
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
            if (number_at(u, kinds[i].key) > 0)
                printf(", %lld %s", (long long)number_at(u, kinds[i].key), kinds[i].word);
        printf("\n");
    }
    if (json_object_size(failed) > 0)
        print_placement_failures(failed, "  ", true);
    print_where(value_at(replay, "Where"), verbose, colors);
}

static void print_displaced(const json_t *allocs, bool colors)
{
    struct table t;
    if (json_array_size(allocs) == 0)
        return;
    printf("\n");
    print_head_line(colors, "Preemptions:");
    printf("\n");
    table_init(&t, "Alloc ID|Job ID|Task Group", colors);
    for (size_t i = 0; i < json_array_size(allocs); i++) {
        const json_t *a = json_array_get(allocs, i);
        TABLE_ROW(&t, text_at(a, "ID"), text_at(a, "JobID"), text_at(a, "TaskGroup"));
    }
    table_print(&t, stdout);
    table_free(&t);
}

static void print_index(const json_t *plan, const struct planview *v)
{
    long long index = number_at(plan, "JobModifyIndex");
    printf("\nJob Modify Index: %lld\nTo submit the job with version verification run:\n\n"
           "nctl job run -check-index %lld %s\n\n"
           "When running the job with the check-index flag, the job will only be run if the\njob "
           "modify index given matches the server-side version. If the index has\nchanged, another "
           "user has modified the job and the plan's results are\npotentially invalid.\n",
           index, index, v->file);
}

void planview_print(const json_t *plan, const struct planview *v)
{
    const char *warnings = text_at(plan, "Warnings");
    const json_t *diff = value_at(plan, "Diff");
    if (json_is_object(diff)) {
        print_job_diff(diff, v->verbose);
        printf("\n");
    }
    print_dry_run(plan, v->all_at_once, v->colors);
    print_displaced(value_at(value_at(plan, "Annotations"), "PreemptedAllocs"), v->colors);
    print_where(value_at(plan, "Where"), v->verbose, v->colors);
    if (*warnings != '\0') {
        printf("\n");
        print_head_line(v->colors, "Job Warnings:");
        print_clean(stdout, warnings);
        printf("\n");
    }
    print_index(plan, v);
}

/* ---- why */

/* "500 MHz cpu, 256 MB memory" */
static void print_amount(const json_t *amount, const char *joint)
{
    static const struct {
        const char *key, *unit;
    } parts[] = {{"CPU", "MHz cpu"}, {"MemoryMB", "MB memory"}, {"DiskMB", "MB disk"}};
    const char *before = "";
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        long long n = number_at(amount, parts[i].key);
        if (n > 0)
            printf("%s%lld %s", before, n, parts[i].unit);
        before = n > 0 ? joint : before;
    }
}

static bool any_amount(const json_t *amount)
{
    return number_at(amount, "CPU") > 0 || number_at(amount, "MemoryMB") > 0 ||
           number_at(amount, "DiskMB") > 0;
}

static void print_lack(const json_t *lack)
{
    const json_t *others = value_at(lack, "Others"), *short_of = value_at(lack, "ShortOf");
    long long nodes = number_at(lack, "Nodes");
    printf("    * %lld node%s", nodes, nodes == 1 ? "" : "s");
    if (any_amount(short_of)) {
        printf(" short of ");
        print_amount(short_of, " and ");
    }
    for (size_t i = 0; i < json_array_size(others); i++) {
        printf(i > 0                  ? " and \""
               : any_amount(short_of) ? ", and ruled out by \""
                                      : " ruled out by \"");
        print_clean(stdout, json_string_value(json_array_get(others, i)));
        printf("\"");
    }
    if (nodes > 1 && any_amount(short_of)) {
        printf(", the nearest of them: ");
        print_clean(stdout, text_at(lack, "NearestName"));
    } else if (nodes == 1) {
        printf(": ");
        print_clean(stdout, text_at(lack, "NearestName"));
    }
    printf("\n");
}

static void print_looked_at(const json_t *group)
{
    const json_t *m = value_at(group, "Metrics");
    long long all = number_at(m, "NodesEvaluated"), filtered = number_at(m, "NodesFiltered"),
              full = number_at(m, "NodesExhausted"), unready = number_at(group, "NodesUnready");
    printf("  %lld node%s looked at: %lld ruled out by constraints, %lld without room, %lld could "
           "take one more\n",
           all, all == 1 ? "" : "s", filtered, full, all - filtered - full);
    if (unready > 0)
        printf("  %lld more node%s not ready: down, draining or not eligible\n", unready,
               unready == 1 ? " is" : "s are");
    if (all + unready == 0)
        printf("  no node is in the job's node pool and datacenters\n");
    print_placement_failure(m, "  ");
}

static void print_asked(const json_t *group)
{
    const json_t *amount = value_at(group, "Ask"), *others = value_at(group, "AskOthers");
    const char *before = any_amount(amount) ? ", " : "";
    printf("\n  one asks for ");
    print_amount(amount, ", ");
    for (size_t i = 0; i < json_array_size(others); i++, before = ", ") {
        printf("%s", before);
        print_clean(stdout, json_string_value(json_array_get(others, i)));
    }
    printf("\n");
}

static void print_group(const json_t *group, bool verbose, bool colors)
{
    const json_t *lacks = value_at(group, "Lacks");
    print_section(stdout, colors, "Task Group \"%s\"", text_at(group, "TaskGroup"));
    printf("  %lld wanted: %lld there", (long long)number_at(group, "Count"),
           (long long)number_at(group, "Staying"));
    if (number_at(group, "Placed") > 0)
        printf(", %lld to be placed", (long long)number_at(group, "Placed"));
    if (number_at(group, "Missing") > 0)
        printf(", %lld find no place", (long long)number_at(group, "Missing"));
    if (number_at(group, "Held") > 0)
        printf("\n  %lld of an older version wait for the deployment to take its next step",
               (long long)number_at(group, "Held"));
    print_asked(group);
    print_looked_at(group);
    if (json_array_size(lacks) > 0)
        printf("  What the others lack, and what would be enough:\n");
    for (size_t i = 0; i < json_array_size(lacks); i++)
        print_lack(json_array_get(lacks, i));
    if (json_array_size(value_at(value_at(group, "Metrics"), "ScoreMetaData")) > 0) {
        printf("  The best for one more:\n");
        print_scores(value_at(group, "Metrics"), verbose, colors);
    }
}

static void print_placed(const json_t *placed, bool verbose, bool colors)
{
    size_t count;
    const char **groups = sorted_keys(placed, &count);
    for (size_t i = 0; i < count; i++) {
        const json_t *m = value_at(placed, groups[i]);
        long long all = number_at(m, "NodesEvaluated"), filtered = number_at(m, "NodesFiltered"),
                  full = number_at(m, "NodesExhausted");
        print_section(stdout, colors, "Task Group \"%s\", when its first was placed", groups[i]);
        printf("  %lld node%s looked at: %lld ruled out by constraints, %lld without room\n", all,
               all == 1 ? "" : "s", filtered, full);
        print_placement_failure(m, "  ");
        printf("  The best of them:\n");
        print_scores(m, verbose, colors);
    }
    free(groups);
}

static void print_head(const json_t *why, bool verbose, bool colors)
{
    const json_t *eval = value_at(why, "Evaluation");
    struct table t;
    pairs_init(&t, colors);
    if (*text_at(why, "AllocID") != '\0') {
        pairs_add(&t, "Allocation", "%s", show_id(text_at(why, "AllocID"), verbose));
        pairs_add(&t, "Node ID", "%s", show_id(text_at(why, "NodeID"), verbose));
    }
    pairs_add(&t, "Job ID", "%s",
              *text_at(why, "JobID") != '\0' ? text_at(why, "JobID") : text_at(eval, "JobID"));
    if (json_is_object(eval)) {
        pairs_add(&t, "Evaluation", "%s", show_id(text_at(eval, "ID"), verbose));
        pairs_add(&t, "Triggered By", "%s", text_at(eval, "TriggeredBy"));
        pairs_add(&t, "Status", "%s", text_at(eval, "Status"));
    }
    table_print(&t, stdout);
    table_free(&t);
}

void why_print(const json_t *why, bool verbose, bool colors)
{
    const json_t *groups = value_at(why, "Groups"), *placed = value_at(why, "PlacedTGAllocs");
    const json_t *eval = json_object_get(why, "Evaluation");
    print_head(why, verbose, colors);
    if (json_is_null(eval))
        printf("\nIts evaluation has been collected: what was found then is no longer known.\n");
    else if (json_object_size(placed) > 0)
        print_placed(placed, verbose, colors);
    else if (eval != NULL && json_object_size(value_at(eval, "FailedTGAllocs")) == 0)
        printf("\nThe evaluation placed nothing, and found nothing to place.\n");
    if (flag_at(why, "Stop"))
        printf("\nThe job is stopped: nothing is to be placed.\n");
    if (flag_at(why, "Template"))
        printf("\nThe job makes others: what follows is of the next one of them.\n");
    if (*text_at(why, "Waits") != '\0') {
        printf("\nNothing is placed now: it ");
        print_clean(stdout, text_at(why, "Waits"));
        printf(".\n");
    }
    for (size_t i = 0; i < json_array_size(groups); i++)
        print_group(json_array_get(groups, i), verbose, colors);
}
