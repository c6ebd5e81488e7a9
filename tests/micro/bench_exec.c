/* From the agent's decision to start a task to the task's exit, and to the agent knowing of it
 * (which is after taskshim has synced it to disk), for /bin/true: with the isolation of driver exec
 * and without. The loop, taskshim and the kernel are all in it; an agent's local state and the
 * servers are not. Run it as root: `bench-exec PATH_OF_TASKSHIM [ROUNDS]`. */
#include "nodeagent/cgroup.h"
#include "nodeagent/supervisor.h"
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_ROUNDS 1000

static struct loop *loop;
static struct shim_message last;

static void on_state(void *owner, const struct shim_message *m)
{
    last = *m;
    if (m->kind != SHIM_STARTED)
        loop_stop(loop);
}
static void on_lost(void *owner)
{
    last.kind = 0;
    loop_stop(loop);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t); /* the clock of taskshim's times */
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double run_once(const struct supervisor_spec *spec, double *to_exit)
{
    const struct supervisor_handlers h = {on_state, on_lost, NULL};
    struct supervisor *s;
    struct reason why;
    double before = now_ms();
    if (supervisor_spawn(&s, loop, spec, &h, &why) != OK) {
        fprintf(stderr, "bench-exec: %s\n", why.text);
        exit(1);
    }
    loop_run(loop);
    double took = now_ms() - before;
    if (last.kind != SHIM_EXITED || last.exit_code != 0) {
        fprintf(stderr, "bench-exec: it did not run: %s\n", last.text);
        exit(1);
    }
    *to_exit = (double)last.finished_at / 1e6 - before;
    supervisor_release(s);
    return took;
}

static void tell(const char *name, const char *what, double *took, int rounds)
{
    qsort(took, (size_t)rounds, sizeof *took, by_size);
    printf("%-9s %s, %d times: min %.2f p50 %.2f p95 %.2f ms\n", name, what, rounds, took[0],
           took[rounds / 2], took[rounds * 95 / 100]);
}

static void measure(const char *name, const struct supervisor_spec *spec, int rounds)
{
    static double exited[MAX_ROUNDS], told[MAX_ROUNDS];
    for (int i = 0; i < rounds; i++)
        told[i] = run_once(spec, &exited[i]);
    tell(name, "start to exit", exited, rounds);
    tell(name, "start to told", told, rounds);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static const char *make_below(const char *dir, const char *name)
{
    static char paths[8][128];
    static int used;
    char *path = paths[used++];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    mkdir(path, 0755);
    return path;
}

int main(int argc, char **argv)
{
    static const char *const host[] = {"/bin", "/etc", "/lib", "/lib32", "/lib64", "/sbin", "/usr"};
    static const uint8_t id[16] = {0xbe};
    char dir[] = "/tmp/norn-bench-XXXXXX", tree[600], paths[SHIM_CONTROLLERS][600];
    char *task_argv[] = {(char[]){"true"}}, *envp[] = {(char[]){"PATH=/bin"}};
    struct spec_mount mounts[16];
    struct cgroups cgroups;
    size_t count = 0;
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 200;
    if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS || mkdtemp(dir) == NULL) {
        fprintf(stderr, "usage: bench-exec PATH_OF_TASKSHIM [ROUNDS up to %d]\n", MAX_ROUNDS);
        return 2;
    }
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT}, NULL);
    loop = loop_new();
    cgroups_init(&cgroups, "auto");
    cgroups_task_path(&cgroups, id, "t", tree, sizeof tree);
    struct supervisor_spec spec = {
        .shim = argv[1],
        .dir = make_below(dir, "shim"),
        .log_dir = make_below(dir, "logs"),
        .task = "t",
        .cwd = "/",
        .tree = cgroups.kind,
        .cgroup = tree,
        .shims_cgroup = cgroups.shims,
        .program = "/bin/true",
        .argv = task_argv,
        .argc = 1,
        .envp = envp,
        .envc = 1,
        .max_files = 1,
        .max_file_bytes = 1 << 20,
    };
    measure("raw_exec", &spec, rounds);
    for (size_t i = 0; i < COUNT_OF(host); i++)
        mounts[count++] = (struct spec_mount){host[i], host[i], false, false};
    mounts[count++] = (struct spec_mount){make_below(dir, "local"), "/local", true, false};
    mounts[count++] = (struct spec_mount){make_below(dir, "alloc"), "/alloc", true, false};
    mounts[count++] = (struct spec_mount){make_below(dir, "secrets"), "/secrets", true, false};
    mounts[count++] = (struct spec_mount){make_below(dir, "tmp"), "/tmp", true, false};
    for (int i = 0; i < SHIM_CONTROLLERS; i++) {
        cgroups_limit_path(&cgroups, (enum shim_controller)i, id, "t", paths[i], sizeof paths[i]);
        spec.controllers[i] = paths[i];
    }
    spec.limits_v2 = cgroups.limits_v2;
    spec.limits = (struct shim_limits){.memory_bytes = 64 << 20, .cpu_shares = 100, .pids = 4096};
    spec.isolate = spec.set_user = true;
    spec.uid = spec.gid = 65534;
    spec.mounts = mounts;
    spec.mount_count = count;
    measure("exec", &spec, rounds);
    loop_free(loop);
    cgroups_fini(&cgroups);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
