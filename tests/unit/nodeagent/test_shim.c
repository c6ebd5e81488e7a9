/* The real taskshim with real processes, without an agent around it. */
#include "nodeagent/cgroup.h"
#include "nodeagent/supervisor.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], shim_dir[96], log_dir[96];
static const char *setting; /* of cgroups */
static struct cgroups cgroups;
static char cgroup[600];
static struct loop *loop;
static struct supervisor *sup;
static struct shim_message last;
static bool lost;
static struct timer timer;
static const uint8_t alloc_id[16] = {0xfe, 0xed};

static void on_state(void *owner, const struct shim_message *m)
{
    last = *m;
    loop_stop(loop);
}
static void on_lost(void *owner)
{
    lost = true;
    loop_stop(loop);
}
static const struct supervisor_handlers handlers = {on_state, on_lost, NULL};

static void on_deadline(void *owner)
{
    loop_stop(loop);
}

static bool await_kind(int kind, int ms)
{
    uint64_t until = loop_now_ms(loop) + (uint64_t)ms;
    while (last.kind != kind && !lost && loop_now_ms(loop) < until) {
        timer_arm(loop, &timer, until - loop_now_ms(loop), on_deadline, NULL);
        loop_run(loop);
    }
    timer_cancel(loop, &timer);
    return last.kind == kind;
}

static void begin(void)
{
    strcpy(dir, "/tmp/norn-shim-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(shim_dir, sizeof shim_dir, "%s/shim", dir);
    snprintf(log_dir, sizeof log_dir, "%s/logs", dir);
    mkdir(shim_dir, 0700);
    mkdir(log_dir, 0755);
    /* Shims are our children: as in the agent, none is to become a zombie. */
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT}, NULL);
    signal(SIGPIPE, SIG_IGN);
    loop = loop_new();
    setting = "auto";
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

/* A number no other process names, to count what is left while other tests run. */
static const char *mark(void)
{
    static char text[32];
    snprintf(text, sizeof text, "91%07d", getpid());
    return text;
}

static int count_processes(void)
{
    const char *what = mark();
    int count = 0;
    struct dirent *entry;
    DIR *d = opendir("/proc");
    while ((entry = readdir(d)) != NULL) {
        char path[300], text[4096];
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        int fd = open(path, O_RDONLY);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
        if (fd >= 0)
            close(fd);
        count += n > 0 && memmem(text, (size_t)n, what, strlen(what)) != NULL;
    }
    closedir(d);
    return count;
}

static void end(void)
{
    /* A test that failed leaves its task: nothing may outlive it. */
    if (sup != NULL && last.kind != SHIM_EXITED) {
        supervisor_kill(sup, SIGKILL, 0);
        await_kind(SHIM_EXITED, 10000);
    }
    supervisor_release(sup);
    sup = NULL;
    cgroups_fini(&cgroups);
    loop_free(loop);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
TestSuite(shim, .init = begin, .fini = end, .timeout = 60);

static void start(const char *script, uint64_t max_bytes, uint32_t max_files)
{
    static char path[512];
    const char *bin = getenv("NORN_BIN");
    struct reason why;
    char variable[64];
    snprintf(variable, sizeof variable, "MARK=%s", mark());
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script};
    char *envp[] = {variable, (char[]){"PATH=/usr/bin:/bin"}};
    cgroups_init(&cgroups, setting);
    cgroups_task_path(&cgroups, alloc_id, strrchr(dir, '-'), cgroup, sizeof cgroup);
    snprintf(path, sizeof path, "%s/taskshim", bin == NULL ? "build/bin" : bin);
    const struct supervisor_spec spec = {
        .shim = path,
        .dir = shim_dir,
        .log_dir = log_dir,
        .task = "t",
        .cwd = dir,
        .tree = cgroups.kind,
        .cgroup = cgroup,
        .shims_cgroup = cgroups.shims,
        .program = "/bin/sh",
        .argv = argv,
        .argc = 3,
        .envp = envp,
        .envc = 2,
        .max_files = max_files,
        .max_file_bytes = max_bytes,
    };
    cr_assert_eq(supervisor_spawn(&sup, loop, &spec, &handlers, &why), OK, "%s", why.text);
}

