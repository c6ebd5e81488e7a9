/* The driver exec with real namespaces and cgroups: what a task sees, what it may use, how it tries
 * to get away, and that nothing of it stays. */
#include "base/id.h"
#include "fake_gateway.h"
#include "wire/grant.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNNING    PB__ALLOC__CLIENT_STATUS__RUNNING
#define COMPLETE   PB__ALLOC__CLIENT_STATUS__COMPLETE
#define FAILED     PB__ALLOC__CLIENT_STATUS__FAILED
#define SH(script) "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"" script "\"]}"

static struct fake *f;

static void begin(void)
{
    f = fake_new();
    fake_start_agent(f);
    const char *missing = fake_attribute(f, "driver.exec.unhealthy");
    if (missing != NULL && f->extra[0] == NULL) {
        fprintf(stderr, "skipped: %s\n", missing);
        fake_free(f); /* nobody ends what is skipped */
        cr_skip("it is unhealthy here");
    }
}
static void end(void)
{
    fake_free(f);
}
TestSuite(exec, .init = begin, .fini = end, .timeout = 90);

/* A choice of users, and limits by cgroups, has only who is root: see rootless.sh. */
static void only_as_root(void)
{
    if (geteuid() == 0)
        return;
    fake_free(f); /* nobody ends what is skipped */
    cr_skip("the agent is not root");
}

static Pb__Job *job_of(const char *type, const char *config)
{
    Pb__Job *job = fake_job(f, type, "exec", config);
    Pb__Task *t = job->task_groups[0]->tasks[0];
    t->resources = arena_alloc(f->arena, sizeof *t->resources);
    pb__resources__init(t->resources);
    t->resources->has_cpu = t->resources->has_memory_mb = true;
    t->resources->cpu = 100;
    t->resources->memory_mb = 32;
    return job;
}

static const char *output(int i)
{
    return fake_content(f, i, "alloc/logs/t.stdout.0");
}

static const char *errors(int i)
{
    return fake_content(f, i, "alloc/logs/t.stderr.0");
}

static const char *run(const char *config)
{
    int i = fake_place(f, job_of("batch", config));
    cr_assert(fake_await(f, i, COMPLETE, 15000), "%s; %s", fake_events(f, i, "t"), errors(i));
    return output(i);
}

static int with_output;
static bool has_said(struct fake *w)
{
    return strchr(fake_content(w, with_output, "alloc/logs/t.stdout.0"), '\n') != NULL;
}
static void await_output(int i)
{
    with_output = i;
    cr_assert(fake_until(f, has_said, 15000), "%s; %s", fake_events(f, i, "t"), errors(i));
}

/* Cgroups named after an allocation, in all hierarchies. */
static int count_cgroups(int i)
{
    char id[ID_TEXT_SIZE], command[200], line[64] = "0";
    id_format(f->allocs[i].alloc->id.data, id);
    snprintf(command, sizeof command, "find /sys/fs/cgroup -maxdepth 3 -type d -name '%s*' | wc -l",
             id);
    FILE *p = popen(command, "r");
    cr_assert(p != NULL && fgets(line, sizeof line, p) != NULL);
    pclose(p);
    return (int)strtol(line, NULL, 10);
}

static int watched;
static bool has_no_cgroups(struct fake *w)
{
    return count_cgroups(watched) == 0;
}
static void expect_no_cgroups(int i)
{
    watched = i;
    cr_assert(fake_until(f, has_no_cgroups, 5000), "cgroups are left");
}

Test(exec, a_task_is_nobody_and_may_gain_nothing)
{
    const char *said = run(SH("id -u; id -G; grep -E '^(CapEff|CapPrm|NoNewPrivs|Seccomp):' "
                              "/proc/self/status"));
    cr_assert_str_eq(said, "65534\n65534\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
                           "NoNewPrivs:\t1\nSeccomp:\t2\n");
}

