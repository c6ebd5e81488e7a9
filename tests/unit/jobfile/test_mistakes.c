/* One row per mistake in a job file, with the exact words it is refused with. */
#include "base/err.h"
#include "jobfile/jobfile.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB(inside) "id = \"j\"; datacenters = [ \"dc1\" ];\n" inside
#define GROUP(inside)                                                                              \
    JOB("groups = ( { name = \"g\"; tasks = ( { name = \"t\"; driver = \"mock\"; } );\n" inside    \
        " } );")
#define TASK(inside)                                                                               \
    JOB("groups = ( { name = \"g\"; tasks = ( { name = \"t\"; driver = \"mock\";\n" inside         \
        " } ); } );")

static const struct row {
    const char *text, *words;
} native_rows[] =
    {
        /* syntax */
        {"id = \"j\"\ngroups = ( { ;\n", "f.job:2: syntax error"},
        {"id = \"j\";\nid = \"k\";", "f.job:2: duplicate setting name"},
        {"id = \"j\n\n", "f.job:1: a text begins here and never ends: \" missing"},
        {"id = \"j\\x00k\";", "f.job:1: a text must not hold NUL (\\x00)"},
        {"id = \"\\xff\";", "f.job:1: a text that is not UTF-8"},
        {"# hi\n@include \"/etc/passwd\"\n",
         "f.job:2: @include is not supported: put the whole job into one file"},
        {"priority = 4294967346;",
         "f.job:1: the number 4294967346 is too large, unless it is written 4294967346L"},
        {"priority = 99999999999999999999999L;",
         "f.job:1: the number 99999999999999999999999L is too large"},
        {"job = 1;", "f.job:1: job: is a number, must be a group: { ... }"},
        {"job = { id = \"j\"; };\npriority = 1;",
         "f.job:2: priority: stands beside \"job\": put it into the braces of job = { ... }"},
        /* keys */
        {JOB("prioritty = 5;"),
         "f.job:2: job.prioritty: unknown key \"prioritty\": did you mean \"priority\"?"},
        {JOB("status = \"dead\";"), "f.job:2: job.status: unknown key \"status\": known here are "
                                    "namespace, id, name, region, type, "
                                    "priority, datacenters, all_at_once, constraints, affinities, "
                                    "spreads, groups, update, periodic, "
                                    "parameterized, meta"},
        {GROUP("cuont = 2;"),
         "f.job:3: job.groups[0].cuont: unknown key \"cuont\": did you mean \"count\"?"},
        {GROUP("task = ( );"),
         "f.job:3: job.groups[0].task: is given twice, here under another name"},
        {TASK("resources = { memry = 5; };"), "f.job:3: job.groups[0].tasks[0].resources.memry: "
                                              "unknown key \"memry\": did you mean \"memory\"?"},
        {TASK("kill_timout = \"5s\";"), "f.job:3: job.groups[0].tasks[0].kill_timout: unknown key "
                                        "\"kill_timout\": did you mean \"kill_timeout\"?"},
        /* types */
        {JOB("priority = \"50\";"),
         "f.job:2: job.priority: is a text, must be a whole number from 0 to 2147483647"},
        {JOB("priority = 50.5;"),
         "f.job:2: job.priority: is a decimal number, must be a whole number from 0 to 2147483647"},
        {JOB("type = 5;"), "f.job:2: job.type: is a number, must be a text in double quotes"},
        {"id = \"j\";\ndatacenters = \"dc1\";",
         "f.job:2: job.datacenters: is a text, must be a list of texts: [ \"a\", \"b\" ]"},
        {"id = \"j\";\ndatacenters = [ 1 ];",
         "f.job:2: job.datacenters[0]: is a number, must be a text in double quotes"},
        {JOB("groups = \"g\";"),
         "f.job:2: job.groups: is a text, must be a list of groups: ( { ... }, { ... } )"},
        {JOB("groups = ( \"g\" );"), "f.job:2: job.groups[0]: is a text, must be a group: { ... }"},
        {JOB("all_at_once = 1;"), "f.job:2: job.all_at_once: is a number, must be true or false"},
        {TASK("config = \"x\";"),
         "f.job:3: job.groups[0].tasks[0].config: is a text, must be a group: { ... }"},
        {TASK("env = { A = [ 1 ]; };"),
         "f.job:3: job.groups[0].tasks[0].env.A: is a list, must be a text, a "
         "number, or true or false"},
        {TASK("env = ( { key = \"A\"; } );"),
         "f.job:3: job.groups[0].tasks[0].env[0]: must be { key = \"...\"; value = \"...\"; }"},
        {TASK("env = ( { key = \"A\"; value = \"1\"; }, { key = \"A\"; value = \"2\"; } );"),
         "f.job:3: job.groups[0].tasks[0].env: \"A\" is given twice"},
        /* numbers and durations */
        {GROUP("count = -1;"),
         "f.job:3: job.groups[0].count: -1 is out of range, must be from 0 to 1000000"},
        {GROUP("count = 1000001;"),
         "f.job:3: job.groups[0].count: 1000001 is out of range, must be from 0 to 1000000"},
        {TASK("resources = { cpu = -5; };"), "f.job:3: job.groups[0].tasks[0].resources.cpu: -5 is "
                                             "out of range, must be from 0 to 10000000"},
        {TASK("kill_timeout = 5;"),
         "f.job:3: job.groups[0].tasks[0].kill_timeout: 5 has no unit, must be a "
         "duration such as \"5s\", \"250ms\" or \"1h30m\""},
        {TASK("kill_timeout = \"soon\";"),
         "f.job:3: job.groups[0].tasks[0].kill_timeout: \"soon\" is not a "
         "duration such as \"5s\", \"250ms\" or \"1h30m\""},
        {TASK("kill_timeout = \"-5s\";"),
         "f.job:3: job.groups[0].tasks[0].kill_timeout: \"-5s\" is negative, "
         "must be a duration such as \"5s\", \"250ms\" or \"1h30m\""},
        {GROUP("networks = ( { ports = ( { label = \"p\"; static = 0; } ); } );"),
         "f.job:3: job.groups[0].networks[0].ports[0].static: 0 is out of range, must be from 1 to "
         "65535"},
        {GROUP("networks = ( { ports = ( { label = \"p\"; static = 70000; } ); } );"),
         "f.job:3: job.groups[0].networks[0].ports[0].static: 70000 is out of range, must be from "
         "1 to 65535"},
        {JOB("constraints = ( { attribute = \"a\"; version = \">= 1\"; semver = \">= 1\"; } );"),
         "f.job:2: job.constraints[0].semver: is given twice, here under another name"},
        {JOB("constraints = ( { attribute = \"a\"; operator = \"=\"; version = \">= 1\"; } );"),
         "f.job:2: job.constraints[0].version: the operator is already given as ="},
        {JOB("constraints = ( { distinct_hosts = \"yes\"; } );"),
         "f.job:2: job.constraints[0].distinct_hosts: is a text, must be true or false"},
},
  json_rows[] = {
      {"", "f.job:1: not JSON: '[' or '{' expected near end of file"},
      {"{\n\"Job\": {,", "f.job:2: not JSON: string or '}' expected near ','"},
      {"{\"Job\": {\"ID\": \"a\\u0000b\"}}", "f.job:1: a text must not hold NUL (\\u0000)"},
      {"[1]", "f.job: Job: is a list, must be an object"},
      {"{\"Job\": null}", "f.job: Job: the job is missing"},
      {"{\"Job\": 5}", "f.job: Job: is a number, must be an object"},
      {"{\"Priority\": \"50\"}",
       "f.job: Job.Priority: is a text, must be a whole number from 0 to 2147483647"},
      {"{\"Priority\": 1e3}",
       "f.job: Job.Priority: is a decimal number, must be a whole number from 0 to 2147483647"},
      {"{\"Priority\": 3000000000}",
       "f.job: Job.Priority: 3000000000 is out of range, must be from 0 to 2147483647"},
      {"{\"TaskGroups\": [{\"RestartPolicy\": {\"Interval\": \"1m\"}}]}",
       "f.job: Job.TaskGroups[0].RestartPolicy.Interval: is a text, must be a whole number of "
       "nanoseconds"},
      {"{\"TaskGroups\": [{\"Tasks\": [{\"Env\": {\"A\": 1}}]}]}",
       "f.job: Job.TaskGroups[0].Tasks[0].Env.A: is a number, must be a text"},
      {"{\"Meta\": [\"x\"]}", "f.job: Job.Meta: is a list, must be an object of texts"},
      {"{\"Datacenters\": \"dc1\"}", "f.job: Job.Datacenters: is a text, must be a list of texts"},
};

