#include "deployview.h"
#include "base/err.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WAIT_S = 5,      /* one blocking query */
    PAUSE_MS = 1000, /* between two lines on one group, so that thousands of tasks are few lines */
    SHORT_PAUSE_MS = 100,
};

/* ---- the table of groups: only with the columns that say something */

struct columns {
    bool canaries, auto_revert, deadline;
};

static struct columns columns_of(const json_t *groups)
{
    struct columns has = {0};
    const char *name;
    json_t *g;
    json_object_foreach((json_t *)(uintptr_t)groups, name, g)
    {
        has.canaries |= number_at(g, "DesiredCanaries") > 0;
        has.auto_revert |= flag_at(g, "AutoRevert");
        has.deadline |= number_at(g, "ProgressDeadline") != 0;
    }
    return has;
}

static const char *yes_or_no(bool yes)
{
    return yes ? "true" : "false";
}

static const char *number(const json_t *g, const char *key)
{
    return show("%lld", (long long)number_at(g, key));
}

static void add_group(struct table *t, struct columns has, const char *name, const json_t *g)
{
    const char *cells[TABLE_MAX_COLUMNS] = {NULL};
    bool canaries = number_at(g, "DesiredCanaries") > 0;
    size_t n = 0;
    cells[n++] = name;
    if (has.auto_revert)
        cells[n++] = yes_or_no(flag_at(g, "AutoRevert"));
    if (has.canaries)
        cells[n++] = canaries ? yes_or_no(flag_at(g, "Promoted")) : "N/A";
    cells[n++] = number(g, "DesiredTotal");
    if (has.canaries)
        cells[n++] = canaries ? number(g, "DesiredCanaries") : "N/A";
    cells[n++] = number(g, "PlacedAllocs");
    cells[n++] = number(g, "HealthyAllocs");
    cells[n++] = number(g, "UnhealthyAllocs");
    if (has.deadline)
        cells[n] = show_time(time_parse(text_at(g, "RequireProgressBy")), true);
    table_row(t, cells);
}

static void print_groups(const json_t *groups, bool colors)
{
    struct columns has = columns_of(groups);
    struct table t;
    size_t count;
    const char **names = sorted_keys(groups, &count);
    print_section(stdout, colors, "Deployed");
    table_init(&t,
               show("Task Group%s%s|Desired%s|Placed|Healthy|Unhealthy%s",
                    has.auto_revert ? "|Auto Revert" : "", has.canaries ? "|Promoted" : "",
                    has.canaries ? "|Canaries" : "", has.deadline ? "|Progress Deadline" : ""),
               colors);
    for (size_t i = 0; i < count; i++)
        add_group(&t, has, names[i], value_at(groups, names[i]));
    table_print(&t, stdout);
    table_free(&t);
    free(names);
}

void print_deployment(const json_t *d, bool of_job, bool whole_ids, bool colors)
{
    struct table t;
    pairs_init(&t, colors);
    pairs_add(&t, "ID", "%s", show_id(text_at(d, "ID"), whole_ids));
    if (!of_job) {
        pairs_add(&t, "Job ID", "%s", text_at(d, "JobID"));
        pairs_add(&t, "Job Version", "%lld", (long long)number_at(d, "JobVersion"));
    }
    pairs_add(&t, "Status", "%s", text_at(d, "Status"));
    pairs_add(&t, "Description", "%s", text_at(d, "StatusDescription"));
    table_print(&t, stdout);
    table_free(&t);
    if (json_object_size(value_at(d, "TaskGroups")) > 0)
        print_groups(value_at(d, "TaskGroups"), colors);
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = number_at(*(const json_t *const *)a, "CreateIndex");
    int64_t y = number_at(*(const json_t *const *)b, "CreateIndex");
    return x < y ? 1 : x > y ? -1 : 0;
}

