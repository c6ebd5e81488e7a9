/* What a directory holds, as an allocation's disk is measured. */
#include "nodeagent/diskuse.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIB 1024
#define ALL (UINT64_MAX / 2)

static char dir[64];

static void begin(void)
{
    snprintf(dir, sizeof dir, "/tmp/norn-diskuse-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}
static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}
static void end(void)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
TestSuite(diskuse, .init = begin, .fini = end);

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, size_t size)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT, 0644);
    char *text = calloc(1, size + 1);
    cr_assert_not_null(text);
    for (size_t i = 0; i < size; i++) /* file systems that compress find nothing in it */
        text[i] = (char)(i * 2654435761u >> 13 ^ i >> 5);
    cr_assert_eq(write(fd, text, size), (ssize_t)size);
    cr_assert_eq(fsync(fd), 0); /* blocks are given at last then */
    close(fd);
    free(text);
}

static uint64_t measured(void)
{
    uint64_t bytes;
    struct reason why;
    cr_assert_eq(diskuse_measure(dir, ALL, &bytes, &why), OK, "%s", why.text);
    return bytes;
}

Test(diskuse, counts_files_in_directories)
{
    uint64_t before = measured();
    mkdir(path_of("a"), 0755);
    mkdir(path_of("a/b"), 0755);
    write_file("a/b/file", 100 * KIB);
    write_file("file", 50 * KIB);
    uint64_t grown = measured() - before;
    cr_expect(grown >= 150 * KIB && grown < 250 * KIB, "%llu", (unsigned long long)grown);
}

Test(diskuse, counts_a_file_of_several_names_once)
{
    write_file("one", 100 * KIB);
    uint64_t before = measured();
    char target[512];
    snprintf(target, sizeof target, "%s", path_of("two"));
    cr_assert_eq(link(path_of("one"), target), 0);
    cr_expect(measured() < before + 50 * KIB);
}

Test(diskuse, counts_no_holes_and_follows_no_links)
{
    int fd = open(path_of("holes"), O_WRONLY | O_CREAT, 0644);
    cr_assert_eq(ftruncate(fd, 1 << 30), 0);
    close(fd);
    cr_assert_eq(symlink("/usr", path_of("link")), 0);
    cr_assert_eq(symlink("..", path_of("up")), 0);
    cr_expect(measured() < 1 << 20);
}

Test(diskuse, ends_when_it_has_counted_enough)
{
    uint64_t bytes;
    char name[32];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "f%d", i);
        write_file(name, 64 * KIB);
    }
    cr_assert_eq(diskuse_measure(dir, 128 * KIB, &bytes, NULL), OK);
    cr_expect(bytes > 128 * KIB && bytes < 512 * KIB, "%llu", (unsigned long long)bytes);
}

Test(diskuse, what_is_too_deep_is_said)
{
    uint64_t bytes;
    struct reason why;
    int at = open(dir, O_RDONLY | O_DIRECTORY), top = dup(at);
    for (int i = 0; i < DISKUSE_DEPTH_MOST + 10; i++) {
        cr_assert_eq(mkdirat(at, "d", 0755), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
        close(at);
        at = next;
    }
    close(at);
    close(top);
    cr_expect_eq(diskuse_measure(dir, ALL, &bytes, &why), ERR_INVALID);
    cr_expect_str_eq(why.text, "its directories are more than 256 deep");
}

Test(diskuse, what_is_not_there_is_said)
{
    uint64_t bytes;
    struct reason why;
    cr_expect_eq(diskuse_measure("/tmp/norn-diskuse-none", ALL, &bytes, &why), ERR_NOT_FOUND);
}
