/* What a task may do to its directories while the agent works in them: names become links, again
 * and again, in the very moment in between. */
#include "nodeagent/allocdir.h"
#include "nodeagent/diskuse.h"
#include "nodeagent/fetch/fetch.h"
#include "nodeagent/fs.h"
#include "nodeagent/logfiles.h"
#include "nodeagent/place.h"
#include "swap.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static void skip(const char *why)
{
    end(); /* nobody else does, of what is skipped */
    cr_skip("%s", why);
}

/* The C library's, for all that is linked to this test: behind a certain call a certain name is
 * another thing when the caller goes on. Once. */
static const char *swapped;
static void swap(void)
{
    const char *name = swapped;
    swapped = NULL;
    cr_assert(rename(name, arena_printf(a, "%s.moved", name)) == 0 || errno == ENOENT);
    cr_assert_eq(symlink(victim, name), 0);
}

static bool ends_so(const char *path, const char *name)
{
    size_t len = strlen(path), end = strlen(name);
    return len >= end && strcmp(path + len - end, name) == 0;
}

int mkdir(const char *path, mode_t mode)
{
    if (mkdirat(AT_FDCWD, path, mode) != 0)
        return -1;
    if (swapped != NULL && strcmp(path, swapped) == 0)
        swap();
    return 0;
}

int unlinkat(int fd, const char *name, int flag)
{
    int result = (int)syscall(SYS_unlinkat, fd, name, flag);
    int saved = errno;
    if (swapped != NULL && flag == 0 && ends_so(swapped, name))
        swap();
    errno = saved;
    return result;
}

static int stats_left; /* then it is swapped; 0: not at all */
int fstatat(int fd, const char *file, struct stat *buf, int flag)
{
    int result = (int)syscall(SYS_newfstatat, fd, file, buf, flag);
    if (swapped != NULL && stats_left > 0 && --stats_left == 0)
        swap();
    return result;
}

