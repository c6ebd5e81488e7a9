/* A disk becomes a tar and a disk again, and nothing in a tar leads out. */
#include "nodeagent/move/move.h"
#include "swap.h"
#include <archive.h>
#include <archive_entry.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUCH (1u << 30)

static char top[64];
static struct reason why;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}
static void begin(void)
{
    snprintf(top, sizeof top, "/tmp/norn-move-XXXXXX");
    cr_assert(mkdtemp(top) != NULL && chdir(top) == 0);
    cr_assert(mkdir("old", 0755) == 0 && mkdir("new", 0755) == 0);
}
static void end(void)
{
    cr_assert(chdir("/") == 0);
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
TestSuite(move, .init = begin, .fini = end);

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
    close(fd);
}

static const char *content(const char *path)
{
    static char text[64];
    int fd = open(path, O_RDONLY | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

static void make_disk(void)
{
    static const char *const dirs[] = {
        "old/alloc",     "old/alloc/data",  "old/alloc/logs",         "old/web",
        "old/web/local", "old/web/secrets", "old/web/local/d\xc3\xb6" /* UTF-8 */};
    for (size_t i = 0; i < COUNT_OF(dirs); i++)
        cr_assert_eq(mkdir(dirs[i], 0755), 0);
}

static enum err in_dir(const char *dir, enum err (*act)(int fd))
{
    int fd = open("disk.tar", O_RDWR | O_CREAT, 0600);
    cr_assert(fd >= 0 && chdir(dir) == 0);
    enum err e = act(fd);
    cr_assert_eq(chdir(top), 0);
    close(fd);
    return e;
}

static enum err pack(int fd)
{
    return move_pack(fd, &why);
}
static uint64_t most = MUCH;
static enum err unpack(int fd)
{
    return move_unpack(fd, most, &why);
}

Test(move, files_directories_and_links_come_through_and_what_is_not_the_disks_stays)
{
    make_disk();
    put("old/alloc/data/a", "shared");
    put("old/alloc/logs/l", "log");
    put("old/web/secrets/s", "secret");
    put("old/web/local/d\xc3\xb6/\xff", "own"); /* in no character set */
    cr_assert_eq(symlink("/etc/passwd", "old/web/local/link"), 0);
    cr_assert_eq(link("old/alloc/data/a", "old/alloc/data/b"), 0);
    cr_assert_eq(chmod("old/alloc/data/a", 04751), 0);
    cr_assert_eq(mkfifo("old/web/local/pipe", 0600), 0);
    int fd = open("old/web/local/holes", O_WRONLY | O_CREAT, 0600);
    cr_assert(fd >= 0 && ftruncate(fd, 64 << 20) == 0 && pwrite(fd, "x", 1, 48 << 20) == 1);
    close(fd);
    cr_assert_eq(in_dir("old", pack), OK, "%s", why.text);
    most = 1 << 20; /* holes take no room */
    cr_assert_eq(in_dir("new", unpack), OK, "%s", why.text);
    most = MUCH;
    struct stat st, other;
    char target[32] = "";
    cr_expect_str_eq(content("new/alloc/data/a"), "shared");
    cr_expect_str_eq(content("new/web/local/d\xc3\xb6/\xff"), "own");
    cr_expect(readlink("new/web/local/link", target, sizeof target - 1) > 0);
    cr_expect_str_eq(target, "/etc/passwd");
    cr_assert(stat("new/alloc/data/a", &st) == 0 && stat("new/alloc/data/b", &other) == 0);
    cr_expect_eq(st.st_ino, other.st_ino);
    cr_expect_eq(st.st_mode & 07777, 0751, "without the set-user-id bit");
    cr_expect_neq(lstat("new/web/local/pipe", &st), 0);
    cr_expect_neq(lstat("new/alloc/logs", &st), 0);
    cr_expect_neq(lstat("new/web/secrets", &st), 0);
    cr_expect_neq(lstat("new/.complete", &st), 0);
    cr_assert_eq(stat("new/web/local/holes", &st), 0);
    cr_expect(st.st_size == 64 << 20 && st.st_blocks < 4096, "%lld", (long long)st.st_blocks);
}

Test(move, what_was_cut_short_is_refused)
{
    make_disk();
    put("old/alloc/data/a", "shared");
    cr_assert_eq(in_dir("old", pack), OK, "%s", why.text);
    struct stat st;
    bool said = false;
    cr_assert_eq(stat("disk.tar", &st), 0);
    for (off_t size = st.st_size / 512 * 512 - 512; size >= 0; size -= 512) {
        cr_assert_eq(truncate("disk.tar", size), 0);
        enum err e = in_dir("new", unpack);
        said |= e != OK && strstr(why.text, "cut short") != NULL;
        /* The last blocks are nothing but zeros behind the mark. */
        if (e == OK)
            cr_assert_geq(size, 6 * 512, "%lld bytes will do", (long long)size);
    }
    cr_expect(said, "between two entries");
}

Test(move, more_than_the_disk_may_have_is_refused)
{
    static char much[8192];
    memset(much, 'x', sizeof much - 1);
    make_disk();
    put("old/alloc/data/a", much);
    cr_assert_eq(in_dir("old", pack), OK, "%s", why.text);
    most = 8000;
    cr_assert_eq(in_dir("new", unpack), ERR_NO_SPACE);
    most = MUCH;
    cr_assert_eq(in_dir("new", unpack), OK, "%s", why.text);
}

/* ---- tars made by others */

struct made {
    const char *path;
    mode_t type;
    const char *symlink, *hardlink;
};

static void make_tar(const struct made *list, size_t count)
{
    struct archive *out = archive_write_new();
    archive_write_set_format_pax_restricted(out);
    unlink("disk.tar");
    cr_assert_eq(archive_write_open_filename(out, "disk.tar"), ARCHIVE_OK);
    for (size_t i = 0; i <= count; i++) {
        const struct made mark = {MOVE_COMPLETE, AE_IFREG, NULL, NULL};
        const struct made *m = i < count ? &list[i] : &mark;
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, m->path);
        archive_entry_set_filetype(entry, m->type);
        archive_entry_set_perm(entry, 0755);
        archive_entry_set_size(entry, 0);
        if (m->symlink != NULL)
            archive_entry_set_symlink(entry, m->symlink);
        if (m->hardlink != NULL)
            archive_entry_set_hardlink(entry, m->hardlink);
        cr_assert_geq(archive_write_header(out, entry), ARCHIVE_WARN);
        archive_entry_free(entry);
    }
    archive_write_close(out);
    archive_write_free(out);
}

Test(move, nothing_leads_out)
{
    const struct made bad[][2] = {
        {{"../out", AE_IFREG, NULL, NULL}},
        {{"/tmp/out", AE_IFREG, NULL, NULL}},
        {{"alloc/data/../../../out", AE_IFREG, NULL, NULL}},
        {{"alloc/logs/x", AE_IFREG, NULL, NULL}},
        {{"web/secrets/x", AE_IFREG, NULL, NULL}},
        {{"web", AE_IFLNK, "/etc", NULL}},
        {{"../local/x", AE_IFREG, NULL, NULL}},
        {{"alloc/data/x", AE_IFIFO, NULL, NULL}},
        {{"alloc/data/x", AE_IFREG, NULL, "../disk.tar"}},
        {{"web/local/x", AE_IFLNK, "../../..", NULL}, {"web/local/x/out", AE_IFREG, NULL, NULL}},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct stat st;
        make_tar(bad[i], bad[i][1].path == NULL ? 1 : 2);
        cr_expect_neq(in_dir("new", unpack), OK, "%s", bad[i][0].path);
        cr_expect_neq(lstat("out", &st), 0, "%s", bad[i][0].path);
        cr_expect_neq(lstat("/tmp/out", &st), 0);
    }
    const struct made good = {"web/local/x.y/..z", AE_IFREG, NULL, NULL};
    make_tar(&good, 1);
    cr_expect_eq(in_dir("new", unpack), OK, "%s", why.text);
}

/* ---- the program, beside a task that runs */

static const char *program(void)
{
    const char *bin = getenv("NORN_BIN");
    static char path[512];
    cr_assert_not_null(bin);
    snprintf(path, sizeof path, "%s/taskmove", bin);
    return path;
}

/* Only as root it may enter the directory for good. */
Test(move, a_directory_that_is_swapped_for_a_link_all_the_time_leads_nowhere)
{
    char line[1024], victim[128];
    struct swap swap;
    if (geteuid() != 0) {
        end(); /* nobody else does, of what is skipped */
        cr_skip("the agent is not root");
    }
    snprintf(victim, sizeof victim, "%s/victim", top);
    make_disk();
    put("old/web/local/ours", "ours");
    cr_assert(mkdir(victim, 0700) == 0 && symlink(victim, "old/web/link") == 0);
    put("victim/secret", "secret");
    snprintf(line, sizeof line, "%s pack old 2>/dev/null | tar t 2>/dev/null | grep -q secret",
             program());
    swap_begin(&swap, "old/web/local", "old/web/link");
    int led_out = 0;
    for (int i = 0; i < 40; i++)
        led_out += system(line) == 0;
    swap_end(&swap);
    cr_expect_eq(led_out, 0, "%d times", led_out);
}

static pid_t begin_to_pack(int *from)
{
    int ends[2];
    const char *path = program();
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl(path, "taskmove", "pack", "old", NULL);
        _exit(127);
    }
    close(ends[1]);
    *from = ends[0];
    return pid;
}

/* True: all came; false: nothing has come for a while. */
static bool read_all(int fd)
{
    char part[65536];
    struct pollfd in = {.fd = fd, .events = POLLIN};
    while (poll(&in, 1, 2000) > 0)
        if (read(fd, part, sizeof part) <= 0)
            return true;
    return false;
}

static bool has_ended(pid_t pid)
{
    for (int left = 10000; left > 0; left -= 10) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return true;
        poll(NULL, 0, 10);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return false;
}

/* Not in each round is a pipe opened that was a file when it was looked at. */
Test(move, one_that_waits_at_a_pipe_ends_with_its_reader, .timeout = 60)
{
    const char *const names[] = {"old/web/local/file", "old/web/pipe"};
    struct swap swap;
    bool whole = true;
    make_disk();
    put(names[0], "ours");
    cr_assert_eq(mkfifo(names[1], 0600), 0);
    swap_begin(&swap, names[0], names[1]);
    for (int i = 0; whole && i < 60; i++) {
        int from = -1;
        pid_t pid = begin_to_pack(&from);
        whole = read_all(from);
        close(from);
        cr_expect(has_ended(pid), "round %d", i);
    }
    swap_end(&swap);
}
