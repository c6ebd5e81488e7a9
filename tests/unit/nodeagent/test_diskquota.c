/* The project quota of an allocation's directory, on an ext4 of the test's own in a mount namespace
 * of its own, which takes the mount and the loop device away with it. */
#include "nodeagent/allocdir.h"
#include "nodeagent/diskquota.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEBI   (1u << 20)
#define NOBODY 65534

static const uint8_t one[16] = {1, [15] = 1}, other[16] = {2, [15] = 1};
static char dir[64], data[80];
static struct reason why;

static bool run(const char *format, const char *options)
{
    char line[512];
    snprintf(line, sizeof line, format, options, dir);
    return system(line) == 0;
}

static void end(void)
{
    umount2(data, MNT_DETACH);
    run("rm -rf %s%s", "");
}

TestSuite(diskquota, .fini = end, .timeout = 60);

static bool own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void begin(const char *options)
{
    snprintf(dir, sizeof dir, "/tmp/norn-diskquota-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL && chmod(dir, 0755) == 0);
    snprintf(data, sizeof data, "%s/data", dir);
    cr_assert_eq(mkdir(data, 0755), 0);
    if (!own_mounts() ||
        !run("PATH=$PATH:/sbin:/usr/sbin; umask 22; cd %2$s && truncate -s 64M image && "
             "mkfs.ext4 -q -O quota,project -E quotatype=prjquota image && "
             "mount -o loop,%1$s image data 2>why",
             options)) {
        end(); /* not called for what is skipped */
        cr_skip_test("skipped: no ext4 with project quotas can be mounted here");
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
    begin("prjquota");
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
    begin("prjquota");
    make_limited(one, 4 * MEBI);
    cr_expect_eq(fill(one, "t/local/full", 8 * MEBI), EDQUOT);
    make_limited(one, 6 * MEBI);
    cr_expect_eq(fill(one, "t/local/full", 8 * MEBI), EDQUOT);
    cr_expect(used(one) <= 6 * MEBI && used(one) > 6 * MEBI - 8192, "%lu", used(one));
}

static uint32_t project_of(const uint8_t alloc[16])
{
    struct fsxattr attr = {0};
    int fd = open(path_of(alloc), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(ioctl(fd, FS_IOC_FSGETXATTR, &attr), 0);
    close(fd);
    return attr.fsx_projid;
}

/* All look for an id from the same place on. */
Test(diskquota, an_id_is_of_one_directory_and_free_again_once_that_has_gone)
{
    static const uint8_t third[16] = {3, [15] = 1};
    begin("prjquota");
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
    begin("prjquota");
    cr_assert_eq(allocdir_make(data, one, "t", NOBODY, NOBODY, &why), OK, "%s", why.text);
    make_limited(one, MEBI);
    uint64_t bytes;
    cr_expect_eq(diskquota_used(path_of(one), &bytes, &why), ERR_NOT_FOUND);
    cr_expect_eq(fill(one, "t/local/some", 2 * MEBI), 0);
}

Test(diskquota, a_file_system_that_only_counts_sets_no_limits)
{
    begin("defaults");
    uint64_t bytes;
    cr_expect_not(diskquota_is_on(data));
    make_limited(one, MEBI);
    cr_expect_eq(diskquota_used(path_of(one), &bytes, &why), ERR_NOT_FOUND);
    cr_expect_eq(fill(one, "t/local/some", 2 * MEBI), 0);
}
