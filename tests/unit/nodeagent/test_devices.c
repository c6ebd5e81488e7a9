#include "nodeagent/devices.h"
#include "nodeagent/taskenv.h"
#include <criterion/criterion.h>
#include <string.h>

static enum err add(struct arena *a, Pb__Node *n, const char *text, struct reason *why)
{
    return devices_add(a, text, strlen(text), n, why);
}

#define GPUS                                                                                       \
    "{\"devices\": [{\"vendor\": \"nvidia\", \"type\": \"gpu\", \"name\": \"1080ti\", "            \
    "\"instances\": [\"1\", {\"id\": \"0\", \"healthy\": false, \"health_description\": "          \
    "\"hot\"}],"                                                                                   \
    "\"attributes\": {\"memory\": \"11 GiB\", \"cores\": 3584, \"ecc\": false, "                   \
    "\"path\": \"/dev/nvidia{id}, /dev/nvidiactl\", \"env\": \"NVIDIA_VISIBLE_DEVICES\"}}, "       \
    "{\"vendor\": \"amd\", \"type\": \"gpu\", \"name\": \"v\", \"instances\": [\"x\"]}]}"

Test(devices, are_listed_in_order_with_what_is_known_of_them)
{
    struct arena *a = arena_new(1 << 20);
    struct reason why = {""};
    Pb__Node n = PB__NODE__INIT, same = PB__NODE__INIT;
    cr_assert_eq(add(a, &n, GPUS, &why), OK, "%s", why.text);
    cr_assert_eq(n.n_devices, 2);
    cr_assert_str_eq(n.devices[0]->vendor, "amd");
    const Pb__NodeDevice *d = n.devices[1];
    cr_assert_eq(d->n_instances, 2);
    cr_assert_str_eq(d->instances[0]->id, "0");
    cr_assert(!d->instances[0]->healthy && d->instances[1]->healthy);
    cr_assert_str_eq(d->instances[0]->health_description, "hot");
    cr_assert_str_eq(device_attribute_of(d, "cores"), "3584");
    cr_assert_str_eq(device_attribute_of(d, "ecc"), "false");
    cr_assert_null(device_attribute_of(d, "absent"));
    cr_assert_eq(add(a, &same, GPUS, &why), OK);
    cr_assert(devices_are_same(&n, &same));
    same.devices[1]->instances[0]->healthy = true;
    cr_assert_not(devices_are_same(&n, &same));
    arena_free(a);
}

Test(devices, that_are_mistaken_are_refused_with_the_place)
{
    static const char *const cases[][2] = {
        {"", "line 1: not JSON: '[' or '{' expected near end of file"},
        {"{\"devices\": 5}", "must be an object with a list \"devices\""},
        {"[]", "must be an object with a list \"devices\""},
        {"{\"devices\": [], \"more\": 1}", "unknown key \"more\""},
        {"{\"devices\": [7]}", "devices[0]: a device must be an object"},
        {"{\"devices\": [{\"vendor\": 1}]}", "devices[0]: \"vendor\" must be a text"},
        {"{\"devices\": [{\"model\": \"x\"}]}", "devices[0]: unknown key \"model\""},
        {"{\"devices\": [{\"vendor\": \"a\", \"type\": \"b\", \"name\": \"c\"}]}",
         "devices[0]: \"instances\" must be a list of at most 1024"},
        {"{\"devices\": [{\"vendor\": \"a\", \"type\": \"b\", \"name\": \"c\", \"instances\": "
         "[1]}]}",
         "devices[0]: an instance must be a text or an object"},
        {"{\"devices\": [{\"vendor\": \"a\", \"type\": \"b\", \"name\": \"c\", \"instances\": "
         "[\"x\", \"x\"]}]}",
         "the instances of a device must be sorted, each once"},
        {"{\"devices\": [{\"vendor\": \"a/b\", \"type\": \"b\", \"name\": \"c\", \"instances\": "
         "[\"x\"]}]}",
         "a device needs a vendor, a type and a name, without '/', of at most 128 bytes"},
        {"{\"devices\": [{\"vendor\": \"a\", \"type\": \"b\", \"name\": \"c\", \"instances\": "
         "[\"x\"], \"attributes\": {\"k\": []}}]}",
         "devices[0]: attribute \"k\" must be a text or a number"},
    };
    struct arena *a = arena_new(1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reason why = {""};
        Pb__Node n = PB__NODE__INIT;
        cr_expect_eq(add(a, &n, cases[i][0], &why), ERR_INVALID, "%s", cases[i][0]);
        cr_expect_str_eq(why.text, cases[i][1], "%s\nsays %s", cases[i][0], why.text);
        cr_expect_eq(n.n_devices, 0);
    }
    struct reason why = {""};
    Pb__Node n = PB__NODE__INIT;
    cr_assert_eq(add(a, &n, GPUS, &why), OK);
    cr_assert_eq(add(a, &n, GPUS, &why), ERR_INVALID, "the same again, from another source");
    cr_assert_eq(n.n_devices, 2);
    arena_free(a);
}

