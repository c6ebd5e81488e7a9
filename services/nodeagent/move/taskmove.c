/* taskmove: the disk of an allocation as a tar, and back.
 *
 * Usage     taskmove pack ALLOC-DIR            the tar goes to standard output
 *           taskmove unpack DIR MAX-BYTES      it comes from standard input; DIR is made anew
 * Says      unpack: on standard output one line: "ok", "failed: why", or "damaged: why" (another
 *           try may help)
 * Becomes   as root: one that sees nothing but that directory, so no name and no link leads out
 * Ends      with the agent, when it is killed, or when nobody reads or writes any more */
#include "move.h"
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_DIRS 32

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static enum err enter(const char *dir, struct reason *why)
{
    if (chdir(dir) != 0)
        return reason_errno(why, ERR_IO, "enter %s", dir);
    if (geteuid() == 0 && chroot(".") != 0)
        return reason_errno(why, ERR_DENIED, "chroot to %s", dir);
    return OK;
}

static enum err make_anew(const char *dir, struct reason *why)
{
    nftw(dir, remove_one, OPEN_DIRS, FTW_DEPTH | FTW_PHYS);
    return mkdir(dir, 0700) == 0 ? OK : reason_errno(why, ERR_IO, "mkdir %s", dir);
}

/* A task may put a pipe in the place of a file that is about to be read, and nobody writes to it.
 */
static void *end_with_reader(void *unused)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    while (poll(&out, 1, -1) < 0)
        continue;
    _exit(1);
}

static int pack(const char *dir)
{
    struct reason why;
    pthread_t thread;
    enum err e = enter(dir, &why);
    if (e == OK && (errno = pthread_create(&thread, NULL, end_with_reader, NULL)) != 0)
        e = reason_errno(&why, ERR_UNAVAILABLE, "make a thread");
    if (e == OK)
        e = move_pack(STDOUT_FILENO, &why);
    if (e != OK)
        fprintf(stderr, "taskmove: %s\n", why.text);
    return e == OK ? 0 : 1;
}

static int unpack(const char *dir, uint64_t max_bytes)
{
    struct reason why;
    umask(022);
    enum err e = make_anew(dir, &why);
    if (e == OK)
        e = enter(dir, &why);
    if (e == OK)
        e = move_unpack(STDIN_FILENO, max_bytes, &why);
    if (e == OK)
        printf("ok\n");
    else
        printf("%s: %s\n", e == ERR_CORRUPT ? "damaged" : "failed", why.text);
    return e == OK ? 0 : 1;
}

/* At once: what else is run at an exit may look for files that this root does not have. */
static _Noreturn void leave(int code)
{
    fflush(NULL);
    _exit(code);
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "pack") == 0)
        leave(pack(argv[2]));
    if (argc == 4 && strcmp(argv[1], "unpack") == 0)
        leave(unpack(argv[2], strtoull(argv[3], NULL, 10)));
    fprintf(stderr, "usage: taskmove pack ALLOC-DIR | taskmove unpack DIR MAX-BYTES\n");
    return 2;
}
