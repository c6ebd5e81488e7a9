/* What an allocation takes over of the disk of another. */
#include "base/strbuf.h"
#include "nodeagent/allocdir.h"
#include "nodeagent/inherit.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static const uint8_t old[16] = {1}, heir[16] = {2};
static char web[] = "web", logger[] = "log", fresh[] = "new";
static char *const tasks[] = {web, logger};
static struct reason why;

static void make(const uint8_t alloc[16], const char *task)
{
    cr_assert_eq(allocdir_make(dir, alloc, task, geteuid(), getegid(), &why), OK, "%s", why.text);
}

static void begin(void)
{
    snprintf(dir, sizeof dir, "/tmp/norn-inherit-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(allocdir_prepare(dir, &why), OK);
    make(old, "web");
    make(old, "log");
    make(heir, "web");
}
static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}
static void end(void)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
TestSuite(inherit, .init = begin, .fini = end);

static const char *path_of(const uint8_t alloc[16], const char *below)
{
    static char path[512];
    struct arena *a = arena_new(1 << 16);
    snprintf(path, sizeof path, "%s/%s", allocdir_path(a, dir, alloc), below);
    arena_free(a);
    return path;
}

static void put(const uint8_t alloc[16], const char *below, const char *text)
{
    int fd = open(path_of(alloc, below), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static const char *content(const uint8_t alloc[16], const char *below)
{
    static char text[64];
    int fd = open(path_of(alloc, below), O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

static enum err take_over(void)
{
    return inherit_disk(path_of(old, ""), dir, heir, tasks, COUNT_OF(tasks), false, &why);
}

Test(inherit, shared_data_and_each_tasks_own_are_moved_and_nothing_else)
{
    put(old, "alloc/data/shared", "s");
    put(old, "alloc/tmp/passing", "p");
    put(old, "web/local/own", "w");
    put(old, "web/secrets/key", "k");
    put(old, "log/local/own", "l");
    cr_assert_eq(take_over(), OK, "%s", why.text);
    cr_expect_str_eq(content(heir, "alloc/data/shared"), "s");
    cr_expect_str_eq(content(heir, "web/local/own"), "w");
    cr_expect_str_eq(content(heir, "log/local/own"), "l", "the task has no directory yet");
    cr_expect_str_eq(content(heir, "alloc/tmp/passing"), "");
    cr_expect_str_eq(content(heir, "web/secrets/key"), "");
    cr_expect_str_eq(content(old, "alloc/data/shared"), "");
}

Test(inherit, twice_is_as_once)
{
    put(old, "web/local/own", "w");
    cr_assert_eq(take_over(), OK);
    put(heir, "web/local/own", "since written");
    cr_assert_eq(take_over(), OK, "%s", why.text);
    cr_expect_str_eq(content(heir, "web/local/own"), "since written");
}

/* An agent was killed when it had moved a part of what then came again from another node. */
Test(inherit, what_a_move_that_was_cut_off_left_gives_way)
{
    put(old, "alloc/data/shared", "whole");
    put(old, "web/local/own", "w");
    put(heir, "alloc/data/shared", "half");
    put(heir, "alloc/data/stale", "s");
    cr_assert_eq(inherit_disk(path_of(old, ""), dir, heir, tasks, COUNT_OF(tasks), true, &why), OK,
                 "%s", why.text);
    cr_expect_str_eq(content(heir, "alloc/data/shared"), "whole");
    cr_expect_str_eq(content(heir, "alloc/data/stale"), "");
    cr_expect_str_eq(content(heir, "web/local/own"), "w");
}

Test(inherit, a_task_that_only_one_of_them_has_is_left_out)
{
    char *const others[] = {web, fresh};
    put(old, "web/local/own", "w");
    cr_assert_eq(inherit_disk(path_of(old, ""), dir, heir, others, COUNT_OF(others), false, &why),
                 OK, "%s", why.text);
    cr_expect_str_eq(content(heir, "web/local/own"), "w");
    cr_expect_neq(access(path_of(heir, "log"), F_OK), 0);
}

Test(inherit, of_an_allocation_without_a_directory_there_is_nothing)
{
    const uint8_t nobody[16] = {9};
    put(heir, "web/local/own", "w");
    cr_assert_eq(inherit_disk(path_of(nobody, ""), dir, heir, tasks, COUNT_OF(tasks), false, &why),
                 OK);
    cr_expect_str_eq(content(heir, "web/local/own"), "w");
}

Test(inherit, a_link_is_not_followed_and_the_rest_is_moved)
{
    char elsewhere[512];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", dir);
    cr_assert_eq(mkdir(elsewhere, 0755), 0);
    cr_assert_eq(rmdir(path_of(old, "alloc/data")), 0);
    cr_assert_eq(symlink(elsewhere, path_of(old, "alloc/data")), 0);
    put(old, "web/local/own", "w");
    cr_assert_eq(take_over(), ERR_INVALID);
    cr_expect_not_null(strstr(why.text, "alloc/data is no directory"), "%s", why.text);
    struct stat st;
    cr_expect(lstat(path_of(heir, "alloc/data"), &st) == 0 && S_ISDIR(st.st_mode));
    cr_expect_str_eq(content(heir, "web/local/own"), "w");
}

Test(inherit, what_the_heir_has_already_is_not_written_over)
{
    put(old, "web/local/own", "old");
    put(heir, "web/local/own", "new");
    cr_assert_eq(take_over(), ERR_IO);
    cr_expect_not_null(strstr(why.text, "web/local"), "%s", why.text);
    cr_expect_str_eq(content(heir, "web/local/own"), "new");
}

Test(inherit, a_link_in_the_place_of_a_directory_above_is_not_followed)
{
    char aside[512];
    struct stat st;
    put(old, "web/local/own", "w");
    snprintf(aside, sizeof aside, "%s/aside", dir);
    cr_assert_eq(rename(path_of(old, "web"), aside), 0);
    cr_assert_eq(symlink(aside, path_of(old, "web")), 0);
    cr_assert_eq(take_over(), OK, "%s", why.text);
    cr_expect_str_eq(content(heir, "web/local/own"), "");
    snprintf(aside, sizeof aside, "%s/aside/local/own", dir);
    cr_expect(lstat(aside, &st) == 0, "it was moved");
}
