/* The disk of an allocation where the file system keeps to project quotas: what its tasks, those
 * that take it over and their neighbours see of it. On ext4, and on xfs, which differs a little. */
#include "base/id.h"
#include "fake_gateway.h"
#include "quotafs.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPLETE  PB__ALLOC__CLIENT_STATUS__COMPLETE
#define FAILED    PB__ALLOC__CLIENT_STATUS__FAILED
#define MEBI      (1u << 20)
#define WAIT_MS   40000
#define EXT4_SAYS "Disk quota exceeded"
#define XFS_SAYS  "No space left on device"

/* fill FILE: writes 8 MiB there, and says what the system said if it did not come to that.
 * say_full: fills the disk, makes room again and says that, and whether more than 1.3 MB fitted.
 * await NAME, mark NAME: a file that the test makes, or looks for, beside the disk. */
#define SCRIPT                                                                                     \
    "fill() { dd if=/dev/zero of=$1 bs=16k count=512 2>&1 | grep -E 'exceeded|No space' | "        \
    "sed 's/.*: //'; }; "                                                                          \
    "say_full() { said=$(fill local/full); size=$(stat -c %%s local/full); rm local/full; "        \
    "echo $said, $((size > 1300000)); }; "                                                         \
    "marks=%s/marks; mark() { : >$marks/$1; }; "                                                   \
    "await() { until [ -e $marks/$1 ]; do sleep 0.02; done; }; "

static struct fake *f;

static void begin(const char *kind)
{
    f = fake_new();
    char *marks = arena_printf(f->arena, "%s/marks", f->dir);
    f->extra[0] = "--disk-interval-ms";
    f->extra[1] = "200";
    if (!quotafs_mount(f->dir, kind, "prjquota")) {
        fake_free(f);
        fprintf(stderr, "skipped: no %s with project quotas can be mounted here\n", kind);
        cr_skip("no %s with project quotas can be mounted here", kind);
    }
    cr_assert(mkdir(marks, 0777) == 0 && chmod(marks, 0777) == 0);
    fake_start_agent(f);
}

static void end(void)
{
    char dir[sizeof f->dir], data[sizeof f->dir + 8];
    strcpy(dir, f->dir);
    snprintf(data, sizeof data, "%s/data", dir);
    fake_free(f);
    quotafs_unmount(dir);
    if (rmdir(data) == 0)
        rmdir(dir);
}

TestSuite(quota, .fini = end, .timeout = 240);

/* user: NULL: root. */
static Pb__Job *a_job(uint32_t size_mb, const char *user, const char *script)
{
    char *config =
        arena_printf(f->arena, "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"" SCRIPT "%s\"]}",
                     f->dir, script);
    Pb__Job *job = fake_job(f, "batch", "raw_exec", config);
    Pb__EphemeralDisk *disk = arena_alloc(f->arena, sizeof *disk);
    pb__ephemeral_disk__init(disk);
    disk->has_size_mb = disk->has_sticky = true;
    disk->size_mb = size_mb;
    job->task_groups[0]->ephemeral_disk = disk;
    if (user != NULL)
        job->task_groups[0]->tasks[0]->user = arena_strdup(f->arena, user);
    return job;
}

static Pb__Job *sticky(Pb__Job *job)
{
    job->task_groups[0]->ephemeral_disk->sticky = true;
    return job;
}

static int place_after(ProtobufCBinaryData previous, Pb__Job *job)
{
    f->previous = previous;
    int i = fake_place(f, job);
    f->previous = (ProtobufCBinaryData){0};
    return i;
}

static const char *mark_path(const char *name)
{
    return arena_printf(f->arena, "%s/marks/%s", f->dir, name);
}

static void mark(const char *name)
{
    FILE *file = fopen(mark_path(name), "we");
    cr_assert_not_null(file);
    fclose(file);
}

static const char *looked_for;
static bool is_there(struct fake *w)
{
    return access(looked_for, F_OK) == 0;
}
static bool is_gone(struct fake *w)
{
    return access(looked_for, F_OK) != 0;
}

