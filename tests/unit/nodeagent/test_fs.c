#include "nodeagent/allocdir.h"
#include "nodeagent/fs.h"
#include "nodeagent/logfiles.h"
#include "nodeagent/shim/rotate.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], root[128];
static const uint8_t id[16] = {1, 2, 3};
static struct arena *a;

static const char *at(const char *below)
{
    return arena_printf(a, "%s/%s", root, below);
}

static void put(const char *below, const char *text)
{
    FILE *f = fopen(at(below), "we");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static void begin(void)
{
    struct reason why;
    a = arena_new(64 << 20);
    strcpy(dir, "/tmp/norn-fs-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(allocdir_prepare(dir, &why), OK);
    cr_assert_eq(allocdir_make(dir, id, "web", geteuid(), getegid(), &why), OK, "%s", why.text);
    strcpy(root, allocdir_path(a, dir, id));
}
static void end(void)
{
    struct reason why = {""};
    cr_expect_eq(allocdir_destroy(dir, id, &why), OK, "%s", why.text);
    cr_expect_not(allocdir_exists(dir, id));
    rmdir(arena_printf(a, "%s/alloc", dir));
    rmdir(arena_printf(a, "%s/shim", dir));
    rmdir(arena_printf(a, "%s/moving", dir));
    cr_expect_eq(rmdir(dir), 0);
    arena_free(a);
}
TestSuite(fs, .init = begin, .fini = end, .timeout = 30);

static enum err open_close(const char *path, struct reason *why)
{
    int fd;
    enum err e = fs_open(root, path, &fd, why);
    if (e == OK)
        close(fd);
    return e;
}

Test(fs, every_way_out_is_refused)
{
    struct reason why;
    put("web/local/ok", "fine");
    cr_assert_eq(symlink("/etc", at("web/local/absolute")), 0);
    cr_assert_eq(symlink("../../../../../../etc", at("web/local/relative")), 0);
    cr_assert_eq(symlink("ok", at("web/local/inside")), 0);
    cr_assert_eq(symlink("loop", at("web/local/loop")), 0);
    cr_assert_eq(symlink("/proc/self/root", at("web/local/magic")), 0);
    static const char *const bad[] = {
        "../../../etc/passwd",
        "/../../etc/passwd",
        "web/../../x",
        "..",
        "web/local/absolute/passwd",
        "web/local/relative/passwd",
        "web/local/loop",
        "web/local/magic/etc/passwd",
        "web/local/../../../x",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        cr_assert_neq(open_close(bad[i], &why), OK, "%s", bad[i]);
        cr_assert_str_eq(why.text, "Path escapes the alloc directory", "%s: %s", bad[i], why.text);
    }
    cr_assert_eq(open_close("web/local/inside", &why), OK, "%s", why.text);
    cr_assert_eq(open_close("/web/local/../local/ok", &why), OK, "%s", why.text);
    cr_assert_eq(open_close("web/nope", &why), ERR_NOT_FOUND);
    cr_assert_str_eq(why.text,
                     arena_printf(a, "stat %s/web/nope: no such file or directory", root));
}

Test(fs, secrets_are_not_read_by_any_name)
{
    struct reason why;
    put("web/secrets/key", "secret");
    cr_assert_eq(symlink("../secrets/key", at("web/local/k")), 0);
    cr_assert_eq(symlink("../web/secrets", at("alloc/s")), 0);
    static const char *const bad[] = {"web/secrets/key", "web/local/k", "alloc/s/key",
                                      "web/local/../secrets/key"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        cr_assert_eq(open_close(bad[i], &why), ERR_DENIED, "%s", bad[i]);
        cr_assert(strncmp(why.text, "Reading secret file prohibited: ", 32) == 0);
    }
}

static volatile bool racing;
static void *swap(void *arg)
{
    while (racing) {
        unlink(at("web/local/swap"));
        if (symlink("/etc", at("web/local/swap")) != 0)
            break;
        unlink(at("web/local/swap"));
        if (mkdir(at("web/local/swap"), 0755) != 0)
            break;
        put("web/local/swap/passwd", "ours");
        unlink(at("web/local/swap/passwd"));
        rmdir(at("web/local/swap"));
    }
    return arg;
}

Test(fs, a_symlink_swapped_in_meanwhile_leads_nowhere)
{
    pthread_t thread;
    struct arena *own = a;
    a = arena_new(1ul << 30);
    racing = true;
    pthread_create(&thread, NULL, swap, NULL);
    for (int i = 0; i < 3000; i++) {
        int fd;
        char text[8] = "";
        if (fs_open(root, "web/local/swap/passwd", &fd, NULL) != OK)
            continue;
        ssize_t n = read(fd, text, 4);
        close(fd);
        cr_assert(n == 0 || strcmp(text, "ours") == 0, "read %s", text);
    }
    racing = false;
    pthread_join(thread, NULL);
    unlink(at("web/local/swap"));
    arena_free(a);
    a = own;
}

Test(fs, lists_and_tells)
{
    struct reason why;
    Pb__FileInfo **files, *info;
    size_t n;
    put("web/local/b.txt", "text");
    put("web/local/a", "bin\001ary");
    cr_assert_eq(symlink("/etc", at("web/local/c")), 0);
    cr_assert_eq(fs_list(a, root, "web/local", &files, &n, &why), OK);
    cr_assert_eq(n, 3);
    cr_assert_str_eq(files[0]->name, "a");
    cr_assert_str_eq(files[2]->file_mode, "Lrwxrwxrwx");
    cr_assert_eq(fs_stat(a, root, "web/local/a", &info, &why), OK);
    cr_assert_str_eq(info->content_type, "application/octet-stream");
    cr_assert_eq(fs_stat(a, root, "/", &info, &why), OK);
    cr_assert_str_eq(info->name, "01020300-0000-0000-0000-000000000000");
    cr_assert(info->is_dir);
    cr_assert_neq(fs_list(a, root, "web/local/a", &files, &n, &why), OK);
    cr_assert_eq(fs_list(a, root, "nope", &files, &n, &why), ERR_NOT_FOUND);
    cr_assert_str_eq(why.text, arena_printf(a, "open %s/nope: no such file or directory", root));
    char mode[16];
    fs_mode_text(S_IFDIR | 01777, mode);
    cr_assert_str_eq(mode, "dtrwxrwxrwx");
}

static int log_dir(void)
{
    return open(at("alloc/logs"), O_RDONLY | O_DIRECTORY);
}

Test(fs, rotation_loses_nothing_and_cuts_at_lines)
{
    struct rotate r;
    struct logfiles l;
    struct reason why;
    char line[64], got[4096];
    size_t n;
    int fd = log_dir();
    rotate_init(&r, fd, "web", "stdout", 1000, 1000);
    for (int i = 0; i < 500; i++) {
        int len = snprintf(line, sizeof line, "line %d\n", i);
        rotate_write(&r, line, (size_t)len);
    }
    rotate_fini(&r);
    cr_assert_eq(logfiles_open(&l, root, "web", "stdout", 0, false, &why), OK, "%s", why.text);
    char *all = arena_alloc(a, 65536), *end_of_all = all;
    while (logfiles_read(&l, got, sizeof got, &n, &why) == OK && n > 0) {
        cr_assert_eq(got[n - 1], '\n', "a file ends with a whole line");
        end_of_all = mempcpy(end_of_all, got, n);
    }
    cr_assert_eq(l.number, r.number);
    cr_assert_gt(l.number, 3);
    logfiles_close(&l);
    char *p = all;
    for (int i = 0; i < 500; i++) {
        int len = snprintf(line, sizeof line, "line %d\n", i);
        cr_assert(strncmp(p, line, (size_t)len) == 0, "line %d", i);
        p += len;
    }
    cr_assert_eq(p, end_of_all);
    close(fd);
}

Test(fs, old_files_go_and_the_next_run_goes_on)
{
    struct rotate r;
    int fd = log_dir();
    for (int run = 0; run < 3; run++) {
        rotate_init(&r, fd, "web", "stderr", 2, 10);
        for (int i = 0; i < 5; i++)
            rotate_write(&r, "12345678\n", 9);
        rotate_fini(&r);
    }
    cr_assert_eq(r.number, 14);
    cr_assert_eq(access(at("alloc/logs/web.stderr.14"), F_OK), 0);
    cr_assert_eq(access(at("alloc/logs/web.stderr.13"), F_OK), 0);
    cr_assert_neq(access(at("alloc/logs/web.stderr.12"), F_OK), 0);
    cr_assert_neq(access(at("alloc/logs/web.stderr.0"), F_OK), 0);
    close(fd);
}

static void expect_victim_as_it_was(void)
{
    char text[16] = "";
    FILE *f = fopen(at("web/local/victim"), "re");
    cr_assert(f != NULL && fgets(text, sizeof text, f) != NULL);
    fclose(f);
    cr_expect_eq(strcmp(text, "mine"), 0, "%s", text);
}

/* Of what lies under the name of the next file. */
static void write_a_log_over_it(void)
{
    struct rotate r;
    int fd = log_dir();
    rotate_init(&r, fd, "web", "stdout", 10, 100);
    rotate_write(&r, "x\n", 2);
    cr_expect_eq(r.number, 1);
    rotate_fini(&r);
    close(fd);
    expect_victim_as_it_was();
    cr_assert_eq(unlink(at("alloc/logs/web.stdout.0")), 0);
    cr_assert_eq(unlink(at("alloc/logs/web.stdout.1")), 0);
}

Test(fs, a_task_cannot_make_its_log_lead_elsewhere)
{
    char byte;
    put("web/local/victim", "mine");
    cr_assert_eq(symlink("../../web/local/victim", at("alloc/logs/web.stdout.0")), 0);
    write_a_log_over_it();
    cr_assert_eq(link(at("web/local/victim"), at("alloc/logs/web.stdout.0")), 0);
    write_a_log_over_it();
    cr_assert_eq(mkfifo(at("alloc/logs/web.stdout.0"), 0600), 0);
    int reader = open(at("alloc/logs/web.stdout.0"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    write_a_log_over_it();
    cr_expect_eq(read(reader, &byte, 1), 0, "it was written to a pipe");
    close(reader);
}

Test(fs, a_log_is_read_from_any_offset)
{
    static const struct {
        int64_t offset;
        bool from_end;
        const char *text;
    } cases[] = {
        {0, false, "0123456789\nabcdefghi\n"},
        {11, false, "abcdefghi\n"},
        {5, false, "56789\nabcdefghi\n"},
        {3, true, "hi\n"},
        {10, true, "abcdefghi\n"},
        {12, true, "9\nabcdefghi\n"},
        {99, true, "0123456789\nabcdefghi\n"},
        {99, false, ""},
        {0, true, ""},
    };
    struct reason why;
    put("alloc/logs/web.stdout.7", "0123456789\n");
    put("alloc/logs/web.stdout.8", "abcdefghi\n");
    put("alloc/logs/web2.stdout.9", "another task's\n");
    put("alloc/logs/web.stdout.x", "no log\n");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct logfiles l;
        char got[64] = "";
        size_t n, total = 0;
        cr_assert_eq(
            logfiles_open(&l, root, "web", "stdout", cases[i].offset, cases[i].from_end, &why), OK);
        while (logfiles_read(&l, got + total, sizeof got - 1 - total, &n, &why) == OK && n > 0)
            total += n;
        got[total] = '\0';
        cr_assert_str_eq(got, cases[i].text, "case %zu: %s", i, got);
        logfiles_close(&l);
    }
}