int fstat(int fd, struct stat *buf)
{
    return fstatat(fd, "", buf, AT_EMPTY_PATH);
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
    cr_assert_null(swapped, "nothing was swapped");
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
        skip("only root gives files away");
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

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

/* The link leads to a file that only root may read. */
Test(escape, a_file_that_becomes_a_link_as_it_is_opened_is_read_itself)
{
    struct reason why;
    char text[8] = "";
    int fd;
    put(arena_printf(a, "%s/secret", victim), "secret");
    strcat(victim, "/secret");
    put(at("web/local/f"), "ours");
    swapped = at("web/local/f");
    stats_left = 1;
    cr_assert_eq(fs_open(allocdir_path(a, dir, id), "web/local/f", &fd, &why), OK, "%s", why.text);
    cr_assert_null(swapped, "nothing was swapped");
    cr_assert_eq(read(fd, text, 4), 4);
    close(fd);
    cr_expect_str_eq(text, "ours");
    cr_assert_eq(unlink(victim), 0);
    *strrchr(victim, '/') = '\0';
}

Test(escape, a_directory_that_becomes_a_link_as_it_is_removed_takes_no_other_along)
{
    struct reason why;
    put(arena_printf(a, "%s/kept", victim), "kept");
    cr_assert_eq(mkdir(at("web/local/d"), 0755), 0);
    swapped = at("web/local/d");
    allocdir_destroy(dir, id, &why);
    cr_assert_null(swapped, "nothing was swapped");
    cr_expect_eq(unlink(arena_printf(a, "%s/kept", victim)), 0, "it was removed");
}

/* In a mount namespace of this test's own. */
Test(escape, what_is_mounted_in_a_directory_is_not_removed)
{
    struct reason why;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        skip("it needs a mount namespace of its own");
    const char *on = at("web/local/m"), *kept = at("web/local/m/kept");
    cr_assert_eq(mkdir(on, 0755), 0);
    cr_assert_eq(mount("tmpfs", on, "tmpfs", 0, "size=64k"), 0);
    put(kept, "kept");
    cr_expect_neq(allocdir_destroy(dir, id, &why), OK);
    cr_expect_eq(access(kept, F_OK), 0, "it was removed");
    cr_assert_eq(umount2(on, MNT_DETACH), 0);
}

/* What is written is first another file, whose name is known. */
Test(escape, a_link_in_the_place_of_a_file_that_is_being_made_is_not_written_to)
{
    struct reason why;
    put(arena_printf(a, "%s/kept", victim), "");
    strcat(victim, "/kept");
    put(at("web/local/.norn-new"), "");
    swapped = at("web/local/.norn-new");
    place_write(allocdir_path(a, dir, id), "web/local/f", "new", 3, 0644, geteuid(), getegid(),
                &why);
    struct stat st;
    cr_expect(stat(victim, &st) == 0 && st.st_size == 0, "it was written to");
    cr_assert_eq(unlink(victim), 0);
    *strrchr(victim, '/') = '\0';
}

Test(escape, a_directory_that_becomes_a_link_as_another_is_merged_into_it_leads_nowhere)
{
    struct reason why;
    cr_assert(mkdir(at("web/from"), 0755) == 0 && mkdir(at("web/from/d"), 0755) == 0);
    put(at("web/from/d/evil"), "evil");
    cr_assert_eq(mkdir(at("web/local/d"), 0755), 0);
    int from = open(at("web/from"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int to = open(at("web/local"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    swapped = at("web/local/d");
    stats_left = 2; /* of the one, then of the other */
    cr_expect_eq(merge(from, to, false, &why), ERR_IO);
    cr_assert_null(swapped, "nothing was swapped");
    cr_expect_neq(unlink(arena_printf(a, "%s/evil", victim)), 0, "it was put there");
    close(from);
    close(to);
}

Test(escape, only_its_user_may_look_at_a_tasks_secrets)
{
    struct stat st;
    cr_assert_eq(stat(at("web/secrets"), &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0700, "%o", st.st_mode);
}

Test(escape, what_a_link_leads_to_counts_for_nobody)
{
    struct reason why;
    uint64_t before, after;
    const char *root = allocdir_path(a, dir, id), *large = arena_printf(a, "%s/large", victim);
    int fd = open(large, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && posix_fallocate(fd, 0, 4 << 20) == 0);
    close(fd);
    cr_assert_eq(diskuse_measure(root, 1u << 30, &before, &why), OK);
    cr_assert_eq(symlink(large, at("web/local/file")), 0);
    cr_assert_eq(symlink(victim, at("web/local/directory")), 0);
    cr_assert_eq(diskuse_measure(root, 1u << 30, &after, &why), OK);
    cr_expect_lt(after, before + (1 << 20));
    cr_assert_eq(unlink(large), 0);
}

static bool is_secret(int fd)
{
    char text[8] = "";
    bool found = read(fd, text, 6) == 6 && strcmp(text, "secret") == 0;
    close(fd);
    return found;
}

/* "alloc/logs", which is a directory, or a link to the victim: whether anything of that is told. */
static bool is_led_out(struct arena *own, const char *root, int *good)
{
    Pb__FileInfo **files, *info;
    struct logfiles l;
    char text[8] = "";
    size_t count = 0, got = 0;
    int fd;
    bool out = fs_stat(own, root, "alloc/logs/only", &info, NULL) == OK;
    if (fs_list(own, root, "alloc/logs", &files, &count, NULL) == OK)
        for (size_t i = 0; i < count; i++)
            out |= strcmp(files[i]->name, "only") == 0;
    if (fs_open(root, "alloc/logs/web.stdout.0", &fd, NULL) == OK) {
        out |= is_secret(fd);
        ++*good;
    }
    if (logfiles_open(&l, root, "web", "stdout", 0, false, NULL) == OK &&
        logfiles_read(&l, text, 6, &got, NULL) == OK)
        out |= strcmp(text, "secret") == 0;
    logfiles_close(&l);
    return out;
}

Test(escape, a_directory_that_is_swapped_for_a_link_all_the_time_shows_nothing_of_the_node)
{
    const char *const names[] = {at("alloc/logs"), at("alloc/link")};
    const char *root = allocdir_path(a, dir, id);
    struct swap swap;
    int good = 0;
    put(at("alloc/logs/web.stdout.0"), "ours");
    put(arena_printf(a, "%s/web.stdout.0", victim), "secret");
    put(arena_printf(a, "%s/only", victim), "secret");
    cr_assert_eq(symlink(victim, names[1]), 0);
    swap_begin(&swap, names[0], names[1]);
    bool out = false;
    for (int i = 0; i < 3000 && !out; i++) {
        struct arena *own = arena_new(16 << 20);
        out = is_led_out(own, root, &good);
        arena_free(own);
    }
    swap_end(&swap);
    cr_expect_not(out, "something of the other directory was told");
    cr_expect_gt(good, 0);
    cr_assert_eq(unlink(arena_printf(a, "%s/web.stdout.0", victim)), 0);
    cr_assert_eq(unlink(arena_printf(a, "%s/only", victim)), 0);
}
