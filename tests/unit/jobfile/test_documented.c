/* docs/jobfile.md has every key with its default, and no other; the examples are jobs without
 * mistakes. */
#include "base/duration.h"
#include "base/err.h"
#include "canonical.h"
#include "jobfile/jobfile.h"
#include "keys.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct section {
    const char *title;
    const ProtobufCMessageDescriptor *message;
} sections[] = {
    {"The job", &pb__job__descriptor},
    {"Task group", &pb__task_group__descriptor},
    {"Task", &pb__task__descriptor},
    {"Resources", &pb__resources__descriptor},
    {"Constraint", &pb__constraint__descriptor},
    {"Network", &pb__network__descriptor},
    {"Port", &pb__port__descriptor},
    {"Restart", &pb__restart_policy__descriptor},
    {"Ephemeral disk", &pb__ephemeral_disk__descriptor},
    {"Logs", &pb__log_config__descriptor},
    {"Update", &pb__update_strategy__descriptor},
    {"Migrate", &pb__migrate_strategy__descriptor},
    {"Disconnect", &pb__disconnect_strategy__descriptor},
    {"Reschedule", &pb__reschedule_policy__descriptor},
    {"Affinity", &pb__affinity__descriptor},
    {"Spread", &pb__spread__descriptor},
    {"Spread target", &pb__spread_target__descriptor},
    {"DNS", &pb__dns__descriptor},
    {"Device", &pb__requested_device__descriptor},
    {"Lifecycle", &pb__lifecycle__descriptor},
    {"Artifact", &pb__artifact__descriptor},
    {"Template", &pb__template__descriptor},
    {"Volume", &pb__volume_request__descriptor},
    {"Volume mount", &pb__volume_mount__descriptor},
    {"Dispatch payload", &pb__dispatch_payload__descriptor},
    {"Periodic", &pb__periodic__descriptor},
    {"Parameterized", &pb__parameterized_job__descriptor},
    {"Dependency", &pb__dependency__descriptor},
};

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    char *text = xcalloc(1, 1 << 20);
    cr_assert_gt(fread(text, 1, (1 << 20) - 1, f), 0);
    fclose(f);
    return text;
}

/* The default that the third column gives, against the one that canonicalisation gives. */
static void check_default(const struct section *s, const struct job_key *key, const char *column)
{
    const char *text = NULL;
    long long number = 0;
    int64_t ns;
    char quoted[64] = "";
    if (key->kind > VALUE_DURATION ||
        !canonical_default(s->message->short_name, key->field->name, "service", &text, &number))
        return;
    sscanf(column, " `\"%63[^\"]", quoted);
    if (text != NULL)
        cr_expect_str_eq(quoted, text, "%s.%s", s->title, key->name);
    else if (key->kind == VALUE_DURATION)
        cr_expect(duration_parse(quoted, &ns) && ns == number, "%s.%s", s->title, key->name);
    else if (key->field->type == PROTOBUF_C_TYPE_BOOL)
        cr_expect_eq(strncmp(column, number != 0 ? " true" : " false", 5), 0, "%s.%s", s->title,
                     key->name);
    else
        cr_expect_eq(atoll(column), number, "%s.%s", s->title, key->name);
}

/* Marks the keys that one row of the table names. */
static void check_row(const struct section *s, const char *row, bool *named)
{
    size_t count;
    const struct job_key *keys = native_keys(s->message, &count);
    const char *end = strchr(row + 1, '|');
    for (const char *at = strchr(row, '`'); at != NULL && at < end;) {
        const char *close = strchr(at + 1, '`');
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)(close - at - 1), at + 1);
        const struct job_key *key = native_key(s->message, name);
        cr_expect_not_null(key, "%s: `%s` is documented but not known", s->title, name);
        if (key != NULL) {
            named[key - keys] = true;
            check_default(s, key, strchr(end + 1, '|') + 1);
        }
        at = strchr(close + 1, '`');
    }
}

Test(documented, every_key_of_a_job_file_and_no_other)
{
    char *text = read_all(SOURCE_DIR "/docs/jobfile.md");
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        char heading[80];
        bool named[64] = {false};
        size_t count;
        const struct job_key *keys = native_keys(sections[i].message, &count);
        snprintf(heading, sizeof(heading), "\n## %s\n", sections[i].title);
        char *at = strstr(text, heading);
        cr_assert_not_null(at, "no section %s", sections[i].title);
        char *end = strstr(at + 4, "\n## ");
        for (char *row = strstr(at, "\n| `"); row != NULL && row < end;
             row = strstr(row + 1, "\n| `"))
            check_row(&sections[i], row + 1, named);
        for (size_t k = 0; k < count; k++)
            cr_expect(named[k], "%s: `%s` is not documented", sections[i].title, keys[k].name);
    }
    free(text);
}

Test(documented, every_group_that_a_key_opens_has_a_section)
{
    for (size_t i = 0; i < COUNT_OF(sections); i++) {
        size_t count;
        const struct job_key *keys = native_keys(sections[i].message, &count);
        for (size_t k = 0; k < count; k++) {
            if (keys[k].field->type != PROTOBUF_C_TYPE_MESSAGE || keys[k].kind == VALUE_PAIRS)
                continue;
            bool found = false;
            for (size_t s = 0; s < COUNT_OF(sections); s++)
                found |= (const void *)sections[s].message == keys[k].field->descriptor;
            cr_expect(found, "%s.%s", sections[i].title, keys[k].name);
        }
    }
}

Test(documented, the_examples_are_jobs_without_mistakes)
{
    DIR *d = opendir(SOURCE_DIR "/deploy/examples");
    struct dirent *entry;
    size_t seen = 0;
    cr_assert_not_null(d);
    while ((entry = readdir(d)) != NULL) {
        char path[600];
        struct arena *a = arena_new(64 << 20);
        struct reason why = {""};
        struct job_problems p = {0};
        Pb__Job *job;
        if (strstr(entry->d_name, ".job") == NULL) {
            arena_free(a);
            continue;
        }
        snprintf(path, sizeof(path), SOURCE_DIR "/deploy/examples/%s", entry->d_name);
        char *text = read_all(path);
        cr_assert_eq(
            jobfile_parse(a, JOBFILE_LIBCONFIG, entry->d_name, text, strlen(text), &job, &why), OK,
            "%s", why.text);
        job_canonicalize(a, job);
        job_validate(a, job, &p);
        cr_expect_eq(p.count, 0, "%s: %s", entry->d_name, p.count > 0 ? p.texts[0] : "");
        cr_expect_eq(p.warning_count, 0, "%s: %s", entry->d_name,
                     p.warning_count > 0 ? p.warnings[0] : "");
        arena_free(a);
        free(text);
        seen++;
    }
    closedir(d);
    cr_assert_geq(seen, 4);
}