static void await_mark(const char *name, int i)
{
    looked_for = mark_path(name);
    cr_assert(fake_until(f, is_there, WAIT_MS), "%s: %s", name, fake_events(f, i, "t"));
}

static void await_gone(const char *path)
{
    looked_for = path;
    cr_assert(fake_until(f, is_gone, WAIT_MS), "%s", path);
}

static int speaker;
static const char *expected;
static bool has_said(struct fake *w)
{
    return strcmp(fake_content(w, speaker, "alloc/logs/t.stdout.0"), expected) == 0;
}

/* What a task that lives has said comes to its log a little later. */
static void expect_says(int i, const char *text)
{
    speaker = i;
    expected = text;
    cr_expect(fake_until(f, has_said, WAIT_MS), "%s", fake_content(f, i, "alloc/logs/t.stdout.0"));
}

static void expect_complete(int i, const char *says)
{
    cr_assert(fake_await(f, i, COMPLETE, WAIT_MS), "%s", fake_events(f, i, "t"));
    cr_expect_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), says);
}

static uint32_t project_of(int i)
{
    return quotafs_project(fake_path(f, i, ""));
}

static uint64_t limit_of(uint32_t project)
{
    return quotafs_limit(arena_printf(f->arena, "%s/data", f->dir), project);
}

static uint64_t used_by(uint32_t project)
{
    return quotafs_used(arena_printf(f->arena, "%s/data", f->dir), project);
}

/* ---- one allocation and its neighbour */

static void try_a_full_disk(const char *kind, const char *says)
{
    begin(kind);
    cr_expect_str_eq(fake_attribute(f, "unique.storage.quota"), "project");
    int full = fake_place(f, a_job(4, "nobody",
                                   "said=$(fill local/full); mark full; await go; rm local/full; "
                                   "echo $said; echo more >local/more; cat local/more"));
    await_mark("full", full);
    uint32_t project = project_of(full);
    cr_expect_eq(limit_of(project), 4 * MEBI);
    cr_expect(used_by(project) > 3 * MEBI && used_by(project) <= 4 * MEBI, "%lu", used_by(project));
    int other = fake_place(
        f, a_job(4, "nobody", "head -c 3000000 /dev/zero >local/some; stat -c %s local/some"));
    expect_complete(other, "3000000\n");
    mark("go");
    expect_complete(full, says);
}

Test(quota, a_task_whose_disk_is_full_is_told_and_lives_and_its_neighbour_has_its_own)
{
    try_a_full_disk("ext4", EXT4_SAYS "\nmore\n");
}

Test(quota, the_same_on_xfs)
{
    try_a_full_disk("xfs", XFS_SAYS "\nmore\n");
}

Test(quota, root_is_not_told_on_ext4_and_fails_when_it_is_measured)
{
    begin("ext4");
    int i = fake_place(f, a_job(4, NULL, "fill local/full; sleep 600"));
    cr_assert(fake_await(f, i, FAILED, WAIT_MS), "%s", fake_events(f, i, "t"));
    cr_expect_not_null(strstr(fake_events(f, i, "t"), "Disk Resources Exceeded"));
    cr_expect_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "");
}

/* As any owner of a file may. */
Test(quota, a_file_taken_out_of_its_project_is_measured)
{
    begin("ext4");
    int i = fake_place(
        f, a_job(4, "nobody", ": >local/free; chattr -p 0 local/free; fill local/free; sleep 600"));
    cr_assert(fake_await(f, i, FAILED, WAIT_MS), "%s", fake_events(f, i, "t"));
    cr_expect_not_null(strstr(fake_events(f, i, "t"), "Disk Resources Exceeded"));
    cr_expect_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "", "it was not told");
}

Test(quota, root_is_told_on_xfs)
{
    begin("xfs");
    int i = fake_place(f, a_job(4, NULL, "say_full"));
    expect_complete(i, XFS_SAYS ", 1\n");
}

/* ---- a disk that goes on */