static void check(enum jobfile_format format, const struct row *row, size_t len)
{
    struct arena *a = arena_new(256 << 20);
    struct reason why = {""};
    Pb__Job *job;
    enum err e = jobfile_parse(a, format, "f.job", row->text, len, &job, &why);
    cr_expect_neq(e, OK, "accepted: %.200s", row->text);
    cr_expect_str_eq(why.text, row->words, "%.200s\ngot:    %s\nwanted: %s", row->text, why.text,
                     row->words);
    arena_free(a);
}

Test(mistakes, of_the_native_form_are_told_with_line_and_key)
{
    for (size_t i = 0; i < COUNT_OF(native_rows); i++)
        check(JOBFILE_LIBCONFIG, &native_rows[i], strlen(native_rows[i].text));
}

Test(mistakes, of_the_json_form_are_told_with_the_key)
{
    for (size_t i = 0; i < COUNT_OF(json_rows); i++)
        check(JOBFILE_JSON, &json_rows[i], strlen(json_rows[i].text));
}

Test(mistakes, a_raw_nul_byte_is_refused)
{
    static const struct row row = {"id = \"j\"; \0 priority = 5;", "f.job:1: a NUL byte"};
    check(JOBFILE_LIBCONFIG, &row, 25);
}

/* ---- what is large or deep is refused quickly */

