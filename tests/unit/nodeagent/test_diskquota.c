/* The project quota of an allocation's directory, where a file system with such can be mounted. */
#include "nodeagent/allocdir.h"
#include "nodeagent/diskquota.h"
#include "quotafs.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEBI   (1u << 20)
#define NOBODY 65534

static const uint8_t one[16] = {1, [15] = 1}, other[16] = {2, [15] = 1};
static char dir[64], data[80];
static struct reason why;

static void shell(const char *format, const char *path)
{
    char line[512];
    snprintf(line, sizeof line, format, path);
    cr_assert_eq(system(line), 0, "%s", line);
}

static void end(void)
{
    quotafs_unmount(dir);
    shell("rm -rf %s", dir);
}

TestSuite(diskquota, .fini = end, .timeout = 60);

static void begin(const char *kind, const char *options)
{
    snprintf(dir, sizeof dir, "/tmp/norn-diskquota-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL && chmod(dir, 0755) == 0);
    snprintf(data, sizeof data, "%s/data", dir);
    if (!quotafs_mount(dir, kind, options)) {
        end(); /* not called for what is skipped */
        cr_skip_test("skipped: no %s with project quotas can be mounted here", kind);
    }
    cr_assert_eq(allocdir_prepare(data, &why), OK, "%s", why.text);
}

static void make_limited(const uint8_t alloc[16], uint64_t bytes)
{
    cr_assert_eq(allocdir_limit(data, alloc, bytes, &why), OK, "%s", why.text);
    cr_assert_eq(allocdir_make(data, alloc, "t", NOBODY, NOBODY, &why), OK, "%s", why.text);
}

static char *path_of(const uint8_t alloc[16])
{
    struct arena *a = arena_new(1 << 16);
    static char path[2][200];
    static int next;
    char *to = path[next++ % 2];
    snprintf(to, sizeof path[0], "%s", allocdir_path(a, data, alloc));
    arena_free(a);
    return to;
}

static uint64_t used(const uint8_t alloc[16])
{
    uint64_t bytes = 0;
    cr_assert_eq(diskquota_used(path_of(alloc), &bytes, &why), OK, "%s", why.text);
    return bytes;
}

/* Writes as a task that is not root, up to `most`; the exit code is the error it ends with. */
static int fill(const uint8_t alloc[16], const char *name, size_t most)
{
    char path[256];
    static const char block[4096] = "x";
    int status;
    snprintf(path, sizeof path, "%s/%s", path_of(alloc), name);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(255);
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        size_t n = 0;
        errno = 0;
        while (fd >= 0 && n < most && write(fd, block, sizeof block) == sizeof block)
            n += sizeof block;
        _exit(n >= most ? 0 : errno);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

Test(diskquota, a_disk_ends_at_its_size_and_no_other_with_it)
{
    begin("ext4", "prjquota");
    make_limited(one, 4 * MEBI);
    make_limited(other, 4 * MEBI);
    cr_expect_eq(fill(one, "t/local/full", 8 * MEBI), EDQUOT);
    cr_expect(used(one) <= 4 * MEBI && used(one) > 4 * MEBI - 8192, "%lu", used(one));
    cr_expect_eq(fill(one, "alloc/data/more", 65536), EDQUOT, "all its directories count");
    cr_expect_lt(used(other), 65536);
    cr_expect_eq(fill(other, "t/local/some", 2 * MEBI), 0);
}

/* As an agent that has been started anew does before each start of a task. */
Test(diskquota, a_limit_that_is_set_again_takes_the_new_size)
{
    begin("ext4", "prjquota");
    make_limited(one, 4 * MEBI);
    cr_expect_eq(fill(one, "t/local/full", 8 * MEBI), EDQUOT);
    make_limited(one, 6 * MEBI);
    cr_expect_eq(fill(one, "t/local/full", 8 * MEBI), EDQUOT);
    cr_expect(used(one) <= 6 * MEBI && used(one) > 6 * MEBI - 8192, "%lu", used(one));
}

static uint32_t project_of(const uint8_t alloc[16])
{
    return quotafs_project(path_of(alloc));
}

/* All look for an id from the same place on. */
Test(diskquota, an_id_is_of_one_directory_and_free_again_once_that_has_gone)
{
    static const uint8_t third[16] = {3, [15] = 1};
    begin("ext4", "prjquota");
    make_limited(one, 4 * MEBI);
    make_limited(other, 4 * MEBI);
    uint32_t id = project_of(one);
    cr_expect_neq(project_of(other), id);
    cr_expect_eq(fill(one, "t/local/some", MEBI), 0);
    cr_assert_eq(allocdir_destroy(data, one, &why), OK, "%s", why.text);
    make_limited(third, 2 * MEBI);
    cr_expect_eq(project_of(third), id);
    cr_expect_eq(fill(third, "t/local/full", 8 * MEBI), EDQUOT);
    cr_expect(used(third) <= 2 * MEBI, "%lu", used(third));
}

Test(diskquota, a_directory_made_without_stays_without)
{
    begin("ext4", "prjquota");
    cr_assert_eq(allocdir_make(data, one, "t", NOBODY, NOBODY, &why), OK, "%s", why.text);
    make_limited(one, MEBI);
    uint64_t bytes;
    cr_expect_eq(diskquota_used(path_of(one), &bytes, &why), ERR_NOT_FOUND);
    cr_expect_eq(fill(one, "t/local/some", 2 * MEBI), 0);
}

Test(diskquota, a_file_system_that_only_counts_sets_no_limits)
{
    begin("ext4", "defaults");
    uint64_t bytes;
    cr_expect_not(diskquota_is_on(data));
    make_limited(one, MEBI);
    cr_expect_eq(diskquota_used(path_of(one), &bytes, &why), ERR_NOT_FOUND);
    cr_expect_eq(fill(one, "t/local/some", 2 * MEBI), 0);
}

/* Both have a directory, and the first has a disk in it. */
static void make_disk(void)
{
    char path[256];
    make_limited(one, 4 * MEBI);
    make_limited(other, 4 * MEBI);
    snprintf(path, sizeof path, "%s/t/local", path_of(one));
    shell("cd %s && mkdir -p a/b && head -c 1000000 /dev/zero >a/big && ln a/big a/again && "
          "echo x >a/b/small && ln -s /etc a/link && mkfifo a/pipe",
          path);
}

static enum err pass(void)
{
    char path[256];
    snprintf(path, sizeof path, "%s/t", path_of(one));
    int at = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    enum err e = diskquota_pass(at, "local", path_of(other), &why);
    close(at);
    return e;
}

static const char *local_of(const uint8_t alloc[16])
{
    static char path[2][256];
    static int next;
    char *to = path[next++ % 2];
    snprintf(to, sizeof path[0], "%s/t/local", path_of(alloc));
    return to;
}

static void expect_passed(void)
{
    cr_assert_eq(pass(), OK, "%s", why.text);
    cr_expect_eq(quotafs_strangers(local_of(one), project_of(other)), 0);
    cr_expect_gt(used(other), 1000000);
    cr_assert_eq(rename(local_of(one), local_of(other)), 0, "%s", strerror(errno));
    cr_expect_eq(fill(other, "t/local/more", 8 * MEBI), EDQUOT);
    cr_expect_leq(used(other), 4 * MEBI);
}

Test(diskquota, a_tree_that_was_passed_is_of_the_other_and_can_be_moved)
{
    begin("ext4", "prjquota");
    make_disk();
    cr_assert_neq(rename(local_of(one), local_of(other)), 0, "then it would not be needed");
    expect_passed();
    cr_expect_lt(used(one), 100000);
}

/* As after an agent that was killed. */
Test(diskquota, one_of_which_a_part_was_passed_is_passed_as_a_whole)
{
    begin("ext4", "prjquota");
    make_disk();
    int at = open(local_of(one), O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(diskquota_pass(at, "a", path_of(other), &why), OK, "%s", why.text);
    close(at);
    cr_assert_eq(quotafs_strangers(local_of(one), project_of(one)), 5);
    expect_passed();
}

Test(diskquota, one_without_a_project_gets_one_and_one_with_loses_it)
{
    begin("ext4", "prjquota");
    cr_assert_eq(allocdir_make(data, one, "t", NOBODY, NOBODY, &why), OK, "%s", why.text);
    make_disk();
    cr_assert_eq(project_of(one), 0);
    expect_passed();
    cr_assert_eq(mkdir(local_of(one), 0777), 0);
    int at = open(path_of(other), O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(diskquota_pass(at, "t", path_of(one), &why), OK, "%s", why.text);
    close(at);
    cr_expect_eq(quotafs_strangers(local_of(other), 0), 0);
    cr_expect_eq(fill(other, "t/local/a/free", 8 * MEBI), 0, "what is made there has none either");
}

Test(diskquota, one_that_cannot_be_passed_keeps_what_it_had)
{
    begin("ext4", "prjquota");
    make_disk();
    shell("cd %s && chattr +i a/b/small", local_of(one));
    cr_expect_eq(pass(), ERR_IO);
    cr_expect_eq(quotafs_strangers(local_of(one), project_of(one)), 0);
    shell("cd %s && chattr -i a/b/small", local_of(one));
    expect_passed();
}

Test(diskquota, a_link_in_its_place_is_not_followed)
{
    begin("ext4", "prjquota");
    make_disk();
    shell("cd %s/.. && mv local elsewhere && ln -s elsewhere local", local_of(one));
    cr_expect_eq(pass(), OK, "%s", why.text);
    cr_expect_eq(quotafs_strangers(path_of(one), project_of(one)), 0);
}

Test(diskquota, xfs_does_the_same)
{
    begin("xfs", "prjquota");
    make_disk();
    cr_assert_eq(pass(), OK, "%s", why.text);
    cr_expect_eq(quotafs_strangers(local_of(one), project_of(other)), 0);
    cr_assert_eq(rename(local_of(one), local_of(other)), 0, "%s", strerror(errno));
    cr_expect_eq(fill(other, "t/local/more", 8 * MEBI), ENOSPC);
    cr_expect_leq(used(other), 4 * MEBI);
    cr_expect_lt(used(one), 100000);
}