void print_deployments(const json_t *list, bool whole_ids, bool colors)
{
    size_t count = json_array_size(list);
    const json_t **sorted = xcalloc(count + 1, sizeof *sorted);
    struct table t;
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_array_get(list, i);
    qsort(sorted, count, sizeof *sorted, newest_first);
    table_init(&t, "ID|Job ID|Job Version|Status|Description", colors);
    for (size_t i = 0; i < count; i++)
        TABLE_ROW(&t, show_id(text_at(sorted[i], "ID"), whole_ids), text_at(sorted[i], "JobID"),
                  number(sorted[i], "JobVersion"), text_at(sorted[i], "Status"),
                  text_at(sorted[i], "StatusDescription"));
    table_print(&t, stdout);
    table_free(&t);
    free(sorted);
}

/* ---- following */

/* A line for each group that has changed. */
static bool tell_groups(const json_t *now, const json_t *before)
{
    const json_t *groups = value_at(now, "TaskGroups");
    size_t count;
    bool told = false;
    const char **names = sorted_keys(groups, &count);
    for (size_t i = 0; i < count; i++) {
        const json_t *g = value_at(groups, names[i]);
        const json_t *old = value_at(value_at(before, "TaskGroups"), names[i]);
        if (json_equal(g, old))
            continue;
        told = true;
        printf("    Group \"");
        print_clean(stdout, names[i]);
        printf("\": %lld of %lld healthy, %lld placed", (long long)number_at(g, "HealthyAllocs"),
               (long long)number_at(g, "DesiredTotal"), (long long)number_at(g, "PlacedAllocs"));
        if (number_at(g, "UnhealthyAllocs") > 0)
            printf(", %lld unhealthy", (long long)number_at(g, "UnhealthyAllocs"));
        if (number_at(g, "DesiredCanaries") > 0)
            printf(flag_at(g, "Promoted") ? ", promoted" : ", %lld to be promoted",
                   (long long)number_at(g, "DesiredCanaries"));
        putchar('\n');
    }
    free(names);
    return told;
}

/* Its canaries are healthy, and nobody but a person will promote them. */
static bool waits_for_promotion(const json_t *d)
{
    const char *name;
    json_t *g;
    bool any = false;
    json_object_foreach(value_at(d, "TaskGroups"), name, g)
    {
        int64_t canaries = number_at(g, "DesiredCanaries");
        if (canaries == 0 || flag_at(g, "Promoted"))
            continue;
        if (flag_at(g, "AutoPromote") || number_at(g, "HealthyAllocs") < canaries)
            return false;
        any = true;
    }
    return any;
}

static bool has_ended(const json_t *d)
{
    static const char *const ends[] = {"successful", "failed", "cancelled"};
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        if (strcmp(text_at(d, "Status"), ends[i]) == 0)
            return true;
    return false;
}

static int tell_end(const json_t *d, bool whole_ids)
{
    printf("==> Deployment \"%s\" finished with status \"%s\"\n",
           show_id(text_at(d, "ID"), whole_ids), text_at(d, "Status"));
    printf("    ");
    print_clean(stdout, text_at(d, "StatusDescription"));
    putchar('\n');
    return strcmp(text_at(d, "Status"), "successful") == 0 ? EXIT_OK : EXIT_ERROR;
}

int follow_deployment(struct client *c, const char *id, const struct follow_options *o)
{
    char *path = path_of("/v1/deployment/", id, "");
    json_t *before = NULL;
    uint64_t index = 0;
    int code = -1;
    printf("==> Monitoring deployment \"%s\"\n", show_id(id, o->verbose));
    while (code < 0) {
        struct answer a;
        const char *query =
            index > 0 ? show("index=%llu&wait=%ds", (unsigned long long)index, WAIT_S) : NULL;
        bool told = false;
        if (!client_get_json(c, &a, "Error reading deployment", path, query)) {
            code = EXIT_ERROR;
        } else {
            told = tell_groups(a.json, before);
            json_decref(before);
            before = json_incref(a.json);
            index = a.index;
            if (has_ended(before)) {
                code = tell_end(before, o->verbose);
            } else if (!o->promotion && waits_for_promotion(before)) {
                printf("==> The canaries are healthy. Promote them: nctl deployment promote %s\n",
                       show_id(id, o->verbose));
                code = EXIT_OK;
            }
        }
        answer_free(&a);
        fflush(stdout);
        if (code < 0)
            usleep((told ? PAUSE_MS : SHORT_PAUSE_MS) * 1000);
    }
    json_decref(before);
    free(path);
    return code;
}
