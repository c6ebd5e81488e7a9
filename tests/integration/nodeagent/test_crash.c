/* The agent is killed right after each of the steps in which an allocation takes over the disk of
 * another, one after the other. The next agent goes on: the task has the data, once and whole, and
 * nothing is left of what came to nothing. */
#include "base/id.h"
#include "fake_gateway.h"
#include "kill_at.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMPLETE    PB__ALLOC__CLIENT_STATUS__COMPLETE
#define FAILED      PB__ALLOC__CLIENT_STATUS__FAILED
#define STEPS_LEAST 20 /* else the kills do not come where they should */

/* It runs twice: what the first run wrote must not be lost, whatever became of the agent. */
#define SCRIPT                                                                                     \
    "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"cat ../alloc/data/shared; if grep begun "     \
    "local/own; then exit 0; fi; echo begun >>local/own; echo first; exit 1\"]}"

static struct fake *f;
static struct kill_at *kills;
static int present;

static void start_agent(void)
{
    static const char sanitizer[] = "verify_asan_link_order=0:";
    const char *options = getenv("ASAN_OPTIONS");
    char *kept = options == NULL ? NULL : strdup(options);
    setenv("ASAN_OPTIONS", arena_printf(f->arena, "%s%s", sanitizer, kept == NULL ? "" : kept), 1);
    setenv("LD_PRELOAD", getenv("NORN_TEST_KILL_AT_LIBRARY"), 1);
    setenv(KILL_AT_VARIABLE, arena_printf(f->arena, "%s/kill-at", f->dir), 1);
    fake_start_agent(f);
    unsetenv("LD_PRELOAD");
    unsetenv(KILL_AT_VARIABLE);
    unsetenv("ASAN_OPTIONS");
    if (kept != NULL)
        setenv("ASAN_OPTIONS", kept, 1);
    free(kept);
}

static void begin(void)
{
    f = fake_new();
    int fd = open(arena_printf(f->arena, "%s/kill-at", f->dir), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && ftruncate(fd, sizeof *kills) == 0);
    kills = mmap(NULL, sizeof *kills, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(kills, MAP_FAILED);
    close(fd);
    start_agent();
}
static void end(void)
{
    atomic_store(&kills->left, 0);
    munmap(kills, sizeof *kills);
    fake_free(f);
}
TestSuite(crash, .init = begin, .fini = end, .timeout = 200);

/* The same disk as a tar, with what taskmove puts behind it. */
static void pack_disk(void)
{
    char line[512], part[65536];
    size_t n;
    snprintf(line, sizeof line,
             "d=%s/pack && mkdir -p $d/alloc/data/sub $d/t/local && cd $d && echo one >t/local/own "
             "&& echo two >alloc/data/shared && : >.complete && tar cf - alloc/data t/local "
             ".complete && rm -r $d",
             f->dir);
    FILE *p = popen(line, "re");
    cr_assert_not_null(p);
    while ((n = fread(part, 1, sizeof part, p)) > 0)
        strbuf_add(&f->http, part, n);
    cr_assert_eq(pclose(p), 0);
    f->http_status = 200;
}

static Pb__Job *a_job(const char *config, bool migrates)
{
    Pb__Job *job = fake_job(f, "batch", "raw_exec", config);
    Pb__EphemeralDisk *disk = arena_alloc(f->arena, sizeof *disk);
    pb__ephemeral_disk__init(disk);
    disk->has_sticky = disk->sticky = true;
    disk->has_migrate = disk->migrate = migrates;
    job->task_groups[0]->ephemeral_disk = disk;
    Pb__RestartPolicy *p = job->task_groups[0]->restart_policy;
    p->attempts = 3;
    p->has_interval_ns = p->has_delay_ns = true;
    p->interval_ns = 60000000000;
    p->delay_ns = 1000000;
    return job;
}

static int place_after(ProtobufCBinaryData previous, bool migrates)
{
    f->previous = previous;
    int i = fake_place(f, a_job(SCRIPT, migrates));
    f->previous = (ProtobufCBinaryData){0};
    return i;
}

static bool agent_has_gone(const struct fake *w)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)w->agent, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == w->agent;
}