static void restart_with_collection(void)
{
    fake_kill_agent(f, SIGKILL);
    f->extra[2] = "--gc-max-allocs";
    f->extra[3] = "1";
    f->extra[4] = "--gc-check-interval-ms";
    f->extra[5] = "10";
    fake_start_agent(f);
}

static void await_collection(int kept)
{
    const char *dir = fake_path(f, kept, "");
    restart_with_collection();
    await_gone(dir);
}

/* 3 of its 4 MB were used before it came. */
static void try_an_heir(const char *kind, const char *says)
{
    begin(kind);
    int owner = fake_place(
        f, sticky(a_job(4, "nobody",
                        "d=../alloc/data; mkdir -p $d/a/b; head -c 3000000 /dev/zero >$d/a/b/kept; "
                        "ln $d/a/b/kept $d/again; ln -s /etc $d/link; mkfifo $d/pipe; "
                        "echo one >local/own")));
    expect_complete(owner, "");
    int heir = place_after(
        f->allocs[owner].alloc->id,
        sticky(a_job(4, "nobody",
                     "say_full; stat -c %s ../alloc/data/a/b/kept; cat local/own; mark once; "
                     "await go; say_full; mark twice; sleep 600")));
    await_mark("once", heir);
    uint32_t before = project_of(owner), project = project_of(heir);
    cr_expect_neq(project, before);
    cr_expect_eq(quotafs_strangers(fake_path(f, heir, ""), project), 0);
    cr_expect_lt(used_by(before), MEBI);
    cr_expect(used_by(project) > 3000000 && used_by(project) < 4 * MEBI, "%lu", used_by(project));
    await_collection(owner);
    cr_expect_eq(limit_of(before), 0);
    cr_expect_eq(limit_of(project), 4 * MEBI);
    mark("go");
    await_mark("twice", heir);
    expect_says(heir, says);
    const char *dir = fake_path(f, heir, "");
    fake_kill_agent(f, SIGKILL);
    fake_remove(f, heir);
    fake_start_agent(f);
    await_gone(dir);
    cr_expect_eq(limit_of(project), 0);
}

#define KEPT "3000000\none\n"

Test(quota, a_disk_that_is_taken_over_has_the_limit_of_who_has_it)
{
    try_an_heir("ext4", EXT4_SAYS ", 0\n" KEPT EXT4_SAYS ", 0\n");
}

Test(quota, it_has_on_xfs)
{
    try_an_heir("xfs", XFS_SAYS ", 0\n" KEPT XFS_SAYS ", 0\n");
}

static bool has_a_part(struct fake *w)
{
    return used_by(project_of(w->alloc_count - 1)) > MEBI;
}

/* 2000 files of a block each: time enough to be met when some, but hardly all, are of the heir. */
static int place_many_files(void)
{
    int owner = fake_place(f, sticky(a_job(32, "nobody",
                                           "i=0; while [ $i -lt 2000 ]; do "
                                           "echo $i >../alloc/data/$i; i=$((i+1)); done")));
    expect_complete(owner, "");
    return owner;
}

static int place_who_counts(int previous)
{
    return place_after(
        f->allocs[previous].alloc->id,
        sticky(a_job(32, "nobody", "await go; ls ../alloc/data | wc -l; cat ../alloc/data/1999")));
}

static void expect_all_files(int heir)
{
    mark("go");
    expect_complete(heir, "2000\n1999\n");
    cr_expect_eq(quotafs_strangers(fake_path(f, heir, ""), project_of(heir)), 0);
    cr_expect_null(strstr(fake_events(f, heir, "t"), "Disk Not Moved"));
}

Test(quota, an_agent_that_is_killed_while_it_passes_a_disk_goes_on)
{
    begin("ext4");
    int owner = place_many_files();
    int heir = place_who_counts(owner);
    for (int i = 0; i < 2; i++) {
        cr_assert(fake_until(f, has_a_part, WAIT_MS), "%s", fake_events(f, heir, "t"));
        fake_kill_agent(f, SIGKILL);
        fake_start_agent(f);
    }
    expect_all_files(heir);
    cr_expect_lt(used_by(project_of(owner)), MEBI);
}

