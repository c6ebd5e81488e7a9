#include "remains.h"
#include "base/id.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENVIRONMENT_MAX 65536
#define ROUNDS          20

/* variable: "NAME=value", to stand there whole, or behind the + that it has for taskdock. */
static bool holds(const char *environment, size_t len, const char *variable)
{
    size_t size = strlen(variable) + 1; /* with its NUL */
    const char *p = environment, *end = environment + len;
    while (p < end) {
        p += *p == '+';
        size_t left = (size_t)(end - p);
        if (left >= size && memcmp(p, variable, size) == 0)
            return true;
        const char *nul = memchr(p, '\0', left);
        if (nul == NULL)
            return false;
        p = nul + 1;
    }
    return false;
}

static bool is_of_task(const char *pid, const char *alloc, const char *task, char *buffer)
{
    char path[300];
    size_t len = 0;
    ssize_t n;
    snprintf(path, sizeof path, "/proc/%s/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (len < ENVIRONMENT_MAX && (n = read(fd, buffer + len, ENVIRONMENT_MAX - len)) > 0)
        len += (size_t)n;
    close(fd);
    return holds(buffer, len, alloc) && holds(buffer, len, task);
}

static bool kill_round(const char *alloc, const char *task, char *buffer)
{
    bool found = false;
    struct dirent *entry;
    DIR *d = opendir("/proc");
    while (d != NULL && (entry = readdir(d)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid <= 1 || pid == getpid() || !is_of_task(entry->d_name, alloc, task, buffer))
            continue;
        found |= kill((pid_t)pid, SIGKILL) == 0;
    }
    if (d != NULL)
        closedir(d);
    return found;
}

void remains_kill(const uint8_t alloc[16], const char *task)
{
    static char buffer[ENVIRONMENT_MAX];
    char id[ID_TEXT_SIZE], alloc_variable[64], task_variable[512];
    id_format(alloc, id);
    snprintf(alloc_variable, sizeof alloc_variable, "NORN_ALLOC_ID=%s", id);
    snprintf(task_variable, sizeof task_variable, "NORN_TASK_NAME=%s", task);
    for (int i = 0; i < ROUNDS && kill_round(alloc_variable, task_variable, buffer); i++)
        poll(NULL, 0, 1);
}
