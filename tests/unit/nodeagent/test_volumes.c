/* The node's volumes as its settings name them, and what a task's mount of one is. */
#include "nodeagent/volumes.h"
#include <criterion/criterion.h>
#include <string.h>

static struct arena *a;
static Pb__Node node = PB__NODE__INIT;

static void begin(void)
{
    struct reason why;
    a = arena_new(1 << 20);
    cr_assert_eq(volumes_parse(a, "scratch=/srv/s, certs=/etc/ssl:ro,big=/a=b:rw", &node, &why), OK,
                 "%s", why.text);
}
static void end(void)
{
    arena_free(a);
}
TestSuite(volumes, .init = begin, .fini = end);

Test(volumes, are_sorted_by_name_and_some_are_for_reading_alone)
{
    cr_assert_eq(node.n_host_volumes, 3);
    cr_expect_str_eq(node.host_volumes[0]->name, "big");
    cr_expect_str_eq(node.host_volumes[0]->path, "/a=b");
    cr_expect_str_eq(node.host_volumes[1]->path, "/etc/ssl");
    cr_expect(node.host_volumes[1]->read_only && !node.host_volumes[2]->read_only);
}

Test(volumes, none_is_none)
{
    Pb__Node other = PB__NODE__INIT;
    cr_expect_eq(volumes_parse(a, "", &other, NULL), OK);
    cr_expect_eq(other.n_host_volumes, 0);
}

Test(volumes, a_mistake_is_refused_with_its_place)
{
    static const char *const cases[][2] = {
        {"scratch", "\"scratch\" is not NAME=PATH"},
        {"=/x", "the name \"\""},
        {"a b=/x", "the name \"a b\""},
        {"a=x", "\"x\" of a is not an absolute path"},
        {"a=:ro", "is not an absolute path"},
        {"a=/x,b=/y,a=/z", "\"a\" is there twice"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Pb__Node other = PB__NODE__INIT;
        struct reason why = {""};
        cr_expect_eq(volumes_parse(a, cases[i][0], &other, &why), ERR_INVALID, "%s", cases[i][0]);
        cr_expect(strstr(why.text, cases[i][1]) != NULL, "%s: %s", cases[i][0], why.text);
    }
}

static Pb__VolumeRequest request = PB__VOLUME_REQUEST__INIT;
static Pb__VolumeMount mount = PB__VOLUME_MOUNT__INIT;

static enum err find(const char *source, bool group_reads, bool task_reads,
                     struct volume_place *out, struct reason *why)
{
    Pb__TaskGroup group = PB__TASK_GROUP__INIT;
    Pb__VolumeRequest *requests[] = {&request};
    request.name = (char[]){"v"};
    request.source = arena_strdup(a, source);
    request.read_only = group_reads;
    mount.read_only = task_reads;
    group.volumes = requests;
    group.n_volumes = 1;
    return volumes_find(&node, &group, &mount, out, why);
}

Test(volumes, a_task_writes_where_nobody_says_that_it_must_not)
{
    static const struct {
        const char *source;
        bool group, task, writes;
    } cases[] = {{"scratch", false, false, true},
                 {"scratch", true, false, false},
                 {"scratch", false, true, false},
                 {"certs", false, false, false},
                 {"certs", true, true, false}};
    mount.volume = (char[]){"v"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct volume_place place;
        cr_assert_eq(find(cases[i].source, cases[i].group, cases[i].task, &place, NULL), OK);
        cr_expect_eq(place.writable, cases[i].writes, "case %zu", i);
    }
}

Test(volumes, what_is_not_there_is_said)
{
    struct volume_place place;
    struct reason why;
    mount.volume = (char[]){"v"};
    cr_expect_eq(find("other", false, false, &place, &why), ERR_NOT_FOUND);
    cr_expect_str_eq(why.text, "this node has no host volume \"other\"");
    mount.volume = (char[]){"w"};
    cr_expect_eq(find("scratch", false, false, &place, &why), ERR_INVALID);
    cr_expect_str_eq(why.text, "volume_mount: the group has no volume \"w\"");
}
