/* job_validate against what Nomad 1.1.0 said to the same jobs. */
#include "base/err.h"
#include "problems.h"
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP(text)                                                                                \
    "1 error occurred:\n\t* Task group g validation failed: 1 error occurred:\n\t* " text "\n\n\n" \
    "\n"
#define TASK(text) GROUP("Task t validation failed: 1 error occurred:\n\t* " text "\n\n")

/* Where Norn answers otherwise, and on purpose. NULL: accepted; "400": refused by the reader
 * already. */
static const struct exception {
    const char *step, *ours;
} exceptions[] = {
    /* needs that this version has not */
    {"volume type",
     GROUP("Task group volume validation for v failed: 1 error occurred:\n\t* volume "
           "type \"bogus\" " NOT_YET ": use \"host\"\n\n")},
    {"connect native without consul", TASK("Consul Connect " NOT_YET)},
    {"multiregion is enterprise", "1 error occurred:\n\t* Multiregion " NOT_YET "\n\n"},
    {"system job with scaling",
     "1 error occurred:\n\t* Task groups with job type system do not support "
     "scaling stanzas\n\n"},
    /* another library words it otherwise, and says where */
    {"constraint regexp",
     GROUP("Constraint 1 validation failed: 1 error occurred:\n\t* Regular expression failed to "
           "compile: error parsing regexp: missing closing parenthesis (at byte 1): `(`\n\n")},
    {"bad constraint",
     "1 error occurred:\n\t* Constraint 1 validation failed: 1 error occurred:\n\t* Regular "
     "expression failed to compile: error parsing regexp: missing closing parenthesis (at byte 1): "
     "`(`\n\n\n\n"},
    /* preferences: kept as they come, warned about, not looked into */
    {"service without name", NULL},
    {"check without interval", NULL},
    {"vault without vault configured", NULL},
    {"vault with the root policy", NULL},
    /* the gateway's to say: it knows the regions and namespaces */
    {"region of another cluster in the body", NULL},
    {"unknown namespace in the body", NULL},
};

static const char *expected(const char *step, int status, const char *nomad)
{
    for (size_t i = 0; i < COUNT_OF(exceptions); i++)
        if (strcmp(exceptions[i].step, step) == 0)
            return exceptions[i].ours != NULL ? exceptions[i].ours : "";
    return status == 400 ? "400" : nomad;
}

static void check_case(const json_t *row)
{
    const char *step = json_string_value(json_object_get(row, "step"));
    const char *nomad = json_string_value(json_object_get(row, "error"));
    const char *want =
        expected(step, (int)json_integer_value(json_object_get(row, "status")), nomad);
    char *text = json_dumps(json_object_get(row, "job"), 0);
    struct arena *a = arena_new(64 << 20);
    struct reason why = {""};
    struct job_problems p = {0};
    Pb__Job *job;
    const char *got = "400";
    if (jobfile_parse(a, JOBFILE_JSON, step, text, strlen(text), &job, &why) == OK) {
        job_canonicalize(a, job);
        job_validate(a, job, &p);
        struct texts errors = {a, p.count, p.count, p.texts};
        got = p.count > 0 ? texts_join(&errors) : "";
    }
    cr_expect_str_eq(got, want, "%s:\n%s\nwanted:\n%s\n%s", step, got, want, why.text);
    arena_free(a);
    free(text);
}

Test(validate, says_what_nomad_says_to_the_recorded_mistakes)
{
    FILE *f = fopen(DATA_DIR "/validations.jsonl", "r");
    char *line = NULL;
    size_t room = 0, seen = 0;
    cr_assert_not_null(f);
    while (getline(&line, &room, f) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        check_case(row);
        json_decref(row);
        seen++;
    }
    free(line);
    fclose(f);
    cr_assert_gt(seen, 70);
}

Test(validate, all_at_once_is_for_what_one_plan_can_hold)
{
    struct arena *a = arena_new(64 << 20);
    struct reason why;
    struct job_problems p = {0};
    Pb__Job *job;
    static const char text[] =
        "{\"ID\":\"j\",\"Datacenters\":[\"*\"],\"AllAtOnce\":true,\"TaskGroups\":[{\"Name\":\"g\","
        "\"Count\":10000,\"Tasks\":[{\"Name\":\"t\",\"Driver\":\"raw_exec\",\"Config\":{"
        "\"command\":"
        "\"true\"}}]}]}";
    cr_assert_eq(jobfile_parse(a, JOBFILE_JSON, "j", text, strlen(text), &job, &why), OK);
    job_canonicalize(a, job);
    job_validate(a, job, &p);
    cr_assert_eq(p.count, 0);
    job->task_groups[0]->count++;
    job_validate(a, job, &p);
    cr_assert_eq(p.count, 1);
    cr_assert_str_eq(p.texts[0], "all_at_once: 10001 allocations are too many to be placed in one "
                                 "step: at most 10000");
    arena_free(a);
}

