#include "plandiff.h"
#include "jobfile/diff.h"
#include "wire/json.h"
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *tree, const char *key)
{
    const char *text = json_string_value(json_object_get(tree, key));
    return text != NULL ? text : "";
}

static void annotate(json_t *change, const char *text)
{
    json_put(change, "Annotations", json_pack("[s]", text));
}

static void put_count(json_t *counts, const char *word, uint64_t n)
{
    if (n > 0)
        json_put(counts, word, json_integer((json_int_t)n));
}

static json_t *counts_of(const Pb__DesiredUpdates *u)
{
    json_t *counts = json_object();
    put_count(counts, "ignore", u->ignore);
    put_count(counts, "create", u->place);
    put_count(counts, "migrate", u->migrate);
    put_count(counts, "destroy", u->stop);
    put_count(counts, "in-place update", u->in_place_update);
    put_count(counts, "create/destroy update", u->destructive_update);
    put_count(counts, "canary", u->canary);
    put_count(counts, "evict", u->preemptions);
    return counts;
}

static void annotate_count(json_t *group)
{
    size_t i;
    json_t *field;
    json_array_foreach(json_object_get(group, "Fields"), i, field)
    {
        if (strcmp(text_of(field, "Name"), "Count") != 0)
            continue;
        long long was = strtoll(text_of(field, "Old"), NULL, 10),
                  now = strtoll(text_of(field, "New"), NULL, 10);
        if (was != now)
            annotate(field, was < now ? "forces create" : "forces destroy");
    }
}

/* A task of a group that is new or gone comes or goes with it. */
static void annotate_tasks(json_t *group, const Pb__DesiredUpdates *u)
{
    size_t i;
    json_t *task;
    const char *kind = text_of(group, "Type");
    const char *forced = strcmp(kind, "Added") == 0     ? "forces create"
                         : strcmp(kind, "Deleted") == 0 ? "forces destroy"
                         : u != NULL && u->in_place_update > 0 && u->destructive_update == 0
                             ? "forces in-place update"
                             : "forces create/destroy update";
    json_array_foreach(json_object_get(group, "Tasks"), i, task)
    {
        if (strcmp(text_of(task, "Type"), "None") != 0)
            annotate(task, forced);
    }
}

json_t *plan_diff(const Pb__Answer *a)
{
    json_t *diff = job_diff(a->was, a->job), *group;
    size_t i;
    json_array_foreach(json_object_get(diff, "TaskGroups"), i, group)
    {
        const Pb__DesiredUpdates *u = NULL;
        for (size_t k = 0; k < a->n_updates && u == NULL; k++)
            if (strcmp(a->updates[k]->task_group, text_of(group, "Name")) == 0)
                u = a->updates[k];
        if (u != NULL)
            json_put(group, "Updates", counts_of(u));
        annotate_count(group);
        annotate_tasks(group, u);
    }
    return diff;
}