Test(exec, a_task_has_none_of_the_agents_groups)
{
    const gid_t groups[] = {4242, 4243};
    only_as_root();
    fake_kill_agent(f, SIGTERM);
    cr_assert_eq(setgroups(COUNT_OF(groups), groups), 0);
    fake_start_agent(f);
    cr_assert_str_eq(run(SH("id -G")), "65534\n");
}

Test(exec, a_task_sees_only_its_own_processes_and_directories)
{
    const char *said = run(SH("ls -d /proc/[0-9]* | wc -l; echo $NOMAD_TASK_DIR $NOMAD_ALLOC_DIR "
                              "$NOMAD_SECRETS_DIR; ls /; pwd"));
    cr_assert(said[0] >= '2' && said[0] <= '5' && said[1] == '\n', "%s", said);
    cr_assert(strstr(said, "/local /alloc /secrets\n") != NULL, "%s", said);
    cr_assert(strstr(said, "\nlocal\n") != NULL && strstr(said, "\nroot\n") == NULL &&
                  strstr(said, "\nhome\n") == NULL,
              "%s", said);
}

Test(exec, the_nodes_directories_are_read_only_and_its_own_are_not)
{
    const char *said = run(SH("echo x > /local/a && echo x > /alloc/data/b && echo x > /tmp/c && "
                              "cat /local/a /alloc/data/b /tmp/c; echo x > /usr/x || echo no; "
                              "echo x > /x || echo no; echo x > /etc/x || echo no"));
    cr_assert_str_eq(said, "x\nx\nx\nno\nno\nno\n");
}

static Pb__VolumeMount *a_mount(const char *volume, const char *destination)
{
    Pb__VolumeMount *m = arena_alloc(f->arena, sizeof *m);
    pb__volume_mount__init(m);
    m->volume = arena_strdup(f->arena, volume);
    m->destination = arena_strdup(f->arena, destination);
    return m;
}

static void add_volume(Pb__TaskGroup *g, const char *name, const char *source)
{
    Pb__VolumeRequest *v = arena_alloc(f->arena, sizeof *v);
    pb__volume_request__init(v);
    v->name = arena_strdup(f->arena, name);
    v->source = arena_strdup(f->arena, source);
    g->volumes[g->n_volumes++] = v;
}

/* "given" may be written to, "guarded" may not; "lost" is not there. */
static void restart_with_volumes(void)
{
    static char option[200];
    const char *dir = arena_printf(f->arena, "%s/given", f->dir);
    fake_kill_agent(f, SIGTERM);
    cr_assert(mkdir(dir, 0777) == 0 && chmod(dir, 0777) == 0);
    snprintf(option, sizeof option, "given=%s,guarded=%s:ro,lost=%s/lost", dir, dir, f->dir);
    f->extra[0] = "--host-volumes";
    f->extra[1] = option;
    f->node = NULL;
    fake_start_agent(f);
}

Test(exec, a_volume_of_the_node_is_where_the_task_mounts_it)
{
    restart_with_volumes();
    const char *why = fake_attribute(f, "volume.lost.unhealthy");
    cr_assert(why != NULL && strstr(why, "No such file") != NULL);
    cr_assert_eq(f->node->n_host_volumes, 2);
    Pb__Job *job = job_of("batch", SH("echo x > /data/in/a && cat /other/a; echo y > /other/b || "
                                      "echo guarded"));
    Pb__TaskGroup *g = job->task_groups[0];
    g->volumes = arena_array(f->arena, Pb__VolumeRequest *, 2);
    add_volume(g, "v", "given");
    add_volume(g, "w", "guarded");
    Pb__Task *t = g->tasks[0];
    t->volume_mounts = arena_array(f->arena, Pb__VolumeMount *, 2);
    t->volume_mounts[t->n_volume_mounts++] = a_mount("v", "/data/in");
    t->volume_mounts[t->n_volume_mounts++] = a_mount("w", "/other");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 30000), "%s; %s", fake_events(f, i, "t"), errors(i));
    cr_assert_str_eq(output(i), "x\nguarded\n");
    cr_assert_eq(access(arena_printf(f->arena, "%s/given/a", f->dir), F_OK), 0);
}

