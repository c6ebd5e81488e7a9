/* A disk as a tar, of another node: whatever it holds, nothing is written beside the directory. */
#include "nodeagent/move/move.h"
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES 65536
#define TIDY_RUNS 500

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static char top[64];
static unsigned runs;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static void tidy(void)
{
    must(chdir("/") == 0);
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_place(void)
{
    snprintf(top, sizeof top, "/tmp/norn-fuzz-move-XXXXXX");
    must(mkdtemp(top) != NULL && chdir(top) == 0 && mkdir("in", 0755) == 0 && chdir("in") == 0);
}

/* "." and "..", and the directory. */
static size_t entries_beside(void)
{
    DIR *dir = opendir(top);
    size_t n = 0;
    must(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct reason why;
    if (runs == 0)
        atexit(tidy);
    if (runs++ % TIDY_RUNS == 0) {
        if (runs > 1)
            tidy();
        make_place();
    }
    int fd = memfd_create("tar", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    must(move_unpack(fd, MAX_BYTES, &why) != ERR_AGAIN);
    close(fd);
    must(entries_beside() == 3);
    return 0;
}