/* What is wrong with a job of one group and task, these being further fields of theirs; in a. */
static const char *mistakes_in(struct arena *a, const char *group, const char *task)
{
    struct reason why;
    struct job_problems p = {0};
    Pb__Job *job;
    char *text = arena_printf(a,
                              "{\"ID\":\"j\",\"Datacenters\":[\"*\"],\"TaskGroups\":[{\"Name\":"
                              "\"g\",%s\"Tasks\":[{\"Name\":\"t\",\"Driver\":\"mock\",%s\"Config\":"
                              "{}}]}]}",
                              group, task);
    cr_assert_eq(jobfile_parse(a, JOBFILE_JSON, "j", text, strlen(text), &job, &why), OK, "%s",
                 why.text);
    job_canonicalize(a, job);
    job_validate(a, job, &p);
    struct texts errors = {a, p.count, p.count, p.texts};
    return p.count > 0 ? texts_join(&errors) : "";
}

static const char *mistakes_of(struct arena *a, const char *resources)
{
    return mistakes_in(a, "", arena_printf(a, "\"Resources\":%s,", resources));
}

Test(validate, cores_and_devices_may_be_asked_for)
{
    static const struct {
        const char *resources, *words; /* words NULL: nothing is wrong */
    } cases[] = {
        {"{\"Cores\":2,\"MemoryMB\":50}", NULL},
        {"{\"CPU\":50,\"MemoryMB\":50,\"Devices\":[{\"Name\":\"nvidia/gpu\",\"Count\":2,"
         "\"Constraints\":[{\"LTarget\":\"${device.attr.memory}\",\"Operand\":\">=\",\"RTarget\":"
         "\"10 GiB\"}],\"Affinities\":[{\"LTarget\":\"${device.model}\",\"RTarget\":\"x\","
         "\"Weight\":50}]}]}",
         NULL},
        {"{\"Devices\":[{\"Name\":\"\"}]}", "device name must be given as one of the following"},
        {"{\"Devices\":[{\"Name\":\"a/b/c/d\"}]}", "device name must be given"},
        {"{\"Devices\":[{\"Name\":\"a//c\"}]}", "device name must be given"},
        {"{\"Devices\":[{\"Name\":\"gpu\",\"Count\":0}]}", "device count must be 1 to 1024"},
        {"{\"Devices\":[{\"Name\":\"gpu\",\"Constraints\":[{\"LTarget\":\"${attr.x}\",\"RTarget\":"
         "\"1\"}]}]}",
         "\"${attr.x}\" names nothing that a device has"},
        {"{\"Devices\":[{\"Name\":\"gpu\",\"Constraints\":[{\"Operand\":\"distinct_hosts\"}]}]}",
         "using unsupported operand \"distinct_hosts\""},
        {"{\"Devices\":[{\"Name\":\"gpu\",\"Affinities\":[{\"LTarget\":\"${device.vendor}\","
         "\"RTarget\":\"x\",\"Weight\":0}]}]}",
         "Affinity weight cannot be zero"},
    };
    struct arena *a = arena_new(64 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *got = mistakes_of(a, cases[i].resources);
        if (cases[i].words == NULL)
            cr_expect_str_eq(got, "", "%s\n%s", cases[i].resources, got);
        else
            cr_expect_not_null(strstr(got, cases[i].words), "%s\n%s", cases[i].resources, got);
    }
    arena_free(a);
}