/* The volume "given" at a place of the task's. */
static Pb__Job *with_a_volume_at(const char *place, const char *config)
{
    Pb__Job *job = job_of("batch", config);
    Pb__TaskGroup *g = job->task_groups[0];
    Pb__Task *t = g->tasks[0];
    g->volumes = arena_array(f->arena, Pb__VolumeRequest *, 1);
    add_volume(g, "v", "given");
    t->volume_mounts = arena_array(f->arena, Pb__VolumeMount *, 1);
    t->volume_mounts[t->n_volume_mounts++] = a_mount("v", place);
    return job;
}

static void restart_once(Pb__Job *job)
{
    Pb__RestartPolicy *p = job->task_groups[0]->restart_policy;
    p->attempts = 1;
    p->has_interval_ns = p->has_delay_ns = true;
    p->interval_ns = 60000000000;
    p->delay_ns = 1000000;
}

/* The first run puts a link of the node's where the volume of the second is to be. */
Test(exec, a_link_on_the_way_to_a_volume_leads_nowhere)
{
    restart_with_volumes();
    const char *victim = arena_printf(f->arena, "%s/victim", f->dir);
    cr_assert_eq(mkdir(victim, 0755), 0);
    Pb__Job *job = with_a_volume_at(
        "/local/door/in", arena_printf(f->arena,
                                       SH("if [ -d /local/was ]; then echo again; exit 0; fi; mv "
                                          "/local/door /local/was; ln -s %s /local/door; exit 1"),
                                       victim));
    restart_once(job);
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, FAILED, 30000), "%s; %s", fake_events(f, i, "t"), output(i));
    cr_expect(strstr(fake_events(f, i, "t"), "Restarting") != NULL, "%s", fake_events(f, i, "t"));
    cr_expect_eq(access(arena_printf(f->arena, "%s/in", victim), F_OK), -1,
                 "a directory was made there");
    cr_expect_eq(rmdir(victim), 0);
}

Test(exec, a_volume_at_a_place_of_dots_stays_in_the_tasks_root)
{
    restart_with_volumes();
    Pb__Job *job = with_a_volume_at(
        arena_printf(f->arena, "/data/../../../../../../..%s/in", f->dir), SH("true"));
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 30000), "%s", fake_events(f, i, "t"));
    cr_expect_eq(access(arena_printf(f->arena, "%s/in", f->dir), F_OK), -1);
}

Test(exec, root_in_a_task_is_refused_the_nodes_insides)
{
    only_as_root();
    Pb__Job *job =
        job_of("batch",
               SH("id -u; mount -t tmpfs x /tmp && echo mounted; unshare -m true && echo unshared;"
                  "unshare -U true && echo user; echo 1 > /proc/sysrq-trigger && echo sysrq; "
                  "echo x > /proc/sys/kernel/hostname && echo host; echo x > /usr/x && echo usr; "
                  "mknod /tmp/d b 8 0 && echo device; head -c 1 /proc/kcore | wc -c; head -c 1 "
                  "/proc/timer_list | wc -c; chroot / "
                  "ls /root; mount -o remount,rw /usr && echo remounted; echo done"));
    job->task_groups[0]->tasks[0]->user = arena_strdup(f->arena, "root");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 15000), "%s", errors(i));
    cr_assert_str_eq(output(i), "0\n0\n0\ndone\n");
}

/* chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, sys_chroot
 * and audit_write. */
#define CAPABILITIES_MOST 0x200405fbul

Test(exec, nobody_can_be_given_more_than_a_few_capabilities)
{
    only_as_root();
    static char root[] = "root", nobody[] = "nobody";
    static char *const users[] = {root, nobody};
    for (size_t k = 0; k < COUNT_OF(users); k++) {
        Pb__Job *job = job_of("batch", SH("sed -n s/^CapBnd:.//p /proc/self/status"));
        job->task_groups[0]->tasks[0]->user = users[k];
        int i = fake_place(f, job);
        cr_assert(fake_await(f, i, COMPLETE, 15000), "%s", errors(i));
        unsigned long all = strtoul(output(i), NULL, 16);
        cr_expect(all != 0 && (all & ~CAPABILITIES_MOST) == 0, "%s: %lx", users[k], all);
    }
}

