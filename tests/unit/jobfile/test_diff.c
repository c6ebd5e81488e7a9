/* job_diff against what a Nomad 1.1.0 server told of the same jobs (what schedulers add is taken
 * out). */
#include "jobfile/diff.h"
#include "jobfile/jobfile.h"
#include "wire/json.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static Pb__Job *job_of(struct arena *a, const json_t *tree)
{
    struct reason why;
    Pb__Job *job = NULL;
    if (json_is_null(tree))
        return NULL;
    char *text = json_dumps(tree, JSON_COMPACT);
    enum err e = jobfile_parse(a, JOBFILE_JSON, "job", text, strlen(text), &job, &why);
    cr_assert_eq(e, OK, "%s", why.text);
    free(text);
    job->region = arena_strdup(a, "global");
    job_canonicalize(a, job);
    return job;
}

/* Services are stored as they came: their defaults are nobody's yet. */
static void drop_services(json_t *diff)
{
    size_t i, k;
    json_t *group, *object;
    json_array_foreach(json_object_get(diff, "TaskGroups"), i, group)
    {
        json_t *objects = json_object_get(group, "Objects");
        for (k = json_array_size(objects); k-- > 0;) {
            object = json_array_get(objects, k);
            if (strcmp(json_string_value(json_object_get(object, "Name")), "Service") == 0)
                json_array_remove(objects, k);
        }
    }
}

static void expect_same(const char *name, const json_t *diff, const json_t *want)
{
    char *x = json_dumps(diff, JSON_INDENT(1) | JSON_SORT_KEYS),
         *y = json_dumps(want, JSON_INDENT(1) | JSON_SORT_KEYS);
    bool same = strcmp(x, y) == 0;
    cr_expect(same, "%s: %s\nrecorded: %s", name, x, y);
    free(x);
    free(y);
}

static void expect_recorded(const json_t *recorded)
{
    struct arena *a = arena_new(16 << 20);
    Pb__Job *old = job_of(a, json_object_get(recorded, "old")),
            *now = job_of(a, json_object_get(recorded, "new"));
    json_t *want = json_object_get(recorded, "diff"), *diff = job_diff(old, now);
    drop_services(want);
    drop_services(diff);
    expect_same(json_string_value(json_object_get(recorded, "name")), diff, want);
    json_decref(diff);
    arena_free(a);
}

Test(diff, is_what_a_nomad_server_told_of_the_same_jobs)
{
    FILE *f = fopen(DATA_DIR "/diffs.jsonl", "r");
    json_t *recorded;
    size_t count = 0;
    cr_assert_not_null(f);
    while ((recorded = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
        expect_recorded(recorded);
        json_decref(recorded);
        count++;
    }
    fclose(f);
    cr_assert_geq(count, 10);
}

Test(diff, of_a_job_and_itself_is_none_and_lists_groups_and_tasks)
{
    struct arena *a = arena_new(16 << 20);
    json_t *tree = json_pack("{ss,s[s],s[{ss,s[{ss,ss}]}]}", "ID", "j", "Datacenters", "dc1",
                             "TaskGroups", "Name", "g", "Tasks", "Name", "t", "Driver", "mock");
    Pb__Job *job = job_of(a, tree);
    json_t *diff = job_diff(job, job);
    cr_assert(!job_diff_is_change(diff));
    json_t *group = json_array_get(json_object_get(diff, "TaskGroups"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(group, "Type")), "None");
    cr_assert(json_is_null(json_object_get(diff, "Fields")));
    json_decref(diff);
    diff = job_diff(NULL, job);
    cr_assert(job_diff_is_change(diff));
    json_decref(diff);
    json_decref(tree);
    arena_free(a);
}
