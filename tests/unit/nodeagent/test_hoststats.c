#include "nodeagent/hoststats.h"
#include "nodeagent/nodemeta.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void put_file(const char *root, const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/proc/%s", root, name);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static double cpu_part(const json_t *stats, size_t i, const char *part)
{
    return json_number_value(
        json_object_get(json_array_get(json_object_get(stats, "CPU"), i), part));
}

Test(hoststats, shares_of_each_core_are_of_the_time_between_the_looks)
{
    char root[] = "/tmp/norn-hoststats-XXXXXX", proc[300], clean[300];
    static struct host_look first, second;
    cr_assert_not_null(mkdtemp(root));
    snprintf(proc, sizeof proc, "%s/proc", root);
    cr_assert_eq(mkdir(proc, 0755), 0);
    put_file(root, "meminfo", "MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable: 600 kB\n");
    put_file(root, "uptime", "61.5 100.0\n");
    put_file(root, "stat",
             "cpu  20 0 20 40 0 0 0 0\ncpu0 10 0 10 20 0 0 0 0\ncpu1 10 0 10 20 0 0 0 0\nintr 5\n");
    host_look_at(&first, root, 1000);
    put_file(root, "stat",
             "cpu  90 0 30 80 0 0 0 0\ncpu0 60 0 30 50 0 0 0 0\ncpu1 10 0 10 20 0 0 0 0\nintr 9\n");
    host_look_at(&second, root, 2000);
    json_t *stats = host_stats_json(&first, &second, root, 1000);
    cr_assert_eq(json_array_size(json_object_get(stats, "CPU")), 2, "the sum of all is no core");
    cr_expect_float_eq(cpu_part(stats, 0, "User"), 50, 1e-9);
    cr_expect_float_eq(cpu_part(stats, 0, "System"), 20, 1e-9);
    cr_expect_float_eq(cpu_part(stats, 0, "Idle"), 30, 1e-9);
    cr_expect_float_eq(cpu_part(stats, 0, "Total"), 70, 1e-9);
    cr_expect_float_eq(cpu_part(stats, 1, "Total"), 0, 1e-9, "nothing has passed there");
    cr_expect_float_eq(json_number_value(json_object_get(stats, "CPUTicksConsumed")), 700, 1e-6);
    cr_expect_eq(json_integer_value(json_object_get(stats, "Uptime")), 61);
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(stats, "Memory"), "Used")),
                 400 * 1024);
    cr_expect_gt(
        json_integer_value(json_object_get(json_object_get(stats, "AllocDirStats"), "Size")), 0);
    json_decref(stats);
    snprintf(clean, sizeof clean, "rm -r %s", root);
    cr_assert_eq(system(clean), 0);
}

/* ---- metadata */

static int changes;

static void on_changed(void *owner)
{
    changes++;
}

static Pb__KeyValue pair(const char *key, const char *value)
{
    Pb__KeyValue p = PB__KEY_VALUE__INIT;
    p.key = (char *)key;
    p.value = (char *)value;
    return p;
}

static char *text_of(const struct nodemeta *m)
{
    json_t *tree = nodemeta_json(m);
    char *text = json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(tree);
    return text;
}

static bool is_told(const struct nodemeta *m, const char *want)
{
    char *text = text_of(m);
    bool same = strcmp(text, want) == 0;
    free(text);
    return same;
}

Test(nodemeta, what_is_set_wins_over_the_settings_and_is_kept)
{
    char dir[] = "/tmp/norn-nodemeta-XXXXXX", clean[300];
    struct local *local;
    struct reason why;
    Pb__LocalNode identity = PB__LOCAL_NODE__INIT;
    Pb__KeyValue fixed[] = {pair("a", "1"), pair("b", "2")},
                 set[] = {pair("b", NULL), pair("c", "3"), pair("a", "x")};
    Pb__KeyValue *fixed_list[] = {&fixed[0], &fixed[1]}, *set_list[] = {&set[0], &set[1], &set[2]};
    Pb__Node node = PB__NODE__INIT;
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(local_open(&local, dir, &why), OK, "%s", why.text);
    cr_assert_eq(local_put_node(local, &identity, &why), OK);
    node.meta = fixed_list;
    node.n_meta = 2;
    const struct nodemeta_options o = {local, &node, on_changed, NULL};
    struct nodemeta *m = nodemeta_new(&o);
    cr_expect(is_told(m, "{\"Dynamic\":{},\"Meta\":{\"a\":\"1\",\"b\":\"2\"},\"Static\":{\"a\":"
                         "\"1\",\"b\":\"2\"}}"));
    changes = 0;
    cr_assert_eq(nodemeta_set(m, set_list, 3, &why), OK);
    cr_expect_eq(changes, 1);
    static const char *const after =
        "{\"Dynamic\":{\"a\":\"x\",\"b\":null,\"c\":\"3\"},\"Meta\":{\"a\":\"x\",\"c\":\"3\"},"
        "\"Static\":{\"a\":\"1\",\"b\":\"2\"}}";
    cr_expect(is_told(m, after));
    cr_expect_eq(node.n_meta, 2);
    cr_expect_str_eq(node.meta[1]->key, "c");
    Pb__KeyValue bad = pair("no space", "x"), *bad_list[] = {&bad};
    cr_expect_eq(nodemeta_set(m, bad_list, 1, &why), ERR_INVALID);
    cr_expect_eq(changes, 1);
    nodemeta_free(m);
    node.meta = fixed_list;
    node.n_meta = 2;
    m = nodemeta_new(&o);
    cr_expect(is_told(m, after));
    nodemeta_free(m);
    local_close(local);
    snprintf(clean, sizeof clean, "rm -r %s", dir);
    cr_assert_eq(system(clean), 0);
}
