/* job_canonicalize against the canonical forms that Nomad 1.1.0 made of the same jobs. */
#include "canonical.h"
#include "jobfile/jobfile.h"
#define JOBS_DIR DATA_DIR "/jobs"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return NULL;
    char *text = xmalloc(1 << 20);
    *len = fread(text, 1, 1 << 20, f);
    fclose(f);
    return text;
}

static Pb__Job *parse(struct arena *a, const char *path)
{
    struct reason why;
    Pb__Job *job = NULL;
    size_t len;
    char *text = read_file(path, &len);
    cr_assert_not_null(text, "%s", path);
    enum err e = jobfile_parse(a, JOBFILE_JSON, path, text, len, &job, &why);
    cr_assert_eq(e, OK, "%s", why.text);
    free(text);
    return job;
}

/* What is stored and returned as it came, so its own defaults are nobody's yet: services, vault,
 * scaling, multiregion. */
static void forget_opaque(Pb__Job *job)
{
    job->multiregion_json = NULL;
    for (size_t g = 0; g < job->n_task_groups; g++) {
        Pb__TaskGroup *group = job->task_groups[g];
        group->services_json = group->scaling_json = NULL;
        group->n_volumes = 0;
        if (group->consul_json != NULL && strcmp(group->consul_json, "{\"Namespace\":\"\"}") == 0)
            group->consul_json = NULL;
        for (size_t t = 0; t < group->n_tasks; t++)
            group->tasks[t]->services_json = group->tasks[t]->vault_json =
                group->tasks[t]->scaling_policies_json = NULL;
    }
}

/* Objects of free form came out of Nomad in any order of their keys. */
static void forget_config(Pb__Job *job)
{
    for (size_t g = 0; g < job->n_task_groups; g++)
        for (size_t t = 0; t < job->task_groups[g]->n_tasks; t++)
            job->task_groups[g]->tasks[t]->config_json = NULL;
}

static void compare(const ProtobufCMessage *a, const ProtobufCMessage *b, const char *path);

static void compare_field(const ProtobufCMessage *a, const ProtobufCMessage *b,
                          const ProtobufCFieldDescriptor *f, const char *path)
{
    const char *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t n = *(const size_t *)((const char *)a + f->quantifier_offset);
        cr_expect_eq(n, *(const size_t *)((const char *)b + f->quantifier_offset), "%s", path);
        if (n != *(const size_t *)((const char *)b + f->quantifier_offset))
            return;
        for (size_t i = 0; i < n; i++) {
            void *p = (*(void *const *const *)x)[i], *q = (*(void *const *const *)y)[i];
            if (f->type == PROTOBUF_C_TYPE_MESSAGE)
                compare(p, q, path);
            else if (f->type == PROTOBUF_C_TYPE_STRING)
                cr_expect_str_eq((char *)p, (char *)q, "%s", path);
        }
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        const void *p = *(void *const *)x, *q = *(void *const *)y;
        cr_expect_eq(p == NULL, q == NULL, "%s: ours %p, Nomad's %p", path, p, q);
        if (p != NULL && q != NULL)
            compare(p, q, path);
    } else if (f->type == PROTOBUF_C_TYPE_STRING) {
        const char *p = *(char *const *)x, *q = *(char *const *)y;
        cr_expect_str_eq(p ? p : "(unset)", q ? q : "(unset)", "%s: ours %s, Nomad's %s", path, p,
                         q);
    } else {
        protobuf_c_boolean has_a =
            *(const protobuf_c_boolean *)((const char *)a + f->quantifier_offset);
        protobuf_c_boolean has_b =
            *(const protobuf_c_boolean *)((const char *)b + f->quantifier_offset);
        bool wide = f->type == PROTOBUF_C_TYPE_INT64 || f->type == PROTOBUF_C_TYPE_UINT64;
        cr_expect_eq(has_a, has_b, "%s: ours is %sset", path, has_a ? "" : "not ");
        if (has_a && has_b)
            cr_expect_eq(memcmp(x, y, wide ? 8 : 4), 0, "%s: ours %d, Nomad's %d", path,
                         *(const int *)x, *(const int *)y);
    }
}

static void compare(const ProtobufCMessage *a, const ProtobufCMessage *b, const char *path)
{
    for (unsigned i = 0; i < a->descriptor->n_fields; i++) {
        char inner[400];
        snprintf(inner, sizeof(inner), "%s.%s", path, a->descriptor->fields[i].name);
        compare_field(a, b, &a->descriptor->fields[i], inner);
    }
}

static void compare_with_recording(const char *name)
{
    char path[600];
    struct arena *a = arena_new(64 << 20);
    snprintf(path, sizeof(path), "%s/%s.json", JOBS_DIR, name);
    Pb__Job *ours = parse(a, path);
    snprintf(path, sizeof(path), "%s/%s.canonical.json", JOBS_DIR, name);
    Pb__Job *theirs = parse(a, path);
    /* Nomad sends them on; to us they are only a way to write the groups'. */
    theirs->reschedule = NULL;
    theirs->migrate = NULL;
    forget_opaque(ours);
    forget_opaque(theirs);
    forget_config(ours);
    forget_config(theirs);
    job_canonicalize(a, ours);
    canonical_drop_zeros(&theirs->base);
    compare(&ours->base, &theirs->base, name);
    Pb__Job *again = (Pb__Job *)wire_clone(a, &ours->base);
    job_canonicalize(a, again);
    cr_expect(wire_equal(&again->base, &ours->base), "%s: twice is not once", name);
    arena_free(a);
}

Test(canonical, every_recorded_job_gets_the_defaults_that_nomad_gives)
{
    DIR *d = opendir(JOBS_DIR);
    struct dirent *entry;
    size_t seen = 0;
    cr_assert_not_null(d);
    while ((entry = readdir(d)) != NULL) {
        char *end = strstr(entry->d_name, ".canonical.json");
        if (end == NULL)
            continue;
        *end = '\0';
        compare_with_recording(entry->d_name);
        seen++;
    }
    closedir(d);
    cr_assert_gt(seen, 40);
}
