#include "base/err.h"
#include "nodeagent/drivers/driver.h"
#include "nodeagent/fingerprint.h"
#include <criterion/criterion.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char root[64];
static struct arena *a;

static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *p = strchr(full + strlen(root) + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        *p = '\0';
        mkdir(full, 0755);
        *p = '/';
    }
    FILE *f = fopen(full, "we");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void begin(void)
{
    a = arena_new(1 << 20);
    strcpy(root, "/tmp/norn-fingerprint-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}
static void end(void)
{
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    arena_free(a);
}
TestSuite(fingerprint, .init = begin, .fini = end);

static const char *attribute(const Pb__Node *n, const char *key)
{
    for (size_t i = 0; i < n->n_attributes; i++)
        if (strcmp(n->attributes[i]->key, key) == 0)
            return n->attributes[i]->value;
    return "";
}

Test(fingerprint, tells_what_the_files_tell)
{
    Pb__Node n = PB__NODE__INIT;
    put("/proc/cpuinfo",
        "processor\t: 0\nmodel name\t: Some CPU @ 2.50GHz\ncpu MHz\t\t: 2499.998\n\n"
        "processor\t: 1\nmodel name\t: Some CPU @ 2.50GHz\ncpu MHz\t\t: 2100.000\n");
    put("/proc/meminfo", "MemTotal:        2097152 kB\nMemFree:  5 kB\n");
    put("/proc/net/route", "Iface\tDestination\tGateway\tFlags\nlo\t0000007F\t00000000\t0001\n"
                           "lo\t00000000\t0100000A\t0003\n");
    put("/etc/os-release", "PRETTY_NAME=\"X\"\nVERSION_ID=\"12\"\nID=debian\n");
    put("/etc/debian_version", "12.11\n");
    fingerprint_machine(
        a, &(struct fingerprint_options){.root = root, .data_dir = "/tmp", .interface = ""}, &n);
    static const char *const expected[][2] = {
        {"cpu.numcores", "2"},
        {"cpu.frequency", "2499"},
        {"cpu.totalcompute", "4998"},
        {"cpu.modelname", "Some CPU @ 2.50GHz"},
        {"memory.totalbytes", "2147483648"},
        {"os.name", "debian"},
        {"os.version", "12.11"},
        {"kernel.name", "linux"},
        {"unique.network.ip-address", "127.0.0.1"},
    };
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        cr_assert_str_eq(attribute(&n, expected[i][0]), expected[i][1], "%s: %s", expected[i][0],
                         attribute(&n, expected[i][0]));
    cr_assert(n.total->cpu == 4998 && n.total->memory_mb == 2048 && n.total->disk_mb > 0);
    for (size_t i = 1; i < n.n_attributes; i++)
        cr_assert(strcmp(n.attributes[i - 1]->key, n.attributes[i]->key) < 0, "sorted");
}

static void look(Pb__Node *n)
{
    fingerprint_machine(
        a, &(struct fingerprint_options){.root = root, .data_dir = "/tmp", .interface = ""}, n);
}

Test(fingerprint, numa_nodes_have_their_cores)
{
    Pb__Node n = PB__NODE__INIT;
    put("/sys/devices/system/node/online", "0-1\n");
    put("/sys/devices/system/node/node1/cpulist", "4-7\n");
    put("/sys/devices/system/node/node0/cpulist", "0-3\n");
    put("/sys/devices/system/node/nodex/cpulist", "9\n");
    look(&n);
    cr_assert_str_eq(attribute(&n, "numa.node.count"), "2");
    cr_assert_str_eq(attribute(&n, "numa.node0.cores"), "0-3");
    cr_assert_str_eq(attribute(&n, "numa.node1.cores"), "4-7");
}

Test(fingerprint, network_hardware_is_named_and_what_tasks_come_with_is_not)
{
    Pb__Node n = PB__NODE__INIT;
    put("/sys/class/net/eth10/device/vendor", "x\n");
    put("/sys/class/net/eth10/speed", "-1\n");
    put("/sys/class/net/eth2/device/vendor", "x\n");
    put("/sys/class/net/eth2/speed", "25000\n");
    put("/sys/class/net/veth0/speed", "10000\n");
    look(&n);
    cr_assert_str_eq(attribute(&n, "network.interfaces"), "eth2,eth10");
    cr_assert_str_eq(attribute(&n, "network.eth2.speed"), "25000");
    cr_assert_str_eq(attribute(&n, "network.eth10.speed"), "", "it does not tell");
    cr_assert_str_eq(attribute(&n, "network.veth0.speed"), "");
}

Test(fingerprint, a_hybrid_of_cgroups_is_of_version_1)
{
    static const struct {
        const char *mounts, *version, *at;
    } rows[] = {
        {"cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "2", "/sys/fs/cgroup"},
        {"cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
         "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
         "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n",
         "1", "/sys/fs/cgroup/cpu"},
        {"proc /proc proc rw 0 0\n", "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        Pb__Node n = PB__NODE__INIT;
        put("/proc/self/mounts", rows[i].mounts);
        look(&n);
        cr_assert_str_eq(attribute(&n, "os.cgroups.version"), rows[i].version);
        cr_assert_str_eq(attribute(&n, "unique.cgroup.mountpoint"), rows[i].at);
    }
}

Test(fingerprint, landlock_is_told_by_its_version_or_not_at_all)
{
    Pb__Node n = PB__NODE__INIT;
    look(&n);
    const char *landlock = attribute(&n, "kernel.landlock");
    cr_assert(landlock[0] == '\0' || (landlock[0] == 'v' && atoi(landlock + 1) >= 1));
}

Test(fingerprint, a_bare_machine_and_settings_instead_of_it)
{
    Pb__Node n = PB__NODE__INIT;
    fingerprint_machine(a,
                        &(struct fingerprint_options){.root = root,
                                                      .data_dir = "/tmp",
                                                      .interface = "nosuch0",
                                                      .cpu_mhz = 4000,
                                                      .memory_mb = 512,
                                                      .disk_mb = 10},
                        &n);
    cr_assert(n.total->cpu == 4000 && n.total->memory_mb == 512 && n.total->disk_mb == 10);
    cr_assert_geq(n.cores, 1);
    cr_assert_str_eq(attribute(&n, "cpu.totalcompute"), "4000");
    cr_assert_str_eq(fingerprint_address(&n), "127.0.0.1");
}

Test(fingerprint, signals_have_their_numbers)
{
    cr_assert_eq(signal_number("SIGTERM"), SIGTERM);
    cr_assert_eq(signal_number("USR1"), SIGUSR1);
    cr_assert_eq(signal_number("SIGIOT"), SIGABRT);
    cr_assert_eq(signal_number("SIGNOPE"), 0);
    cr_assert_eq(signal_number(""), 0);
}

static Pb__Alloc alloc = PB__ALLOC__INIT;
static Pb__Job job = PB__JOB__INIT;
static Pb__TaskGroup group = PB__TASK_GROUP__INIT;
static Pb__Node node = PB__NODE__INIT;

static enum err plan(const char *driver, const char *config, struct driver_plan *out,
                     struct reason *why)
{
    static uint8_t id[16];
    static Pb__Task task = PB__TASK__INIT;
    alloc.id = (ProtobufCBinaryData){16, id};
    job.id = arena_strdup(a, "j");
    group.name = arena_strdup(a, "g");
    task.name = arena_strdup(a, "t");
    task.config_json = arena_strdup(a, config);
    const struct taskenv_input in = {&alloc, &job, &group, &task, &node, "global",
                                     "::1",  "/a", "/t",   "/s",  NULL,  NULL};
    static const struct driver_host host = {
        .root = true,
        .shim = "/taskshim",
        .chroot = "/usr",
        .dock = "/bin/sh",
        .docker_socket = "/engine",
        .docker = {.caps = "chown,net_raw", .devices = true, .pull_timeout_ms = 300000}};
    struct driver_ask ask = {.arena = a,
                             .task = &task,
                             .env = taskenv_new(a, &in),
                             .task_dir = root,
                             .alloc_dir = "/alloc",
                             .shim_dir = "/shim",
                             .node = &node,
                             .alloc = &alloc,
                             .host = &host};
    return driver_make_plan(driver_find(driver), &ask, out, why);
}

Test(fingerprint, drivers_refuse_what_they_do_not_understand)
{
    static const struct {
        const char *driver, *config, *says;
    } cases[] = {
        {"raw_exec", "{", "config is not JSON"},
        {"raw_exec", "[1]", "config is not an object"},
        {"raw_exec", "{\"comand\": \"x\"}", "did you mean \"command\"?"},
        {"raw_exec", "{}", "\"command\" is missing"},
        {"raw_exec", "{\"command\": 5}", "\"command\" must be a string"},
        {"raw_exec", "{\"command\": \"sh\", \"args\": \"x\"}", "\"args\" must be a list"},
        {"raw_exec", "{\"command\": \"sh\", \"args\": [1]}", "\"args\" must be a list"},
        {"mock", "{\"run_for\": \"long\"}", "\"run_for\" must be a duration"},
        {"mock", "{\"exit_code\": 300}", "0 to 255"},
        {"mock", "{\"exit_code\": 1.5}", "whole number"},
        {"docker", "{}", "\"image\" is missing"},
        {"docker", "{\"image\": \"a b\"}", "\"a b\" is no name of an image"},
        {"docker", "{\"image\": \"/../x\"}", "is no name of an image"},
        {"docker", "{\"image\": \"a\", \"ports\": [\"web\"]}", "has no port \"web\""},
        {"docker", "{\"image\": \"a\", \"volumes\": [\"/etc:/etc\"]}", "host volumes"},
        {"docker", "{\"image\": \"a\", \"volumes\": [\"../x:/y\"]}", "docker_volumes on"},
        {"docker", "{\"image\": \"a\", \"volumes\": [\"x/../../y:/y\"]}", "docker_volumes on"},
        {"docker", "{\"image\": \"a\", \"volume_driver\": \"nfs\"}", "docker_volumes is off"},
        {"docker", "{\"image\": \"a\", \"mount\": 1}", "\"mount\" must be a block"},
        {"docker", "{\"image\": \"a\", \"mount\": {\"sorce\": \"x\"}}", "did you mean \"source\"?"},
        {"docker", "{\"image\": \"a\", \"mount\": {\"type\": \"bind\"}}", "target must be"},
        {"docker", "{\"image\": \"a\", \"mount\": {\"type\": \"x\", \"target\": \"/y\"}}",
         "bind, tmpfs or volume"},
        {"docker", "{\"image\": \"a\", \"mounts\": [{\"type\": \"bind\", \"target\": \"/y\"}]}",
         "source is missing"},
        {"docker",
         "{\"image\": \"a\", \"mounts\": [{\"type\": \"bind\", \"target\": \"/y\","
         " \"source\": \"/etc\"}]}",
         "host volumes"},
        {"docker",
         "{\"image\": \"a\", \"mount\": {\"target\": \"/y\", \"volume_options\":"
         " {\"driver_config\": {\"name\": \"local\"}}}}",
         "docker_volumes is off"},
        {"docker", "{\"image\": \"a\", \"devices\": [{\"host_path\": \"sda\"}]}", "absolute path"},
        {"docker",
         "{\"image\": \"a\", \"devices\": [{\"host_path\": \"/dev/x\","
         " \"cgroup_permissions\": \"rx\"}]}",
         "must be of r, w, m"},
        {"docker", "{\"image\": \"a\", \"ulimit\": [{\"nofile\": \"many\"}]}", "SOFT:HARD"},
        {"docker", "{\"image\": \"a\", \"privileged\": true}", "docker_allow_privileged is off"},
        {"docker", "{\"image\": \"a\", \"cap_add\": [\"chown\", \"SYS_ADMIN\"]}",
         "\"SYS_ADMIN\" is not among"},
        {"docker", "{\"image\": \"a\", \"auth\": {\"username\": \"x\"}}", "password must be there"},
        {"docker", "{\"image\": \"a\", \"image_pull_timeout\": \"0s\"}", "must be more than 0"},
        {"docker", "{\"image\": \"a\", \"cpu_cfs_period\": 1}", "1000 to 1000000"},
        {"docker", "{\"image\": \"a\", \"volumes\": [\"x\"]}", "is not SOURCE:/PLACE"},
        {"docker", "{\"image\": \"a\", \"load\": \"/x.tar\"}", "directory local"},
        {"docker", "{\"image\": \"a\", \"priviliged\": true}", "has no key \"priviliged\""},
        {"docker", "{\"image\": \"a\", \"pid_mode\": \"host\"}",
         "\"pid_mode\": \"host\": the agent's setting docker_allow_privileged is off"},
        {"docker", "{\"image\": \"a\", \"ipc_mode\": \"container:b\"}", "\"container:b\": the"},
        {"docker", "{\"image\": \"a\", \"uts_mode\": \"host\"}", "docker_allow_privileged is off"},
        {"docker", "{\"image\": \"a\", \"cgroupns\": \"mine\"}", "\"cgroupns\" must be"},
        {"docker", "{\"image\": \"a\", \"oom_score_adj\": -1}", "\"oom_score_adj\" must be 0"},
        {"docker", "{\"image\": \"a\", \"isolation\": \"hyperv\"}", "\"isolation\": containers of"},
        {"docker", "{\"image\": \"a\", \"advertise_ipv6_address\": true}", "not registered"},
        {"docker", "{\"image\": \"a\", \"container_exists_attempts\": \"x\"}", "whole number"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct driver_plan p;
        struct reason why = {""};
        cr_assert_eq(plan(cases[i].driver, cases[i].config, &p, &why), ERR_INVALID, "case %zu", i);
        cr_assert(strstr(why.text, cases[i].says) != NULL, "case %zu: %s", i, why.text);
    }
    cr_assert_null(driver_find("java"));
}

Test(fingerprint, a_container_is_described_to_taskdock)
{
    struct driver_plan p;
    struct reason why;
    cr_assert_eq(
        plan("docker",
             "{\"image\": \"a/b:1\", \"command\": \"${NOMAD_TASK_NAME}\", \"args\": [\"x\"],"
             " \"force_pull\": true, \"init\": true, \"cap_add\": [\"CAP_NET_RAW\"],"
             " \"ulimit\": [{\"nofile\": \"10:20\", \"nproc\": \"5\"}], \"sysctl\": {\"a.b\": "
             "\"1\"},"
             " \"mount\": [{\"type\": \"tmpfs\", \"target\": \"/t\", \"tmpfs_options\":"
             " [{\"size\": 4096}]}, {\"type\": \"bind\", \"source\": \"local/x\", \"target\": "
             "\"/x\","
             " \"readonly\": true}], \"devices\": [{\"host_path\": \"/dev/null\"}],"
             " \"ipc_mode\": \"private\", \"cgroupns\": \"private\", \"oom_score_adj\": 5,"
             " \"container_exists_attempts\": 3, \"cap_drop\": [\"chown\"],"
             " \"group_add\": [\"7\"], \"security_opt\": [\"no-new-privileges\"],"
             " \"image_pull_timeout\": \"10s\", \"auth\": [{\"username\": \"u\", \"password\": "
             "\"p\"}]}",
             &p, &why),
        OK, "%s", why.text);
    cr_assert_str_eq(p.program, "/bin/sh");
    cr_assert_eq(p.argc, 6);
    cr_assert_str_eq(p.argv[1], "run");
    cr_assert_str_eq(p.argv[2], "/engine");
    cr_assert_str_eq(p.argv[3], "t-00000000-0000-0000-0000-000000000000");
    cr_assert_str_eq(p.argv[5], "/shim/container");
    const char *const parts[] = {
        "\"Image\":\"a/b:1\"",
        "\"Cmd\":[\"t\",\"x\"]",
        "\"Init\":true",
        "\"/alloc:/alloc\"",
        "\"CapAdd\":[\"CAP_NET_RAW\"],\"CapDrop\":[\"chown\",\"audit_write\",\"dac_override\",",
        "\"mknod\",\"setgid\"", /* net_raw is among those that may be */
        "\"IpcMode\":\"private\"",
        "\"CgroupnsMode\":\"private\"",
        "\"OomScoreAdj\":5",
        "{\"Name\":\"nofile\",\"Soft\":10,\"Hard\":20},{\"Name\":\"nproc\",\"Soft\":5,\"Hard\":5}",
        "\"Sysctls\":{\"a.b\":\"1\"}",
        "\"TmpfsOptions\":{\"SizeBytes\":4096}",
        arena_printf(a, "\"ReadOnly\":true,\"Source\":\"%s/local/x\"", root),
        "\"own\":[\"local/x\"]",
        "\"PathInContainer\":\"/dev/null\",\"CgroupPermissions\":\"rwm\"",
        "\"GroupAdd\":[\"7\"]",
        "\"SecurityOpt\":[\"no-new-privileges\"]",
        "\"LogConfig\":{\"Type\":\"none\"}"};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        cr_expect(strstr(p.argv[4], parts[i]) != NULL, "%s: %s", parts[i], p.argv[4]);
    cr_assert_str_eq(p.image,
                     "{\"image\":\"a/b:1\",\"auth\":{\"username\":\"u\",\"password\":\"p\","
                     "\"serveraddress\":\"\"},\"pull\":true,\"soft\":false,"
                     "\"timeout_ms\":10000}");
    cr_assert_null(strstr(p.argv[4], "\"p\"")); /* arguments can be read by everybody */
}

Test(fingerprint, raw_exec_looks_in_the_task_before_the_host)
{
    struct driver_plan p;
    struct reason why;
    put("/local/tool", "#!/bin/sh\n");
    put("/own", "#!/bin/sh\n");
    cr_assert_eq(plan("raw_exec",
                      "{\"command\": \"tool\", \"args\": [\"a\", \"${NOMAD_TASK_NAME}\"]}", &p,
                      &why),
                 OK);
    cr_assert_str_eq(p.program, arena_printf(a, "%s/local/tool", root));
    cr_assert_str_eq(p.argv[2], "t");
    cr_assert_eq(plan("raw_exec", "{\"command\": \"own\"}", &p, &why), OK);
    cr_assert_str_eq(p.program, arena_printf(a, "%s/own", root));
    struct stat st;
    cr_assert(stat(p.program, &st) == 0 && (st.st_mode & 0111) == 0111);
    cr_assert_eq(plan("raw_exec", "{\"command\": \"sh\"}", &p, &why), OK);
    cr_assert(p.program[0] == '/');
    cr_assert_eq(plan("raw_exec", "{\"command\": \"bin/none\"}", &p, &why), ERR_NOT_FOUND);
    cr_assert_eq(plan("mock", "{\"exit_code\": 7.0, \"run_for\": 1000000000}", &p, &why), OK);
    cr_assert_str_eq(p.argv[2], "run_for_ms=1000");
    cr_assert_str_eq(p.argv[3], "exit_code=7");
}