static char *repeated(const char *before, const char *piece, size_t times, const char *after)
{
    struct strbuf {
        char *data;
        size_t len;
    } s = {xmalloc(strlen(before) + strlen(piece) * times + strlen(after) + 1), 0};
    s.len = strlen(strcpy(s.data, before));
    for (size_t i = 0; i < times; i++) {
        memcpy(s.data + s.len, piece, strlen(piece));
        s.len += strlen(piece);
    }
    strcpy(s.data + s.len, after);
    return s.data;
}

Test(mistakes, too_large_too_deep_and_too_many_are_refused, .timeout = 20)
{
    const struct {
        enum jobfile_format format;
        char *text;
        const char *words;
    } rows[] = {
        {JOBFILE_LIBCONFIG, repeated("id = \"", "xxxxxxxxxx", 1000000, "\";"),
         "f.job: 10000008 bytes are too many for a job file: at most 1048576"},
        {JOBFILE_JSON, repeated("{\"ID\": \"", "xxxxxxxxxx", 1000000, "\"}"),
         "f.job: 10000010 bytes are too many for a job file: at most 1048576"},
        {JOBFILE_LIBCONFIG, repeated("a = ", "(", 500000, ""),
         "f.job:1: nested deeper than 64 levels"},
        {JOBFILE_JSON, repeated("", "[", 500000, ""),
         "f.job:1: not JSON: maximum parsing depth reached near '['"},
        {JOBFILE_JSON, repeated("{\"TaskGroups\": [{}", ",{}", 300000, "]}"),
         "f.job: Job.TaskGroups[19999]: more than 20000 groups in one job"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct row row = {rows[i].text, rows[i].words};
        check(rows[i].format, &row, strlen(rows[i].text));
        free(rows[i].text);
    }
}

/* ---- and what is right is read as it was meant */

static Pb__Job *parse(struct arena *a, enum jobfile_format format, const char *text)
{
    struct reason why = {""};
    Pb__Job *job = NULL;
    cr_assert_eq(jobfile_parse(a, format, "f", text, strlen(text), &job, &why), OK, "%s", why.text);
    return job;
}

Test(jobfile, the_native_form_is_read_as_meant)
{
    struct arena *a = arena_new(64 << 20);
    Pb__Job *job =
        parse(a, JOBFILE_LIBCONFIG,
              "job = { name = \"web\"; datacenters = [ \"dc1\", \"dc2\" ]; meta = { b = 2; a = "
              "\"x\"; };\n"
              "constraint = { attribute = \"${attr.kernel.name}\"; value = \"linux\"; };\n"
              "group = { name = \"g\"; count = 3; constraints = ( { distinct_hosts = true; },\n"
              "    { attribute = \"${attr.os.version}\"; version = \">= 10\"; } );\n"
              "  network = { ports = ( { label = \"http\"; static = 80; }, { label = \"db\"; to = "
              "-1; } ); };\n"
              "  task = { name = \"t\"; driver = \"raw_exec\"; kill_timeout = \"1m30s\";\n"
              "    env = ( { key = \"a.b\"; value = true; } );\n"
              "    config = { command = \"/bin/x\"; args = [ \"a\\\"b\" ]; n = 5; f = 1.0; b = "
              "false; big = 5000000000L; };\n"
              "  };\n"
              "}; };");
    Pb__TaskGroup *g = job->task_groups[0];
    Pb__Task *t = g->tasks[0];
    cr_expect_str_eq(job->id, "web");
    cr_expect_eq(job->n_datacenters, 2);
    cr_expect_str_eq(job->meta[0]->key, "a");
    cr_expect_str_eq(job->meta[1]->value, "2");
    cr_expect_str_eq(job->constraints[0]->operand, "=");
    cr_expect_str_eq(g->constraints[0]->operand, "distinct_hosts");
    cr_expect_str_eq(g->constraints[1]->operand, "version");
    cr_expect_str_eq(g->constraints[1]->r_target, ">= 10");
    cr_expect_eq(g->networks[0]->reserved_ports[0]->value, 80);
    cr_expect_str_eq(g->networks[0]->dynamic_ports[0]->label, "db");
    cr_expect_eq(g->networks[0]->dynamic_ports[0]->to, -1);
    cr_expect_eq(t->kill_timeout_ns, 90000000000ll);
    cr_expect_str_eq(t->env[0]->key, "a.b");
    cr_expect_str_eq(t->env[0]->value, "true");
    cr_expect_str_eq(t->config_json,
                     "{\"command\":\"/bin/x\",\"args\":[\"a\\\"b\"],\"n\":5,\"f\":1.0,\"b\":false,"
                     "\"big\":5000000000}");
    arena_free(a);
}

Test(jobfile, json_keys_match_without_case_and_unknown_ones_are_ignored)
{
    struct arena *a = arena_new(64 << 20);
    Pb__Job *job =
        parse(a, JOBFILE_JSON,
              "{\"job\": {\"id\": \"x\", \"BOGUS\": {\"a\": 1}, \"TASKGROUPS\": [{\"count\": 2}],"
              " \"Status\": \"dead\", \"Version\": 7}} trailing");
    cr_expect_str_eq(job->id, "x");
    cr_expect_eq(job->task_groups[0]->count, 2);
    cr_expect_null(job->status, "the servers' own fields are not read");
    cr_expect_not(job->has_version);
    arena_free(a);
}

Test(jobfile, the_format_is_guessed_by_the_first_letter)
{
    struct arena *a = arena_new(64 << 20);
    cr_expect_str_eq(parse(a, JOBFILE_GUESS, " \n{\"ID\": \"x\"}")->id, "x");
    cr_expect_str_eq(parse(a, JOBFILE_GUESS, "# { \nid = \"y\";")->id, "y");
    arena_free(a);
}