Test(exec, root_in_a_task_writes_in_its_own_directories_only)
{
    only_as_root();
    Pb__Job *job =
        job_of("batch", SH("echo x >/x && echo root; echo x >/dev/x && echo dev; "
                           "echo x >/etc/x && echo etc; echo x >/local/x && chmod 755 "
                           "/local/x && echo own; chmod 4755 /local/x && echo suid; true"));
    job->task_groups[0]->tasks[0]->user = arena_strdup(f->arena, "root");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 15000), "%s", errors(i));
    cr_expect(strstr(output(i), "root") == NULL && strstr(output(i), "etc") == NULL &&
                  strstr(output(i), "own\n") != NULL && strstr(output(i), "suid") == NULL,
              "%s", output(i));
}

static bool has_options(const char *mounts, const char *place, const char *const options[])
{
    const char *line = strstr(mounts, arena_printf(f->arena, "%s ", place));
    if (line == NULL)
        return false;
    const char *all = arena_printf(f->arena, "%.*s,", (int)strcspn(line, "\n"), line);
    for (size_t i = 0; options[i] != NULL; i++)
        if (strstr(all, arena_printf(f->arena, "%s,", options[i])) == NULL)
            return false;
    return true;
}

Test(exec, no_mount_has_devices_or_gives_a_user_more_where_a_task_writes)
{
    static const char *const places[] = {"/local", "/secrets", "/alloc", "/tmp"};
    static const char *const own[] = {"nosuid", "nodev", NULL}, *const node[] = {"ro", "nodev",
                                                                                 NULL};
    const char *said = run(SH("cut -d' ' -f5,6 /proc/self/mountinfo | sed 's/ / ,/'"));
    for (size_t i = 0; i < COUNT_OF(places); i++)
        cr_expect(has_options(said, places[i], own), "%s: %s", places[i], said);
    cr_expect(has_options(said, "/usr", node), "%s", said);
    cr_expect(has_options(said, "/etc", node), "%s", said);
}

Test(exec, its_namespaces_are_its_own)
{
    static const char *const kinds[] = {"ipc", "mnt", "pid"};
    const char *said = run(SH("readlink /proc/self/ns/ipc /proc/self/ns/mnt /proc/self/ns/pid"));
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        char ours[64] = "";
        cr_assert_gt(
            readlink(arena_printf(f->arena, "/proc/self/ns/%s", kinds[i]), ours, sizeof ours - 1),
            0);
        cr_expect(strstr(said, kinds[i]) != NULL && strstr(said, ours) == NULL, "%s: %s", ours,
                  said);
    }
}

/* The first run puts a link of the node's there; what the second prints goes nowhere. */
Test(exec, a_link_in_the_place_of_its_logs_is_not_followed)
{
    const char *victim = arena_printf(f->arena, "%s/victim", f->dir);
    cr_assert(mkdir(victim, 0777) == 0 && chmod(victim, 0777) == 0);
    Pb__Job *job =
        job_of("batch", arena_printf(f->arena,
                                     SH("echo printed; if [ -d /alloc/was ]; then exit 0; fi; mv "
                                        "/alloc/logs /alloc/was; ln -s %s /alloc/logs; exit 1"),
                                     victim));
    restart_once(job);
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 30000), "%s", fake_events(f, i, "t"));
    cr_expect_str_eq(fake_content(f, i, "alloc/was/t.stdout.0"), "printed\n");
    cr_expect_eq(rmdir(victim), 0, "something was written there");
}

Test(exec, a_path_of_dots_leads_nowhere)
{
    const char *said =
        run(SH("ls /../../../../../../root 2>/dev/null || echo none; cd /local && ls "
               "../../../../../../../data 2>/dev/null || echo none; ln -s /etc/shadow /local/s; "
               "cat /local/s 2>/dev/null || echo none; ls /proc/1/root/root 2>/dev/null || echo "
               "none"));
    cr_assert_str_eq(said, "none\nnone\nnone\nnone\n");
}