/* Waits until the task has said something, so that it has come as far as that. */
static const char *await_output(void)
{
    static char text[64];
    char path[128];
    snprintf(path, sizeof path, "%s/t.stdout.0", log_dir);
    for (int i = 0; i < 500; i++) {
        FILE *f = fopen(path, "re");
        bool got = f != NULL && fgets(text, sizeof text, f) != NULL;
        if (f != NULL)
            fclose(f);
        if (got)
            return text;
        poll(NULL, 0, 10);
    }
    cr_assert_fail("it said nothing");
    return "";
}

Test(shim, tells_start_and_exit_code)
{
    start("exit 42", 1 << 20, 2);
    cr_assert(await_kind(SHIM_EXITED, 5000));
    cr_assert_eq(last.exit_code, 42);
    cr_assert_eq(last.signal, 0);
    cr_assert(last.started_at > 0 && last.finished_at >= last.started_at);
}

Test(shim, tells_the_signal_it_died_of)
{
    start("kill -SEGV $$", 1 << 20, 2);
    cr_assert(await_kind(SHIM_EXITED, 5000));
    cr_assert_eq(last.signal, SIGSEGV);
    cr_assert_eq(last.exit_code, 128 + SIGSEGV);
}

Test(shim, twenty_megabytes_of_lines_arrive_whole)
{
    char command[512], text[128] = "", expected[128] = "";
    start("seq -f 'line number %.0f of many' 1 800000", 1 << 20, 1000);
    cr_assert(await_kind(SHIM_EXITED, 30000));
    cr_assert_eq(last.exit_code, 0);
    snprintf(command, sizeof command,
             "cd %s && for i in $(seq 0 200); do [ -f t.stdout.$i ] && cat t.stdout.$i; done | "
             "sha256sum",
             log_dir);
    signal(SIGCHLD, SIG_DFL);
    FILE *p = popen(command, "r");
    cr_assert_not_null(fgets(text, sizeof text, p));
    pclose(p);
    p = popen("seq -f 'line number %.0f of many' 1 800000 | sha256sum", "r");
    cr_assert_not_null(fgets(expected, sizeof expected, p));
    pclose(p);
    cr_assert_str_eq(text, expected);
    char second[128];
    snprintf(second, sizeof second, "%s/t.stdout.5", log_dir);
    cr_assert_eq(access(second, F_OK), 0);
}

Test(shim, the_end_is_kept_until_it_is_acknowledged)
{
    start("sleep 0.3; exit 9", 1 << 20, 2);
    cr_assert(await_kind(SHIM_STARTED, 5000));
    int pid = last.pid;
    supervisor_close(sup);
    struct shim_message kept = {0};
    for (int i = 0; i < 3000 && kept.kind != SHIM_EXITED; i++) {
        cr_assert(supervisor_last_state(shim_dir, &kept));
        poll(NULL, 0, 10);
    }
    cr_assert(kept.kind == SHIM_EXITED && kept.exit_code == 9 && kept.pid == pid);
    cr_assert_eq(supervisor_attach(&sup, loop, shim_dir, &handlers, NULL), OK);
    cr_assert(await_kind(SHIM_EXITED, 5000));
    cr_assert_eq(last.exit_code, 9);
    supervisor_release(sup);
    sup = NULL;
    for (int i = 0; i < 200 && supervisor_attach(&sup, loop, shim_dir, &handlers, NULL) == OK;
         i++) {
        supervisor_close(sup);
        sup = NULL;
        poll(NULL, 0, 10);
    }
    cr_assert_null(sup, "it has gone");
}

