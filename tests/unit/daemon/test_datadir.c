#include "daemon/datadir.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[64], dir[100];

static void make_base(void)
{
    strcpy(base, "/tmp/norn-datadir-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    snprintf(dir, sizeof(dir), "%s/a/b", base);
}

static void remove_base(void)
{
    char command[100];
    snprintf(command, sizeof(command), "rm -rf %s", base);
    cr_assert_eq(system(command), 0);
}

/* In a process of its own: the lock lasts as long as the process. */
static enum err open_elsewhere(const char *kind, unsigned format, char *text, size_t room)
{
    int fds[2], status;
    struct reason why = {""};
    cr_assert_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        enum err e = datadir_open(dir, kind, format, &why);
        _exit(write(fds[1], why.text, strlen(why.text) + 1) < 0 ? 99 : (int)e);
    }
    close(fds[1]);
    ssize_t len = read(fds[0], text, room);
    cr_assert_gt(len, 0);
    close(fds[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return (enum err)WEXITSTATUS(status);
}

TestSuite(datadir, .init = make_base, .fini = remove_base);

Test(datadir, is_made_and_can_be_opened_again)
{
    char text[600];
    struct stat st;
    cr_assert_eq(open_elsewhere("jobstore", 1, text, sizeof(text)), OK, "%s", text);
    cr_assert_eq(stat(dir, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0750);
    cr_assert_eq(open_elsewhere("jobstore", 1, text, sizeof(text)), OK, "%s", text);
}

/* ext4 has a directory of its own in the root of each file system. */
Test(datadir, may_be_the_root_of_a_file_system)
{
    char text[600], lost[200];
    snprintf(lost, sizeof lost, "mkdir -p %s/lost+found", dir);
    cr_assert_eq(system(lost), 0);
    cr_assert_eq(open_elsewhere("jobstore", 1, text, sizeof(text)), OK, "%s", text);
}

Test(datadir, of_another_format_or_kind_is_refused)
{
    char text[600];
    cr_assert_eq(open_elsewhere("jobstore", 1, text, sizeof(text)), OK, "%s", text);
    cr_assert_eq(open_elsewhere("jobstore", 2, text, sizeof(text)), ERR_INVALID);
    cr_assert_not_null(
        strstr(text, "holds \"norn jobstore 1\", this program needs \"norn jobstore 2\""), "%s",
        text);
    cr_assert_eq(open_elsewhere("nodeagent", 1, text, sizeof(text)), ERR_INVALID);
}

Test(datadir, with_foreign_files_is_refused)
{
    char text[600], path[200];
    struct reason why;
    cr_assert_eq(datadir_make(dir, 0755, &why), OK, "%s", why.text);
    snprintf(path, sizeof(path), "%s/letter.txt", dir);
    fclose(fopen(path, "w"));
    cr_assert_eq(open_elsewhere("jobstore", 1, text, sizeof(text)), ERR_INVALID);
    cr_assert_not_null(strstr(text, "is not empty and has no VERSION file"), "%s", text);
}

Test(datadir, in_use_is_refused)
{
    char text[600];
    struct reason why;
    cr_assert_eq(datadir_open(dir, "jobstore", 1, &why), OK, "%s", why.text);
    cr_assert_eq(open_elsewhere("jobstore", 1, text, sizeof(text)), ERR_BUSY);
    cr_assert_not_null(strstr(text, "is in use by another process"), "%s", text);
}

Test(datadir, of_another_user_is_refused)
{
    char text[600];
    if (geteuid() != 0)
        cr_skip_test("needs root, to give a directory away");
    struct reason why;
    cr_assert_eq(datadir_make(dir, 0755, &why), OK);
    cr_assert_eq(chown(dir, 65534, 65534), 0);
    cr_assert_eq(open_elsewhere("jobstore", 1, text, sizeof(text)), ERR_DENIED);
    cr_assert_not_null(strstr(text, "belongs to uid 65534"), "%s", text);
}