Test(validate, networks_and_volumes_may_be_asked_for)
{
    static const struct {
        const char *group, *task, *words; /* words NULL: nothing is wrong */
    } cases[] = {
        {"\"Networks\":[{\"Mode\":\"bridge\",\"Hostname\":\"h\",\"DNS\":{\"Servers\":[\"10.0.0.1\"]"
         "}}],",
         "", NULL},
        {"\"Networks\":[{\"Mode\":\"none\"}],", "", NULL},
        {"\"Networks\":[{\"Mode\":\"cni/my-net.1\",\"CNIArgs\":{\"A\":\"1\"}}],", "", NULL},
        {"\"Networks\":[{\"Mode\":\"bridged\"}],", "", "Network mode \"bridged\" is not known"},
        {"\"Networks\":[{\"Mode\":\"cni/\"}],", "", "Network mode \"cni/\" is not known"},
        {"\"Networks\":[{\"Mode\":\"cni/../x\"}],", "", "Network mode \"cni/../x\" is not known"},
        {"\"Networks\":[{\"Hostname\":\"h\"}],", "", "Network hostname \"h\" needs a network"},
        {"\"Networks\":[{\"Mode\":\"none\",\"CNIArgs\":{\"A\":\"1\"}}],", "",
         "need mode \"cni/NAME\""},
        {"\"Networks\":[{\"Mode\":\"cni/x\",\"CNIArgs\":{\"A\":\"1;B=2\"}}],", "",
         "without ; and ="},
        {"\"Networks\":[{\"DNS\":{\"Servers\":[\"a\\nb\"]}}],", "", "cannot be one of the servers"},
        {"", "\"LogConfig\":{\"Forward\":\"syslog\",\"Facility\":\"local7\",\"Tag\":\"x\"},", NULL},
        {"", "\"LogConfig\":{\"Forward\":\"kafka\"},", "logs cannot be forwarded to \"kafka\""},
        {"", "\"LogConfig\":{\"Forward\":\"syslog\",\"Facility\":\"local8\"},",
         "facility \"local8\""},
        {"", "\"LogConfig\":{\"Tag\":\"x\"},", "but are not forwarded"},
        {"\"Volumes\":{\"v\":{\"Type\":\"host\",\"Source\":\"s\"}},",
         "\"VolumeMounts\":[{\"Volume\":\"v\",\"Destination\":\"/x\"}],", NULL},
        {"\"Volumes\":{\"v\":{\"Type\":\"csi\",\"Source\":\"s\"}},", "", "volume type \"csi\" "},
        {"\"Volumes\":{\"v\":{\"Type\":\"host\",\"Source\":\"s\",\"PerAlloc\":true}},", "",
         "do not support per_alloc"},
        {"\"Volumes\":{\"v\":{\"Type\":\"host\",\"Source\":\"s\"}},",
         "\"VolumeMounts\":[{\"Volume\":\"v\",\"Destination\":\"/a/../b\"}],",
         "destination \"/a/../b\" is no place"},
        {"\"Volumes\":{\"v\":{\"Type\":\"host\",\"Source\":\"s\"}},",
         "\"VolumeMounts\":[{\"Volume\":\"v\",\"Destination\":\"/\"}],",
         "destination \"/\" is no place"},
        {"\"Volumes\":{\"v\":{\"Type\":\"host\",\"Source\":\"s\"}},",
         "\"VolumeMounts\":[{\"Volume\":\"v\",\"Destination\":\"/x\",\"PropagationMode\":"
         "\"bidirectional\"}],",
         "propagation_mode \"bidirectional\" "},
    };
    struct arena *a = arena_new(64 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *got = mistakes_in(a, cases[i].group, cases[i].task);
        if (cases[i].words == NULL)
            cr_expect_str_eq(got, "", "%s\n%s", cases[i].group, got);
        else
            cr_expect_not_null(strstr(got, cases[i].words), "%s\n%s", cases[i].group, got);
    }
    arena_free(a);
}

#define TASKS                                                                                      \
    "\"Tasks\":[{\"Name\":\"t\",\"Driver\":\"raw_exec\",\"Config\":{\"command\":\"true\"}}]"

static struct job_problems problems_of(struct arena *a, const char *text)
{
    struct reason why;
    struct job_problems p = {0};
    Pb__Job *job;
    cr_assert_eq(jobfile_parse(a, JOBFILE_JSON, "j", text, strlen(text), &job, &why), OK, "%s",
                 why.text);
    job_canonicalize(a, job);
    job_validate(a, job, &p);
    cr_assert_eq(p.count, 0, "%s", p.count > 0 ? p.texts[0] : "");
    return p;
}

/* Two groups with canaries. */
static struct job_problems promoted_by_themselves(struct arena *a, bool first, bool second)
{
    static const char text[] =
        "{\"ID\":\"j\",\"Datacenters\":[\"*\"],\"TaskGroups\":[{\"Name\":\"a\",\"Update\":{"
        "\"Canary\":1,"
        "\"AutoPromote\":%s}," TASKS
        "},{\"Name\":\"b\",\"Update\":{\"Canary\":1,\"AutoPromote\":%s}," TASKS
        "},{\"Name\":\"c\"," TASKS "}]}";
    return problems_of(a,
                       arena_printf(a, text, first ? "true" : "false", second ? "true" : "false"));
}

Test(validate, canaries_are_promoted_by_themselves_only_where_all_are)
{
    struct arena *a = arena_new(64 << 20);
    cr_assert_eq(promoted_by_themselves(a, true, true).warning_count, 0);
    cr_assert_eq(promoted_by_themselves(a, false, false).warning_count, 0);
    struct job_problems p = promoted_by_themselves(a, true, false);
    cr_assert_eq(p.warning_count, 1);
    cr_assert_str_eq(p.warnings[0],
                     "auto_promote must be true for all groups to enable automatic promotion");
    arena_free(a);
}

Test(validate, a_job_of_every_node_may_be_dispatched)
{
    struct arena *a = arena_new(64 << 20);
    problems_of(a,
                "{\"ID\":\"j\",\"Datacenters\":[\"*\"],\"Type\":\"sysbatch\",\"ParameterizedJob\":{"
                "\"Payload\":\"required\"},\"TaskGroups\":[{\"Name\":\"g\"," TASKS "}]}");
    arena_free(a);
}