Test(exec, a_command_is_found_in_local_and_along_the_path)
{
    cr_assert_str_eq(run("{\"command\": \"echo\", \"args\": [\"${NOMAD_TASK_NAME}\"]}"), "t\n");
    int i = fake_place(f, job_of("batch", "{\"command\": \"no-such-thing\"}"));
    cr_assert(fake_await(f, i, FAILED, 15000));
    cr_assert(strstr(fake_task(f, i, "t")->events[2]->display_message,
                     "find the command in the task's root: No such file") != NULL,
              "%s", fake_task(f, i, "t")->events[2]->display_message);
    expect_no_cgroups(i);
}

Test(exec, its_exit_code_and_signal_are_told)
{
    int i = fake_place(f, job_of("batch", SH("exit 7")));
    int k = fake_place(f, job_of("batch", SH("kill -SEGV $$")));
    cr_assert(fake_await(f, i, FAILED, 15000) && fake_await(f, k, FAILED, 15000));
    cr_assert_eq(fake_task(f, i, "t")->events[3]->exit_code, 7);
    cr_assert_eq(fake_task(f, k, "t")->events[3]->signal, SIGSEGV);
}

Test(exec, it_may_open_its_output_anew_and_close_it)
{
    const char *said = run(SH("echo one > /dev/stdout; exec 3>/proc/self/fd/1; exec 1>&- 2>&-; "
                              "sleep 0.1; exec 1>&3; echo two"));
    cr_assert_str_eq(said, "one\ntwo\n");
}

Test(exec, a_memory_hog_is_killed_and_that_is_said)
{
    only_as_root();
    int i =
        fake_place(f, job_of("batch", "{\"command\": \"/usr/bin/perl\", \"args\": [\"-e\", "
                                      "\"my $x = 'a' x (256 * 1024 * 1024); print 'alive'\"]}"));
    cr_assert(fake_await(f, i, FAILED, 30000), "%s; %s", fake_events(f, i, "t"), output(i));
    const Pb__TaskEvent *e = fake_task(f, i, "t")->events[3];
    cr_assert_eq(e->signal, SIGKILL);
    cr_assert_str_eq(e->display_message, "Exit Code: 137, Signal: 9, Exit Message: \"OOM Killed\"");
    bool told = false;
    for (size_t k = 0; k < e->n_details; k++)
        told |= strcmp(e->details[k]->key, "oom_killed") == 0 &&
                strcmp(e->details[k]->value, "true") == 0;
    cr_assert(told);
    expect_no_cgroups(i);
}

/* "": there is no such file. */
static const char *limit_of(int i, const char *file)
{
    char id[ID_TEXT_SIZE], command[300], line[64] = "";
    id_format(f->allocs[i].alloc->id.data, id);
    snprintf(command, sizeof command,
             "find /sys/fs/cgroup -maxdepth 4 -path '*/%s*/%s' 2>/dev/null | head -n 1 | xargs -r "
             "cat",
             id, file);
    FILE *p = popen(command, "re");
    cr_assert_not_null(p);
    if (fgets(line, sizeof line, p) != NULL)
        line[strcspn(line, "\n")] = '\0';
    pclose(p);
    return arena_strdup(f->arena, line);
}

static void expect_limit(int i, const char *file, const char *wanted)
{
    const char *found = limit_of(i, file);
    cr_expect(*found == '\0' || strcmp(found, wanted) == 0, "%s: %s", file, found);
}

Test(exec, its_cgroups_hold_it_to_what_it_asked_for)
{
    only_as_root();
    int i = fake_place(f, job_of("service", SH("echo up; exec sleep 600")));
    await_output(i);
    cr_expect(*limit_of(i, "memory.limit_in_bytes") != '\0' || *limit_of(i, "memory.max") != '\0');
    expect_limit(i, "memory.limit_in_bytes", "33554432");
    expect_limit(i, "memory.memsw.limit_in_bytes", "33554432");
    expect_limit(i, "cpu.shares", "100");
    expect_limit(i, "memory.max", "33554432");
    expect_limit(i, "memory.swap.max", "0");
    expect_limit(i, "cpu.weight", "4");
    expect_limit(i, "pids.max", "4096");
}