Test(shim, a_shutdown_of_the_machine_does_not_wait_for_an_agent)
{
    start("echo $PPID; exec sleep $MARK", 1 << 20, 2);
    cr_assert(await_kind(SHIM_STARTED, 5000));
    pid_t task = last.pid, shim = atoi(await_output());
    supervisor_close(sup);
    sup = NULL;
    kill(shim, SIGTERM);
    poll(NULL, 0, 100);
    cr_assert(kill(shim, 0) == 0 && kill(task, 0) == 0, "the task is not ended by it");
    kill(task, SIGTERM);
    for (int i = 0; i < 3000 && kill(shim, 0) == 0; i++)
        poll(NULL, 0, 10);
    cr_assert(kill(shim, 0) != 0, "it has gone, though nobody asked");
    cr_assert(supervisor_last_state(shim_dir, &last));
    cr_assert(last.kind == SHIM_EXITED && last.signal == SIGTERM);
}

Test(shim, a_task_ignores_nothing_that_we_ignore)
{
    signal(SIGINT, SIG_IGN);
    start("exec sleep 100", 1 << 20, 2);
    cr_assert(await_kind(SHIM_STARTED, 5000));
    supervisor_kill(sup, SIGINT, 20000 * 1000000ll);
    cr_assert(await_kind(SHIM_EXITED, 3000));
    cr_assert_eq(last.signal, SIGINT);
    cr_assert_eq(last.exit_code, 130);
}

