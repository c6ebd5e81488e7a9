/* How fast what one task prints gets through taskshim into its rotated files: a task that writes
 * in pieces of 64 or 4 KiB, from its start to its end. Fails if a byte is missing. Run it as
 * `bench-logs PATH_OF_TASKSHIM [MIB [DIR]]`; with logs below DIR, /dev/shm tells what is not the
 * disk. */
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

enum { FILE_MB = 10, FILES_MOST = 10000 };

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

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static uint64_t bytes_in(const char *dir)
{
    uint64_t all = 0;
    for (int i = 0; i < FILES_MOST; i++) {
        char path[256];
        struct stat st;
        snprintf(path, sizeof path, "%s/t.stdout.%d", dir, i);
        if (stat(path, &st) == 0)
            all += (uint64_t)st.st_size;
    }
    return all;
}

/* The seconds it took; the program ends if a byte is missing. */
static double run_once(struct supervisor_spec *spec, const char *script, uint64_t bytes)
{
    const struct supervisor_handlers h = {on_state, on_lost, NULL};
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script};
    struct supervisor *s;
    struct reason why = {""};
    spec->argv = argv;
    spec->argc = 3;
    last.kind = 0;
    if (supervisor_spawn(&s, loop, spec, &h, &why) != OK) {
        fprintf(stderr, "bench-logs: %s\n", why.text);
        exit(1);
    }
    loop_run(loop);
    double took = (double)(last.finished_at - last.started_at) / 1e9;
    supervisor_release(s);
    uint64_t got = bytes_in(spec->log_dir);
    if (last.kind != SHIM_EXITED || last.exit_code != 0 || got != bytes) {
        fprintf(stderr, "bench-logs: %lu of %lu bytes arrived\n", (unsigned long)got,
                (unsigned long)bytes);
        exit(1);
    }
    return took;
}

int main(int argc, char **argv)
{
    static const uint8_t id[16] = {0xbf};
    char dir[128], shim_dir[160], log_dir[160], tree[600], script[256];
    char *envp[] = {(char[]){"PATH=/usr/bin:/bin"}};
    struct cgroups cgroups;
    unsigned long mib = argc > 2 ? strtoul(argv[2], NULL, 10) : 1024;
    snprintf(dir, sizeof dir, "%.100s/norn-bench-XXXXXX", argc > 3 ? argv[3] : "/tmp");
    if (argc < 2 || mib < 1 || mib > FILES_MOST || mkdtemp(dir) == NULL) {
        fprintf(stderr, "usage: bench-logs PATH_OF_TASKSHIM [MIB up to %d [DIR]]\n", FILES_MOST);
        return 2;
    }
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT}, NULL);
    loop = loop_new();
    cgroups_init(&cgroups, "auto");
    cgroups_task_path(&cgroups, id, "t", tree, sizeof tree);
    snprintf(shim_dir, sizeof shim_dir, "%s/shim", dir);
    snprintf(log_dir, sizeof log_dir, "%s/logs", dir);
    struct supervisor_spec spec = {
        .shim = argv[1],
        .dir = shim_dir,
        .log_dir = log_dir,
        .task = "t",
        .cwd = "/",
        .tree = cgroups.kind,
        .cgroup = tree,
        .shims_cgroup = cgroups.shims,
        .program = "/bin/sh",
        .envp = envp,
        .envc = 1,
        .max_files = FILES_MOST,
        .max_file_bytes = FILE_MB << 20,
    };
    static const struct {
        const char *what, *size;
    } cases[] = {{"pieces of 64 KiB", "64k"}, {"pieces of 4 KiB", "4k"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        mkdir(shim_dir, 0700);
        mkdir(log_dir, 0755);
        snprintf(script, sizeof script,
                 "dd if=/dev/zero bs=%s iflag=count_bytes count=%luM 2>/dev/null", cases[i].size,
                 mib);
        double took = run_once(&spec, script, mib << 20);
        printf("%s: %lu MiB in %.2f s, %.0f MB/s\n", cases[i].what, mib, took,
               (double)mib * 1.048576 / took);
        nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        mkdir(dir, 0700);
    }
    loop_free(loop);
    cgroups_fini(&cgroups);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