Test(exec, memory_max_lets_it_use_more)
{
    only_as_root();
    Pb__Job *job =
        job_of("batch", "{\"command\": \"/usr/bin/perl\", \"args\": [\"-e\", \"my $x = 'a' "
                        "x (64 * 1024 * 1024); print 'alive'\"]}");
    Pb__Resources *r = job->task_groups[0]->tasks[0]->resources;
    r->has_memory_max_mb = true;
    r->memory_max_mb = 256;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, FAILED, 30000), "without a grant it is ignored");
    f->grant = arena_alloc(f->arena, sizeof *f->grant);
    pb__task_grant__init(f->grant);
    f->grant->task = job->task_groups[0]->tasks[0]->name;
    f->grant->has_memory_max_mb = true;
    f->grant->memory_max_mb = 256;
    i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 30000), "%s", fake_events(f, i, "t"));
    cr_assert_str_eq(output(i), "alive");
}

Test(exec, a_fork_bomb_stays_within_its_limit_and_is_killed_whole)
{
    only_as_root();
    /* The first process forks no more itself: a shell that may not ends. */
    const char *config = arena_printf(f->arena,
                                      "{\"command\": \"/bin/sh\", \"pids_limit\": 40, \"args\": "
                                      "[\"-c\", \"echo up; b() { while :; "
                                      "do sleep %s & done; }; b & b & b & exec sleep %s\"]}",
                                      fake_mark(), fake_mark());
    Pb__Job *job = job_of("service", config);
    job->task_groups[0]->tasks[0]->resources->memory_mb = 512; /* not this is to stop it */
    int i = fake_place(f, job);
    await_output(i);
    fake_run(f, 500);
    cr_assert_leq(fake_count_processes(fake_mark()), 41);
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, 20000));
    cr_assert_eq(fake_count_processes(fake_mark()), 0);
    expect_no_cgroups(i);
}

Test(exec, one_that_ignores_term_and_leaves_its_session_is_killed_whole)
{
    int i = fake_place(
        f,
        job_of("service",
               arena_printf(f->arena,
                            SH("trap '' INT TERM HUP; (setsid sh -c 'setsid sleep %s & exit' &) ; "
                               "echo up; while :; do sleep 0.1; done"),
                            fake_mark())));
    await_output(i);
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, 20000));
    cr_assert_eq(fake_count_processes(fake_mark()), 0);
    expect_no_cgroups(i);
}

Test(exec, signals_reach_the_task_and_not_the_init_beside_it)
{
    Pb__Job *job = job_of("service", SH("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep "
                                        "0.05; done"));
    Pb__Task *t = job->task_groups[0]->tasks[0];
    t->kill_signal = arena_strdup(f->arena, "SIGTERM");
    t->kill_timeout_ns = 20000000000;
    int i = fake_place(f, job);
    await_output(i);
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, 10000));
    cr_assert_str_eq(output(i), "up\nbye\n");
}

static bool has_no_marked(struct fake *w)
{
    return fake_count_processes(fake_mark()) == 0;
}

static pid_t shim_of(int i)
{
    char id[ID_TEXT_SIZE], command[300], line[32] = "0";
    id_format(f->allocs[i].alloc->id.data, id);
    /* Its state holds the pid of the task; the shim is that one's parent. */
    snprintf(
        command, sizeof command,
        "p=$(od -An -tu4 -j8 -N4 %s/data/shim/%s/t/state | tr -d ' '); awk '/^PPid/{print $2}' "
        "/proc/$p/status",
        f->dir, id);
    FILE *p = popen(command, "r");
    cr_assert(p != NULL && fgets(line, sizeof line, p) != NULL);
    pclose(p);
    return (int)strtol(line, NULL, 10);
}