static Pb__GrantedDevice *a_granted(struct arena *a, Pb__NodeDevice *d, const char *one,
                                    const char *two)
{
    Pb__GrantedDevice *g = arena_array(a, Pb__GrantedDevice, 1);
    pb__granted_device__init(g);
    g->vendor = d->vendor, g->type = d->type, g->name = d->name;
    g->device_ids = arena_array(a, char *, 2);
    g->device_ids[g->n_device_ids++] = arena_strdup(a, one);
    if (two != NULL)
        g->device_ids[g->n_device_ids++] = arena_strdup(a, two);
    return g;
}

static void on_path(void *self, const char *path)
{
    strncat(self, path, 100);
    strncat(self, ";", 2);
}

Test(devices, have_paths_for_each_instance_that_is_given)
{
    struct arena *a = arena_new(1 << 20);
    struct reason why = {""};
    char paths[400] = "";
    Pb__Node n = PB__NODE__INIT;
    cr_assert_eq(add(a, &n, GPUS, &why), OK);
    devices_each_path(a, &n, a_granted(a, n.devices[1], "0", "1"), paths, on_path);
    cr_assert_str_eq(paths, "/dev/nvidia0;/dev/nvidia1;/dev/nvidiactl;");
    paths[0] = '\0';
    devices_each_path(a, &n, a_granted(a, n.devices[0], "x", NULL), paths, on_path);
    cr_assert_str_eq(paths, "", "without the attribute there is none");
    arena_free(a);
}

Test(devices, and_cores_are_told_to_the_task_that_has_them)
{
    struct arena *a = arena_new(1 << 20);
    struct reason why = {""};
    Pb__Node node = PB__NODE__INIT;
    Pb__Amount total = PB__AMOUNT__INIT;
    total.cpu = 8000;
    node.total = &total, node.cores = 4;
    cr_assert_eq(add(a, &node, GPUS, &why), OK);
    uint32_t cores[] = {1, 2};
    Pb__GrantedDevice *devices[] = {a_granted(a, node.devices[1], "1", "0"),
                                    a_granted(a, node.devices[0], "x", NULL)};
    Pb__TaskGrant g = PB__TASK_GRANT__INIT, *grants[] = {&g};
    g.task = arena_strdup(a, "t");
    g.cores = cores, g.n_cores = 2, g.devices = devices, g.n_devices = 2;
    uint8_t id[16] = {1};
    Pb__Alloc alloc = PB__ALLOC__INIT;
    alloc.id = (ProtobufCBinaryData){sizeof id, id};
    alloc.grants = grants, alloc.n_grants = 1;
    Pb__Resources ask = PB__RESOURCES__INIT;
    ask.cores = 2;
    Pb__Task task = PB__TASK__INIT;
    task.name = g.task, task.resources = &ask;
    Pb__TaskGroup group = PB__TASK_GROUP__INIT;
    group.name = task.name;
    Pb__Job job = PB__JOB__INIT;
    job.id = task.name;
    char host[] = "NVIDIA_VISIBLE_DEVICES=all", *environment[] = {host, NULL};
    const struct taskenv_input in = {.alloc = &alloc,
                                     .job = &job,
                                     .group = &group,
                                     .task = &task,
                                     .node = &node,
                                     .region = "global",
                                     .ip = "127.0.0.1",
                                     .alloc_dir = "/a",
                                     .task_dir = "/t",
                                     .secrets_dir = "/s",
                                     .host = environment};
    const struct taskenv *e = taskenv_new(a, &in);
    cr_assert_str_eq(taskenv_get(e, "NOMAD_CPU_CORES"), "1-2");
    cr_assert_str_eq(taskenv_get(e, "NORN_CPU_CORES"), "1-2");
    cr_assert_str_eq(taskenv_get(e, "NOMAD_CPU_LIMIT"), "4000");
    cr_assert_str_eq(taskenv_get(e, "NORN_DEVICE_GPU"), "1,0,x");
    cr_assert_str_eq(taskenv_get(e, "NVIDIA_VISIBLE_DEVICES"), "1,0");
    task.name = arena_strdup(a, "other");
    cr_assert_null(taskenv_get(taskenv_new(a, &in), "NORN_DEVICE_GPU"));
    arena_free(a);
}
