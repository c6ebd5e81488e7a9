#include "base/err.h"
#include "nodeagent/taskenv.h"
#include <criterion/criterion.h>
#include <string.h>

static struct arena *a;
static Pb__Alloc alloc = PB__ALLOC__INIT;
static Pb__Job job = PB__JOB__INIT;
static Pb__TaskGroup group = PB__TASK_GROUP__INIT;
static Pb__Task task = PB__TASK__INIT;
static Pb__Node node = PB__NODE__INIT;
static Pb__Resources resources = PB__RESOURCES__INIT;
static Pb__Port port = PB__PORT__INIT;
static uint8_t id[16] = {0x2a, 0x2c, 0x30, 0x0c};

static Pb__KeyValue *pair(const char *key, const char *value)
{
    Pb__KeyValue *kv = arena_alloc(a, sizeof *kv);
    pb__key_value__init(kv);
    kv->key = arena_strdup(a, key);
    kv->value = arena_strdup(a, value);
    return kv;
}

static const Pb__LocalNetwork *network; /* NULL: the node's */

static struct taskenv *make(Pb__KeyValue **env, size_t env_count)
{
    static char path[] = "PATH=/bin", ours[] = "NOMAD_X=1", token[] = "VAULT_TOKEN=s";
    static char *host[] = {path, ours, token, NULL};
    static Pb__Port *ports[] = {&port};
    static Pb__KeyValue *job_meta[1], *task_meta[1], *attributes[1];
    alloc.id = (ProtobufCBinaryData){16, id};
    alloc.name_index = 3;
    alloc.ports = ports;
    alloc.n_ports = 1;
    port.label = (char[]){"http"};
    port.value = 22692;
    job.id = (char[]){"web"};
    job.meta = job_meta;
    job_meta[0] = pair("owner", "team-a");
    job.n_meta = 1;
    group.name = (char[]){"front"};
    task.name = (char[]){"server"};
    task.meta = task_meta;
    task_meta[0] = pair("owner", "${NOMAD_TASK_NAME}");
    task.n_meta = 1;
    task.env = env;
    task.n_env = env_count;
    resources.cpu = 50;
    resources.memory_mb = 32;
    task.resources = &resources;
    node.name = (char[]){"n1"};
    node.datacenter = (char[]){"dc1"};
    attributes[0] = pair("kernel.name", "linux");
    node.attributes = attributes;
    node.n_attributes = 1;
    const struct taskenv_input in = {&alloc,
                                     &job,
                                     &group,
                                     &task,
                                     &node,
                                     "global",
                                     "10.0.0.7",
                                     "/d/alloc",
                                     "/d/server/local",
                                     "/d/server/secrets",
                                     host,
                                     network};
    return taskenv_new(a, &in);
}

Test(taskenv, gives_both_families_of_names)
{
    a = arena_new(1 << 20);
    struct taskenv *e = make(NULL, 0);
    static const char *const expected[][2] = {
        {"NOMAD_ALLOC_ID", "2a2c300c-0000-0000-0000-000000000000"},
        {"NORN_SHORT_ALLOC_ID", "2a2c300c"},
        {"NOMAD_ALLOC_NAME", "web.front[3]"},
        {"NOMAD_ALLOC_INDEX", "3"},
        {"NOMAD_TASK_DIR", "/d/server/local"},
        {"NORN_ALLOC_DIR", "/d/alloc"},
        {"NOMAD_PORT_http", "22692"},
        {"NORN_ADDR_http", "10.0.0.7:22692"},
        {"NOMAD_HOST_PORT_http", "22692"},
        {"NOMAD_IP_http", "10.0.0.7"},
        {"NOMAD_CPU_LIMIT", "50"},
        {"NOMAD_MEMORY_LIMIT", "32"},
        {"NOMAD_META_owner", "server"},
        {"NOMAD_META_OWNER", "server"},
        {"NOMAD_NAMESPACE", "default"},
        {"NOMAD_REGION", "global"},
        {"PATH", "/bin"},
    };
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        cr_assert_str_eq(taskenv_get(e, expected[i][0]), expected[i][1], "%s", expected[i][0]);
    cr_assert_null(taskenv_get(e, "VAULT_TOKEN"));
    cr_assert_null(taskenv_get(e, "NOMAD_X"));
    cr_assert_null(taskenv_get(e, "NOMAD_JOB_PARENT_ID"));
}

Test(taskenv, expands_what_it_knows_and_leaves_the_rest_to_the_shell)
{
    a = arena_new(1 << 20);
    Pb__KeyValue *env[] = {pair("GREETING", "hi ${node.unique.name}"), pair("a-b", "${GREETING}")};
    struct taskenv *e = make(env, 2);
    static const char *const cases[][2] = {
        {"${NOMAD_PORT_http}", "22692"},
        {"x${attr.kernel.name}y", "xlinuxy"},
        {"${meta.none} ${i} $i ${", "${meta.none} ${i} $i ${"},
        {"${env[\"PATH\"]}", "/bin"},
        {"$${node.datacenter}", "$dc1"},
        {"${GREETING}", "hi n1"},
        {"", ""},
        {"${}", "${}"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        cr_assert_str_eq(taskenv_expand(e, a, cases[i][0]), cases[i][1]);
    cr_assert_str_eq(taskenv_get(e, "a_b"), "${GREETING}");
    size_t count;
    char **list = taskenv_list(e, a, &count);
    for (size_t i = 1; i < count; i++)
        cr_assert(strcmp(list[i - 1], list[i]) < 0);
    cr_assert_null(list[count]);
}

Test(taskenv, in_a_network_of_its_own_a_task_is_told_both_sides_of_a_port)
{
    static Pb__NetworkStatus status = PB__NETWORK_STATUS__INIT;
    static Pb__LocalNetwork own = PB__LOCAL_NETWORK__INIT;
    a = arena_new(1 << 20);
    status.interface_name = (char[]){"eth0"};
    status.address = (char[]){"172.26.64.2"};
    own.status = &status;
    network = &own;
    port.to = 80;
    struct taskenv *e = make(NULL, 0);
    static const char *const expected[][2] = {
        {"NOMAD_PORT_http", "80"},
        {"NOMAD_IP_http", "10.0.0.7"},
        {"NOMAD_ADDR_http", "10.0.0.7:22692"},
        {"NOMAD_HOST_PORT_http", "22692"},
        {"NOMAD_HOST_ADDR_http", "10.0.0.7:22692"},
        {"NOMAD_ALLOC_PORT_http", "80"},
        {"NOMAD_ALLOC_IP_http", "172.26.64.2"},
        {"NORN_ALLOC_ADDR_http", "172.26.64.2:80"},
        {"NOMAD_ALLOC_INTERFACE_http", "eth0"},
    };
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        cr_expect_str_eq(taskenv_get(e, expected[i][0]), expected[i][1], "%s", expected[i][0]);
}