Test(quota, an_heir_that_is_stopped_while_it_is_passed_a_disk_leaves_it_to_the_next)
{
    begin("ext4");
    int stopped = place_who_counts(place_many_files());
    cr_assert(fake_until(f, has_a_part, WAIT_MS), "%s", fake_events(f, stopped, "t"));
    fake_stop(f, stopped);
    cr_assert(fake_await(f, stopped, COMPLETE, WAIT_MS));
    expect_all_files(place_who_counts(stopped));
}

Test(quota, a_disk_is_not_collected_while_it_is_passed)
{
    begin("ext4");
    int owner = place_many_files();
    const char *dir = fake_path(f, owner, "");
    restart_with_collection();
    int heir = place_who_counts(owner);
    cr_assert(fake_until(f, has_a_part, WAIT_MS), "%s", fake_events(f, heir, "t"));
    await_gone(dir);
    expect_all_files(heir);
}

/* What cannot be given to the heir stays where it is, and is not charged to it. */
Test(quota, what_cannot_be_passed_is_said_and_the_task_starts)
{
    begin("ext4");
    int owner = fake_place(f, sticky(a_job(4, NULL,
                                           "head -c 1000000 /dev/zero >../alloc/data/some; "
                                           "echo x >../alloc/data/fixed; "
                                           "chattr +i ../alloc/data/fixed; echo one >local/own")));
    expect_complete(owner, "");
    int heir = place_after(f->allocs[owner].alloc->id,
                           sticky(a_job(4, "nobody", "cat local/own; ls ../alloc/data")));
    expect_complete(heir, "one\n");
    cr_expect_str_eq(fake_events(f, heir, "t"),
                     "Received,Task Setup,Disk Not Moved,Started,Terminated");
    const char *said = fake_task(f, heir, "t")->events[2]->display_message;
    cr_expect(strstr(said, "give alloc/data its new project") != NULL, "%s", said);
    cr_expect_lt(used_by(project_of(heir)), 200000);
    cr_expect_eq(
        system(arena_printf(f->arena, "chattr -i %s", fake_path(f, owner, "alloc/data/fixed"))), 0);
}

/* As taskmove packs it on the other node. */
static void pack_disk(void)
{
    char part[65536];
    size_t n;
    FILE *p =
        popen(arena_printf(f->arena,
                           "d=%s/pack && mkdir -p $d/alloc/data $d/t/local && cd $d && "
                           "head -c 3000000 /dev/urandom >alloc/data/kept && chmod -R a+rwX . "
                           "&& : >.complete && "
                           "tar cf - alloc/data t/local .complete && rm -r $d",
                           f->dir),
              "re");
    cr_assert_not_null(p);
    while ((n = fread(part, 1, sizeof part, p)) > 0)
        strbuf_add(&f->http, part, n);
    cr_assert_eq(pclose(p), 0);
}

static void try_a_stranger(const char *kind, const char *says)
{
    begin(kind);
    pack_disk();
    f->http_status = 200;
    Pb__Job *job = sticky(a_job(4, "nobody", "say_full; stat -c %s ../alloc/data/kept"));
    job->task_groups[0]->ephemeral_disk->has_migrate = true;
    job->task_groups[0]->ephemeral_disk->migrate = true;
    int i = place_after(wire_id(f->arena, id_new().bytes), job);
    expect_complete(i, says);
    cr_expect_eq(quotafs_strangers(fake_path(f, i, ""), project_of(i)), 0);
}

Test(quota, a_disk_that_came_from_another_node_has_the_limit_of_who_has_it)
{
    try_a_stranger("ext4", EXT4_SAYS ", 0\n3000000\n");
}

Test(quota, one_that_came_has_it_on_xfs)
{
    try_a_stranger("xfs", XFS_SAYS ", 0\n3000000\n");
}