static int connect_raw(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", shim_dir);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Its directory keeps others away as well; here it does not. */
Test(shim, another_user_is_told_nothing_and_obeyed_in_nothing)
{
    struct shim_message m;
    char sock[200];
    int status = -1;
    if (geteuid() != 0) {
        end(); /* nobody else does, of what is skipped */
        cr_skip("there is no other user");
    }
    start("sleep 0.7; exit 4", 1 << 20, 2);
    cr_assert(await_kind(SHIM_STARTED, 5000));
    cr_assert(chmod(dir, 0711) == 0 && chmod(shim_dir, 0711) == 0);
    snprintf(sock, sizeof sock, "%s/sock", shim_dir);
    cr_assert_eq(chmod(sock, 0666), 0);
    signal(SIGCHLD, SIG_DFL); /* this child is waited for */
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(1);
        int fd = connect_raw();
        _exit(fd >= 0 && recv(fd, &m, sizeof m, 0) <= 0 ? 0 : 2);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(WEXITSTATUS(status), 0, "%d", status);
}

Test(shim, garbage_on_its_socket_does_it_no_harm)
{
    char garbage[2000];
    int silent[12];
    start("sleep 0.7; exit 4", 1 << 20, 2);
    cr_assert(await_kind(SHIM_STARTED, 5000));
    for (int round = 0; round < 200; round++) {
        int fd = connect_raw();
        for (size_t i = 0; i < sizeof garbage; i++)
            garbage[i] = (char)(round * 31 + (int)i * 7);
        if (round % 3 == 0)
            memcpy(garbage, &(struct shim_message){.magic = SHIM_MAGIC, .kind = (uint16_t)round},
                   sizeof(struct shim_message) / 2);
        if (send(fd, garbage, (size_t)(round * 9) % sizeof garbage, MSG_NOSIGNAL) < 0)
            poll(NULL, 0, 1);
        close(fd);
    }
    /* More that say nothing than it has places for: the newest is served. */
    for (size_t i = 0; i < COUNT_OF(silent); i++)
        silent[i] = connect_raw();
    struct shim_message m;
    cr_assert_eq(recv(silent[COUNT_OF(silent) - 1], &m, sizeof m, 0), (ssize_t)sizeof m);
    for (size_t i = 0; i < COUNT_OF(silent); i++)
        close(silent[i]);
    supervisor_close(sup);
    cr_assert_eq(supervisor_attach(&sup, loop, shim_dir, &handlers, NULL), OK);
    cr_assert(await_kind(SHIM_EXITED, 5000));
    cr_assert_eq(last.exit_code, 4);
}

/* Chains that make a session of their own, ignore TERM, and fork and exit for ever; at least as
 * long as the test's directory is there. */
static const char chains[] =
    "trap '' TERM; export SELF='trap \"\" TERM INT HUP; [ -d logs ] || exit 0; sleep 0.003; "
    "setsid sh -c \"$SELF\" $MARK & exit 0'; "
    "for i in 1 2 3 4 5 6 7 8; do setsid sh -c \"$SELF\" $MARK & done; "
    "while [ -d logs ]; do sleep 0.1; done";

static void kill_chains(void)
{
    start(chains, 1 << 20, 2);
    cr_assert(await_kind(SHIM_STARTED, 5000));
    int most = 0;
    for (int i = 0; i < 100 && most < 4; i++) {
        poll(NULL, 0, 20);
        int n = count_processes();
        most = n > most ? n : most;
    }
    cr_assert_gt(most, 0, "the chains run");
    supervisor_kill(sup, SIGTERM, 200 * 1000000ll);
    cr_assert(await_kind(SHIM_EXITED, 20000));
    cr_assert_eq(last.signal, SIGKILL);
    cr_assert_eq(count_processes(), 0);
    for (int i = 0; i < 10; i++) {
        poll(NULL, 0, 10);
        cr_assert_eq(count_processes(), 0);
    }
    cr_assert(cgroup[0] == '\0' || access(cgroup, F_OK) != 0, "its cgroup has gone");
}

Test(shim, kills_a_whole_tree_by_cgroup_or_what_there_is)
{
    kill_chains();
}

Test(shim, kills_a_whole_tree_by_walking_it)
{
    setting = "none";
    kill_chains();
}

Test(shim, kills_a_whole_tree_by_the_v1_freezer)
{
    setting = "/sys/fs/cgroup/freezer";
    if (access("/sys/fs/cgroup/freezer/cgroup.procs", W_OK) != 0)
        return; /* no v1 freezer here, or not ours to use */
    kill_chains();
}

Test(shim, what_outlives_the_first_process_is_killed_too)
{
    start("setsid sleep $MARK & exit 0", 1 << 20, 2);
    cr_assert(await_kind(SHIM_EXITED, 5000));
    cr_assert_eq(last.exit_code, 0);
    cr_assert_eq(count_processes(), 0);
}

Test(shim, a_graceful_end_is_told_as_such)
{
    start("trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done", 1 << 20, 2);
    cr_assert(await_kind(SHIM_STARTED, 5000));
    await_output();
    supervisor_kill(sup, SIGTERM, 5000 * 1000000ll);
    cr_assert(await_kind(SHIM_EXITED, 3000));
    cr_assert_eq(last.exit_code, 9);
}

Test(shim, a_task_that_nobody_can_find_any_more_ends_however_much_it_says)
{
    start("sleep $MARK & while :; do echo busy; sleep 0.2; done", 1 << 20, 2);
    cr_assert(await_kind(SHIM_STARTED, 5000));
    for (int i = 0; i < 50 && count_processes() == 0; i++)
        poll(NULL, 0, 100);
    supervisor_close(sup);
    sup = NULL;
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    for (int i = 0; i < 250 && count_processes() > 0; i++)
        poll(NULL, 0, 100);
    cr_assert_eq(count_processes(), 0);
}

Test(shim, the_task_dies_with_its_shim)
{
    start("echo $PPID; exec sleep $MARK", 1 << 20, 2);
    cr_assert(await_kind(SHIM_STARTED, 5000));
    kill(atoi(await_output()), SIGKILL);
    last.kind = 0;
    await_kind(SHIM_EXITED, 3000);
    cr_assert(lost);
    poll(NULL, 0, 50);
    cr_assert_eq(count_processes(), 0);
    cgroups_clear(&cgroups, alloc_id, strrchr(dir, '-'), 100);
    supervisor_close(sup);
    sup = NULL;
}