static bool is_over(struct fake *w)
{
    return agent_has_gone(w) || fake_is(w, present, COMPLETE) || fake_is(w, present, FAILED);
}

static bool nothing_is_moving(struct fake *w)
{
    const struct dirent *d;
    int count = 0;
    DIR *dir = opendir(arena_printf(w->arena, "%s/data/moving", w->dir));
    while (dir != NULL && (d = readdir(dir)) != NULL)
        count += d->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return count == 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), wanted = strlen(end);
    return len >= wanted && strcmp(text + len - wanted, end) == 0;
}

/* NULL, or what is wrong with what it said and left. */
static const char *judge(int i)
{
    const char *said = fake_content(f, i, "alloc/logs/t.stdout.0");
    const char *first = strstr(said, "first\n");
    if (!ends_with(said, "two\nbegun\n") ||
        strcmp(fake_content(f, i, "t/local/own"), "one\nbegun\n") != 0)
        return "the data are not there";
    if (first != NULL && strstr(first + 1, "first\n") != NULL)
        return "the old data have come over the new";
    return strstr(fake_events(f, i, "t"), "Disk Not Moved") == NULL ? NULL : "it was not moved";
}

static void expect_the_data(int i, int step)
{
    const char *at = arena_printf(f->arena, "step %d, %s of %s", step, kills->at, kills->by);
    cr_assert(fake_await(f, i, COMPLETE, 30000), "%s: %s", at, fake_events(f, i, "t"));
    const char *wrong = judge(i);
    cr_assert(wrong == NULL, "%s: %s; %s", at, wrong, fake_content(f, i, "alloc/logs/t.stdout.0"));
    cr_assert(fake_until(f, nothing_is_moving, 10000), "%s: something is left", at);
}

/* False: the disk has long been its own: its first run has been and gone, or all of it. */
static bool is_killed_after(int step, ProtobufCBinaryData previous, bool migrates)
{
    atomic_store(&kills->left, step);
    present = place_after(previous, migrates);
    cr_assert(fake_until(f, is_over, 30000), "step %d: %s", step, fake_events(f, present, "t"));
    atomic_store(&kills->left, 0);
    bool killed = agent_has_gone(f);
    if (killed) {
        fake_kill_agent(f, SIGKILL);
        start_agent();
    }
    bool begun = strstr(fake_events(f, present, "t"), "Restarting") != NULL;
    expect_the_data(present, step);
    return killed && !begun;
}

Test(crash, a_disk_from_another_node_comes_whole_wherever_the_agent_is_killed)
{
    int step = 1;
    pack_disk();
    while (is_killed_after(step, wire_id(f->arena, id_new().bytes), true))
        step++;
    cr_assert_geq(step, STEPS_LEAST);
}

static ProtobufCBinaryData an_owner(void)
{
    int i = fake_place(f, a_job("{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"echo one "
                                ">local/own; echo two >../alloc/data/shared\"]}",
                                false));
    cr_assert(fake_await(f, i, COMPLETE, 30000));
    return f->allocs[i].alloc->id;
}

Test(crash, a_disk_of_this_node_goes_on_whole_wherever_the_agent_is_killed)
{
    int step = 1;
    while (is_killed_after(step, an_owner(), false))
        step++;
    cr_assert_geq(step, STEPS_LEAST);
}

static bool something_is_moving(struct fake *w)
{
    return !nothing_is_moving(w);
}

Test(crash, a_disk_that_is_wanted_no_more_leaves_nothing)
{
    pack_disk();
    f->http_held = f->http.len - 1024; /* for ever */
    present = place_after(wire_id(f->arena, id_new().bytes), true);
    cr_assert(fake_until(f, something_is_moving, 30000));
    fake_stop(f, present);
    cr_assert(fake_await(f, present, COMPLETE, 30000), "%s", fake_events(f, present, "t"));
    cr_assert(fake_until(f, nothing_is_moving, 10000), "something is left");
}