Test(exec, nothing_is_left_when_the_shim_is_killed)
{
    int i = fake_place(
        f, job_of("service", arena_printf(f->arena, SH("setsid sleep %s & echo up; sleep %s"),
                                          fake_mark(), fake_mark())));
    await_output(i);
    pid_t shim = shim_of(i);
    cr_assert_gt(shim, 1);
    kill(shim, SIGKILL);
    cr_assert(fake_await(f, i, FAILED, 10000), "%s", fake_events(f, i, "t"));
    cr_assert(fake_until(f, has_no_marked, 5000));
    expect_no_cgroups(i);
}

Test(exec, nothing_is_left_when_agent_and_shim_are_killed)
{
    int i = fake_place(
        f, job_of("service", arena_printf(f->arena, SH("setsid sleep %s & echo up; sleep %s"),
                                          fake_mark(), fake_mark())));
    await_output(i);
    pid_t shim = shim_of(i);
    fake_kill_agent(f, SIGKILL);
    kill(shim, SIGKILL);
    cr_assert(fake_until(f, has_no_marked, 5000));
    fake_start_agent(f);
    cr_assert(fake_await(f, i, FAILED, 10000), "%s", fake_events(f, i, "t"));
    expect_no_cgroups(i);
}

Test(exec, a_new_agent_adopts_it)
{
    int i = fake_place(f, job_of("service", SH("echo up; while :; do sleep 0.1; done")));
    await_output(i);
    fake_kill_agent(f, SIGKILL);
    fake_start_agent(f);
    fake_run(f, 300);
    cr_assert_str_eq(output(i), "up\n");
    cr_assert(fake_is(f, i, RUNNING));
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, 10000));
    expect_no_cgroups(i);
}

Test(exec, limits_are_set_and_wrong_ones_refused)
{
    cr_assert_str_eq(
        run("{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"ulimit -Sn; ulimit -Hn\"], "
            "\"ulimit\": [{\"nofile\": \"100:200\"}]}"),
        "100\n200\n");
    static const char *const wrong[][2] = {
        {"{\"command\": \"/bin/sh\", \"ulimit\": [{\"nofiles\": \"1\"}]}", "is not a limit"},
        {"{\"command\": \"/bin/sh\", \"ulimit\": [{\"nofile\": \"9:x\"}]}", "SOFT or SOFT:HARD"},
        {"{\"command\": \"/bin/sh\", \"pids_limit\": 0}", "must be 1 to"},
        {"{\"command\": \"/bin/sh\", \"pid_mode\": \"host\"}", "must be \"private\""},
        {"{}", "\"command\" is missing"},
    };
    for (size_t k = 0; k < COUNT_OF(wrong); k++) {
        int i = fake_place(f, job_of("batch", wrong[k][0]));
        cr_assert(fake_await(f, i, FAILED, 10000));
        const char *text = fake_task(f, i, "t")->events[2]->display_message;
        cr_assert(strstr(text, wrong[k][1]) != NULL, "%s", text);
    }
}

Test(exec, a_hard_limit_of_cpu_is_kept)
{
    only_as_root();
    Pb__Job *job =
        job_of("batch", "{\"command\": \"/bin/sh\", \"cpu_hard_limit\": true, \"args\": "
                        "[\"-c\", \"i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; cat "
                        "/sys/fs/cgroup/none 2>/dev/null; echo $i; times\"]}");
    job->task_groups[0]->tasks[0]->resources->cpu =
        (uint32_t)(f->node->total->cpu / f->node->cores / 10);
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 30000), "%s", errors(i));
    const Pb__TaskState *t = fake_task(f, i, "t");
    /* "0m0.120000s 0m0.000000s": of the shell itself */
    char *rest = strchr(output(i), 'm');
    cr_assert_not_null(rest, "%s", output(i));
    double seconds = strtod(rest + 1, NULL);
    cr_assert_gt(seconds, 0);
    double wall = (double)(t->finished_at - t->started_at) / 1e9;
    cr_assert(wall > 3 * seconds, "%f s of processor in %f s", seconds, wall);
}
