/* What a task may do to its directories while the agent works in them: names become links, again
 * and again, in the very moment in between. */
#include "nodeagent/allocdir.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEEP 700 /* more than any walk goes down at once */

static char dir[64], victim[128];
static const uint8_t id[16] = {1, 2, 3};
static struct arena *a;

static const char *at(const char *below)
{
    return arena_printf(a, "%s/%s", allocdir_path(a, dir, id), below);
}

static void begin(void)
{
    struct reason why;
    a = arena_new(64 << 20);
    strcpy(dir, "/tmp/norn-escape-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(victim, sizeof victim, "%s/victim", dir);
    cr_assert_eq(mkdir(victim, 0700), 0);
    cr_assert_eq(allocdir_prepare(dir, &why), OK);
    cr_assert_eq(allocdir_make(dir, id, "web", geteuid(), getegid(), &why), OK, "%s", why.text);
}
static void end(void)
{
    static const char *const made[] = {"alloc", "shim", "moving", "victim", ""};
    struct reason why = {""};
    cr_expect_eq(allocdir_destroy(dir, id, &why), OK, "%s", why.text);
    cr_expect_not(allocdir_exists(dir, id));
    for (size_t i = 0; i < COUNT_OF(made); i++)
        cr_expect_eq(rmdir(arena_printf(a, "%s/%s", dir, made[i])), 0, "%s", made[i]);
    arena_free(a);
}
TestSuite(escape, .init = begin, .fini = end, .timeout = 60);

/* The C library's, for all that is linked to this test: what it has just made is another thing when
 * its caller looks at it. */
static const char *swapped;
int mkdir(const char *path, mode_t mode)
{
    if (mkdirat(AT_FDCWD, path, mode) != 0)
        return -1;
    if (swapped == NULL || strcmp(path, swapped) != 0)
        return 0;
    return rename(path, arena_printf(a, "%s.moved", path)) == 0 ? symlink(victim, path) : -1;
}

static void expect_victim_as_it_was(void)
{
    struct stat st;
    cr_assert_eq(stat(victim, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0700, "mode %o", st.st_mode);
    cr_expect_eq(st.st_uid, geteuid());
}

static void make_while_it_becomes_a_link(const char *name)
{
    struct reason why;
    swapped = at(name);
    cr_assert_eq(rmdir(swapped), 0);
    cr_expect_neq(allocdir_make(dir, id, "web", 65534, 65534, &why), OK);
    cr_assert_eq(access(arena_printf(a, "%s.moved", swapped), F_OK), 0, "nothing was swapped");
    expect_victim_as_it_was();
}

Test(escape, a_directory_that_becomes_a_link_as_it_is_made_opens_no_other)
{
    make_while_it_becomes_a_link("alloc/tmp");
}

Test(escape, secrets_that_become_a_link_as_they_are_made_open_no_other)
{
    make_while_it_becomes_a_link("web/secrets");
}

/* One that is not a directory is nobody's to give away. */
Test(escape, a_file_in_the_place_of_secrets_keeps_its_owner)
{
    struct reason why;
    struct stat st;
    if (geteuid() != 0)
        cr_skip("only root gives files away");
    cr_assert_eq(rmdir(at("web/secrets")), 0);
    cr_assert_eq(close(open(at("web/secrets"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    cr_assert_neq(allocdir_make(dir, id, "web", 65534, 65534, &why), OK);
    cr_assert(stat(at("web/secrets"), &st) == 0 && st.st_uid == 0);
    cr_assert_eq(unlink(at("web/secrets")), 0);
}

Test(escape, directories_however_deep_are_removed)
{
    int fd = open(at("web/local"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < DEEP; i++) {
        cr_assert_eq(mkdirat(fd, "deeper", 0755), 0);
        int next = openat(fd, "deeper", O_PATH | O_DIRECTORY | O_CLOEXEC);
        cr_assert_geq(next, 0);
        close(fd);
        fd = next;
    }
    close(fd);
    struct reason why;
    cr_assert_eq(allocdir_destroy(dir, id, &why), OK, "%s", why.text);
    cr_assert_not(allocdir_exists(dir, id));
}
