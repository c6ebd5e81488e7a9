#include "base/id.h"
#include "types.pb-c.h"
#include "wire/json.h"
#include "wire/names.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(struct arena *a, json_t *tree)
{
    struct strbuf s = STRBUF_INIT;
    json_text_write(&s, tree, false);
    const char *copy = arena_strdup(a, strbuf_text(&s));
    strbuf_free(&s);
    json_decref(tree);
    return copy;
}

static const char *error_of(struct arena *a, const char *text)
{
    struct reason why = {{0}};
    ProtobufCMessage *m;
    json_t *tree = json_text_parse(text, strlen(text), &why);
    if (tree != NULL &&
        wire_from_json(a, &pb__job__descriptor, tree, "Job", 1 << 20, &m, &why) == OK)
        snprintf(why.text, sizeof(why.text), "ok");
    json_decref(tree);
    return arena_strdup(a, why.text);
}

Test(names, follow_from_field_names)
{
    static const char *const cases[][2] = {
        {"id", "ID"},
        {"memory_max_mb", "MemoryMaxMB"},
        {"l_target", "LTarget"},
        {"kill_timeout_ns", "KillTimeout"},
        {"config_json", "Config"},
        {"csi_plugin_config_json", "CSIPluginConfig"},
        {"http_addr", "HTTPAddr"},
        {"mbits", "MBits"},
        {"max_file_size_mb", "MaxFileSizeMB"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char name[32];
        json_name_of(cases[i][0], name);
        cr_expect_str_eq(name, cases[i][1]);
    }
}

Test(names, enums_are_lower_case_with_exceptions)
{
    char buffer[32];
    int value;
    cr_expect_str_eq(
        json_enum_name(&pb__eval__status__descriptor, PB__EVAL__STATUS__CANCELLED, buffer),
        "canceled");
    cr_expect_str_eq(json_enum_name(&pb__node__status__descriptor, PB__NODE__STATUS__READY, buffer),
                     "ready");
    cr_expect_str_eq(json_enum_name(&pb__node__status__descriptor, 0, buffer), "");
    cr_expect(json_enum_value(&pb__eval__status__descriptor, "canceled", &value));
    cr_expect_eq(value, PB__EVAL__STATUS__CANCELLED);
    cr_expect_not(json_enum_value(&pb__eval__status__descriptor, "cancelled", &value));
}

Test(names, no_two_fields_of_a_type_share_one)
{
    const struct json_plan *plan = json_plan_of(&pb__job__descriptor);
    for (size_t i = 1; i < plan->count; i++)
        cr_expect_lt(strcmp(plan->fields[i - 1].name, plan->fields[i].name), 0, "%s",
                     plan->fields[i].name);
    cr_expect_not_null(json_plan_find(plan, "taskgroups"));
    cr_expect_null(json_plan_find(plan, "taskgroup"));
}

Test(pieces, times_are_rfc3339_without_trailing_zeros)
{
    struct arena *a = arena_new(1 << 20);
    cr_expect_str_eq(text_of(a, json_rfc3339(0)), "null");
    cr_expect_str_eq(text_of(a, json_rfc3339(1795426927500000000)), "\"2026-11-23T09:42:07.5Z\"");
    cr_expect_str_eq(text_of(a, json_rfc3339(1795426927000000000)), "\"2026-11-23T09:42:07Z\"");
    arena_free(a);
}

Test(pieces, bytes_that_are_not_utf8_are_replaced)
{
    struct arena *a = arena_new(1 << 20);
    cr_expect_str_eq(text_of(a, json_text("a\xff\xed\xa0\x80z")),
                     "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
    cr_expect_str_eq(text_of(a, json_text("h\xc3\xa9 <&>")), "\"h\xc3\xa9 <&>\"");
    json_t *object = json_object();
    json_put(object, "k\xff", json_integer(1));
    cr_expect_str_eq(text_of(a, object), "{\"k\xef\xbf\xbd\":1}");
    arena_free(a);
}

Test(encode, an_empty_message_has_every_field)
{
    struct arena *a = arena_new(1 << 20);
    Pb__Resources r = PB__RESOURCES__INIT;
    cr_expect_str_eq(
        text_of(a, wire_to_json(&r.base)),
        "{\"CPU\":0,\"Cores\":0,\"Devices\":null,\"DiskMB\":0,\"IOPS\":0,\"MemoryMB\":0,"
        "\"MemoryMaxMB\":0,\"Networks\":null}");
    Pb__TaskGroup g = PB__TASK_GROUP__INIT;
    json_t *tree = wire_to_json(&g.base);
    cr_expect(json_is_null(json_object_get(tree, "ShutdownDelay")));
    cr_expect_str_eq(text_of(a, json_incref(json_object_get(tree, "Consul"))),
                     "{\"Namespace\":\"\"}");
    json_decref(tree);
    arena_free(a);
}

Test(encode, secrets_and_inner_fields_are_not_shown)
{
    struct arena *a = arena_new(1 << 20);
    struct id id = id_new();
    Pb__Node n = PB__NODE__INIT;
    n.has_secret_id = 1;
    n.secret_id = wire_id(a, id.bytes);
    char text[ID_TEXT_SIZE];
    id_format(id.bytes, text);
    const char *shown = text_of(a, wire_to_json(&n.base));
    cr_expect_null(strstr(shown, text));
    cr_expect_not_null(strstr(shown, "\"SecretID\":\"\""));
    arena_free(a);
}

Test(encode, numbers_of_a_driver_s_config_are_reals)
{
    struct arena *a = arena_new(1 << 20);
    Pb__Task t = PB__TASK__INIT;
    t.config_json =
        (char *)(uintptr_t) "{\"n\":1,\"l\":[1,{\"k\":2}],\"s\":\"1\",\"f\":0.1,\"z\":null}";
    json_t *tree = wire_to_json(&t.base);
    cr_expect_str_eq(text_of(a, json_incref(json_object_get(tree, "Config"))),
                     "{\"f\":0.1,\"l\":[1.0,{\"k\":2.0}],\"n\":1.0,\"s\":\"1\",\"z\":null}");
    json_decref(tree);
    arena_free(a);
}

Test(decode, keys_match_without_case_and_unknown_ones_are_ignored)
{
    struct arena *a = arena_new(1 << 20);
    const char *text =
        "{\"id\":\"x\",\"TASKGROUPS\":[{\"name\":\"g\",\"Bogus\":{\"a\":[1]}}],"
        "\"Meta\":{\"b\":\"2\",\"a\":\"1\"},\"Version\":\"ignored\",\"Priority\":null}";
    struct reason why = {{0}};
    ProtobufCMessage *m;
    json_t *tree = json_text_parse(text, strlen(text), &why);
    cr_assert_eq(wire_from_json(a, &pb__job__descriptor, tree, "Job", 1 << 20, &m, &why), OK, "%s",
                 why.text);
    const Pb__Job *job = (const Pb__Job *)m;
    cr_expect_str_eq(job->id, "x");
    cr_expect_str_eq(job->task_groups[0]->name, "g");
    cr_expect_str_eq(job->meta[0]->key, "a");
    cr_expect_not(job->has_priority);
    cr_expect_not(job->has_version);
    json_decref(tree);
    arena_free(a);
}

/* For validation to refuse, wherever that is. */
Test(decode, a_negative_number_is_passed_on_as_it_is)
{
    struct arena *a = arena_new(1 << 20);
    static const char text[] = "{\"Priority\":-7,\"TaskGroups\":[{\"Count\":-1}]}";
    struct reason why = {{0}};
    ProtobufCMessage *m;
    json_t *tree = json_text_parse(text, strlen(text), &why);
    cr_assert_eq(wire_from_json(a, &pb__job__descriptor, tree, "Job", 1 << 20, &m, &why), OK);
    json_decref(tree);
    const char *again = text_of(a, wire_to_json(m));
    cr_expect_not_null(strstr(again, "\"Priority\":-7"), "%s", again);
    cr_expect_not_null(strstr(again, "\"Count\":-1"), "%s", again);
    arena_free(a);
}

Test(decode, errors_read_as_those_of_go)
{
    static const char *const cases[][2] = {
        {"{\"Priority\":\"50\"}",
         "json: cannot unmarshal string into Go struct field Job.Job.Priority of type int"},
        {"{\"Datacenters\":\"dc1\"}",
         "json: cannot unmarshal string into Go struct field Job.Job.Datacenters of type []string"},
        {"{\"Priority\":50.5}",
         "json: cannot unmarshal number 50.5 into Go struct field Job.Job.Priority of type int"},
        {"{\"TaskGroups\":[{\"RestartPolicy\":{\"Interval\":\"1m\"}}]}",
         "json: cannot unmarshal string into Go struct field "
         "RestartPolicy.Job.TaskGroups.RestartPolicy.Interval of type time.Duration"},
        {"{\"ID\":5}",
         "json: cannot unmarshal number into Go struct field Job.Job.ID of type string"},
        {"{\"TaskGroups\":[{\"Tasks\":[{\"Env\":{\"A\":1}}]}]}",
         "json: cannot unmarshal number into Go struct field Task.Job.TaskGroups.Tasks.Env of type "
         "string"},
        {"{\"Job\":", "unexpected EOF"},
        {"\x1f\x8b", "invalid character '\\x1f' looking for beginning of value"},
        {"{a:1}", "invalid character 'a' looking for beginning of object key string"},
        {"{\"a\" 1}", "invalid character '1' after object key"},
        {"{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"},
        {"[1 2]", "invalid character '2' after array element"},
        {"{\"a\":tru}", "invalid character '}' in literal true (expecting 'e')"},
        {"{\"a\":\"\n\"}", "invalid character '\\n' in string literal"},
        {"{\"ID\":\"x\"} trailing", "ok"},
    };
    struct arena *a = arena_new(1 << 22);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        cr_expect_str_eq(error_of(a, cases[i][0]), cases[i][1]);
    arena_free(a);
}

Test(decode, a_small_text_cannot_become_a_large_message)
{
    struct arena *a = arena_new(64 << 20);
    struct strbuf s = STRBUF_INIT;
    struct reason why = {{0}};
    ProtobufCMessage *m;
    strbuf_puts(&s, "{\"TaskGroups\":[{}");
    for (int i = 0; i < 100000; i++)
        strbuf_puts(&s, ",{}");
    strbuf_puts(&s, "]}");
    json_t *tree = json_text_parse(s.data, s.len, &why);
    cr_expect_eq(wire_from_json(a, &pb__job__descriptor, tree, "Job", 1 << 20, &m, &why),
                 ERR_NO_SPACE);
    cr_expect_lt(arena_used(a), 4u << 20);
    json_decref(tree);
    strbuf_free(&s);
    arena_free(a);
}

/* A canonical job goes through a message and comes out the same. */
static void round_trip(const char *path)
{
    struct arena *a = arena_new(64 << 20);
    struct reason why = {{0}};
    ProtobufCMessage *m;
    json_t *file = json_load_file(path, 0, NULL), *job = json_object_get(file, "Job");
    if (job == NULL)
        job = file;
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(wire_from_json(a, &pb__job__descriptor, job, "Job", 32 << 20, &m, &why), OK,
                 "%s: %s", path, why.text);
    json_t *out = wire_to_json(m), *again;
    ProtobufCMessage *m2;
    cr_assert_eq(wire_from_json(a, &pb__job__descriptor, out, "Job", 32 << 20, &m2, &why), OK);
    again = wire_to_json(m2);
    cr_expect(json_equal(out, again), "%s", path);
    const char *key;
    json_t *value;
    json_object_foreach(job, key,
                        value) if (strcmp(key, "Reschedule") != 0 && strcmp(key, "Migrate") != 0)
        cr_expect_not_null(json_object_get(out, key), "%s: %s is missing", path, key);
    json_decref(again);
    json_decref(out);
    json_decref(file);
    arena_free(a);
}

Test(decode, canonical_jobs_go_through_a_message_unharmed)
{
    DIR *dir = opendir(JOBS_DIR);
    cr_assert_not_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[512];
        if (strstr(e->d_name, ".canonical.json") == NULL)
            continue;
        snprintf(path, sizeof(path), "%s/%s", JOBS_DIR, e->d_name);
        round_trip(path);
    }
    closedir(dir);
}
