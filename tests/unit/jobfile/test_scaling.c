/* A group's scaling stanza, from either form of job file to what is stored and what is wrong. */
#include "jobfile/scaling.h"
#include "jobfile/jobfile.h"
#include <criterion/criterion.h>
#include <string.h>

static struct arena *a;

static void begin(void)
{
    a = arena_new(64 << 20);
}

static void end(void)
{
    arena_free(a);
}

TestSuite(scaling, .init = begin, .fini = end);

static Pb__Job *parse(enum jobfile_format format, const char *text)
{
    Pb__Job *job = NULL;
    struct reason why = {""};
    cr_assert_eq(jobfile_parse(a, format, "x", text, strlen(text), &job, &why), OK, "%s", why.text);
    job_canonicalize(a, job);
    return job;
}

#define NATIVE(scaling)                                                                            \
    "id = \"x\"; datacenters = [\"dc1\"]; groups = ({ name = \"g\"; count = 2; scaling = "         \
    "{" scaling                                                                                    \
    "}; tasks = ({ name = \"t\"; driver = \"mock\"; config = { run_for = \"1s\"; }; }); });"

static void says(const char *scaling, const char *want)
{
    struct job_problems p;
    job_validate(a, parse(JOBFILE_LIBCONFIG, scaling), &p);
    cr_assert_eq(p.count, 1, "%s", scaling);
    cr_assert_not_null(strstr(p.texts[0], want), "%s", p.texts[0]);
}

Test(scaling, both_forms_become_one)
{
    const char *want = "{\"Enabled\":true,\"Max\":4,\"Min\":2,\"Policy\":{\"cooldown\":\"1m\","
                       "\"target\":70.0},\"Type\":\"horizontal\"}";
    Pb__Job *native =
        parse(JOBFILE_LIBCONFIG, NATIVE("max = 4; policy = { target = 70; cooldown = \"1m\"; };"));
    Pb__Job *json = parse(JOBFILE_JSON,
                          "{\"ID\":\"x\",\"TaskGroups\":[{\"Name\":\"g\",\"Count\":2,\"Scaling\":{"
                          "\"max\":4,\"Min\":null,\"Policy\":{\"target\":70,\"cooldown\":\"1m\"},"
                          "\"ID\":\"\",\"Target\":null,\"CreateIndex\":0}}]}");
    cr_assert_str_eq(native->task_groups[0]->scaling_json, want);
    cr_assert_str_eq(json->task_groups[0]->scaling_json, want);
    job_canonicalize(a, native);
    cr_assert_str_eq(native->task_groups[0]->scaling_json, want);
    struct job_problems p;
    job_validate(a, native, &p);
    cr_assert_eq(p.count, 0);
    cr_assert_eq(p.warning_count, 0);
}

Test(scaling, mistakes_are_told)
{
    says(NATIVE("min = 1;"), "maximum count must be specified and non-negative");
    says(NATIVE("min = 4; max = 3;"), "maximum count must not be less than minimum count");
    says(NATIVE("min = 3; max = 4;"), "count must not be less than minimum count");
    says(NATIVE("min = 0; max = 1;"), "count must not be greater than maximum count");
    says(NATIVE("min = -1; max = 4;"), "minimum count must be specified and non-negative");
    says(NATIVE("max = 4; maximum = 5;"), "unknown setting \"maximum\"");
    says(NATIVE("max = 4; enabled = 1;"), "enabled must be true or false");
    says(NATIVE("max = 4; policy = \"x\";"), "policy must be a group");
    says(NATIVE("max = 4; type = \"vertical_cpu\";"), "\"vertical_cpu\" is not valid");
}
