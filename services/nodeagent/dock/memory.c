#include "memory.h"
#include "base/err.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TEXT_MOST 65536

/* ---- where */

static bool names(const char *list, size_t len, const char *name)
{
    size_t n = strlen(name);
    for (size_t at = 0; at < len;) {
        size_t one = strcspn(list + at, ",: \n");
        if (one == n && at + one <= len && strncmp(list + at, name, n) == 0)
            return true;
        at += one + 1;
    }
    return false;
}

/* The hierarchy of a controller, "" for that of version 2: "ID:CONTROLLERS:PATH". */
static bool path_of(const char *cgroup, const char *controller, char *out, size_t room)
{
    for (const char *line = cgroup; line != NULL && *line != '\0';) {
        const char *list = strchr(line, ':'), *path = list == NULL ? NULL : strchr(list + 1, ':');
        const char *end = line + strcspn(line, "\n");
        if (path != NULL && path < end &&
            (*controller == '\0' ? path == list + 1
                                 : names(list + 1, (size_t)(path - list - 1), controller))) {
            int n = snprintf(out, room, "%.*s", (int)(end - path - 1), path + 1);
            return n > 0 && (size_t)n < room;
        }
        line = *end == '\0' ? NULL : end + 1;
    }
    return false;
}

/* "ID PARENT DEV ROOT PLACE OPTIONS ... - TYPE SOURCE SUPER": root and place. */
static bool mount_of(const char *mountinfo, const char *controller, char root[CGROUP_PATH],
                     char place[CGROUP_PATH])
{
    const char *wanted = *controller == '\0' ? "cgroup2" : "cgroup";
    for (const char *line = mountinfo; line != NULL && *line != '\0';) {
        char type[32] = "", super[256] = "";
        const char *end = strchr(line, '\n'), *dash = strstr(line, " - ");
        if (dash == NULL || (end != NULL && dash > end) ||
            sscanf(line, "%*s %*s %*s %767s %767s", root, place) != 2 ||
            sscanf(dash, " - %31s %*s %255s", type, super) < 1)
            type[0] = '\0';
        if (strcmp(type, wanted) == 0 &&
            (*controller == '\0' || names(super, strlen(super), controller)))
            return true;
        line = end == NULL ? NULL : end + 1;
    }
    return false;
}

static void find(const char *cgroup, const char *mountinfo, const char *controller,
                 char out[CGROUP_PATH])
{
    char root[CGROUP_PATH], place[CGROUP_PATH], path[CGROUP_PATH];
    out[0] = '\0';
    if (!path_of(cgroup, controller, path, sizeof path) || strcmp(path, "/") == 0 ||
        strstr(path, "/..") != NULL || !mount_of(mountinfo, controller, root, place))
        return;
    size_t skip =
        strcmp(root, "/") != 0 && strncmp(path, root, strlen(root)) == 0 ? strlen(root) : 0;
    if (snprintf(out, CGROUP_PATH, "%s%s", place, path + skip) >= CGROUP_PATH)
        out[0] = '\0';
}

void cgroup_paths_read(const char *cgroup, const char *mountinfo, struct cgroup_paths *out)
{
    char unified[CGROUP_PATH];
    find(cgroup, mountinfo, "", unified);
    find(cgroup, mountinfo, "memory", out->memory);
    find(cgroup, mountinfo, "cpu", out->cpu);
    if (out->memory[0] == '\0')
        memcpy(out->memory, unified, sizeof unified);
    if (out->cpu[0] == '\0')
        memcpy(out->cpu, unified, sizeof unified);
    memcpy(out->tree, out->memory, sizeof out->memory);
}

static char *read_whole(const char *path)
{
    char *text = xcalloc(1, TEXT_MOST);
    FILE *f = fopen(path, "re");
    size_t n = f == NULL ? 0 : fread(text, 1, TEXT_MOST - 1, f);
    if (f != NULL)
        fclose(f);
    text[n] = '\0';
    return text;
}

void cgroup_paths_of(pid_t pid, struct cgroup_paths *out)
{
    char path[64];
    *out = (struct cgroup_paths){"", "", ""};
    snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
    char *cgroup = read_whole(path), *mountinfo = read_whole("/proc/self/mountinfo");
    cgroup_paths_read(cgroup, mountinfo, out);
    free(cgroup);
    free(mountinfo);
}

/* ---- whether */

static int open_in(const char *dir, const char *name, int flags)
{
    char path[CGROUP_PATH + 32];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return open(path, flags | O_CLOEXEC);
}

/* Version 1 wakes an eventfd when memory ran out, and when the directory goes. */
static void ask_for_events(struct memory_watch *w, const char *memory)
{
    char text[64];
    int control = open_in(memory, "cgroup.event_control", O_WRONLY);
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int n = snprintf(text, sizeof text, "%d %d", event, w->counter);
    if (control >= 0 && event >= 0 && write(control, text, (size_t)n) == n) {
        w->event = event;
        event = -1;
    }
    if (control >= 0)
        close(control);
    if (event >= 0)
        close(event);
}

void memory_watch_open(struct memory_watch *w, const char *memory)
{
    *w = (struct memory_watch){.event = -1, .counter = -1};
    if (memory[0] == '\0')
        return;
    w->counter = open_in(memory, "memory.events", O_RDONLY);
    if (w->counter >= 0) {
        w->event = dup(w->counter);
        w->events = POLLPRI;
        memory_watch_take(w); /* changes are told from the first reading on */
        return;
    }
    w->counter = open_in(memory, "memory.oom_control", O_RDONLY);
    w->events = POLLIN;
    if (w->counter >= 0) {
        ask_for_events(w, memory);
        memory_watch_take(w);
    }
}

/* Version 1 wakes us before it counts, and once more when the directory goes, which then cannot be
 * read. */
void memory_watch_take(struct memory_watch *w)
{
    char text[512];
    uint64_t woken = 0, kills = 0;
    if (w->events == POLLIN && read(w->event, &woken, sizeof woken) != sizeof woken)
        woken = 0;
    ssize_t n = pread(w->counter, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, "oom_kill ");
    if (line != NULL)
        kills = strtoull(line + 9, NULL, 10);
    if (kills == 0 && woken > (n > 0 ? 0 : 1))
        kills = 1;
    if (kills > w->kills)
        w->kills = kills;
    if (n <= 0)
        memory_watch_close(w);
}

void memory_watch_close(struct memory_watch *w)
{
    if (w->event >= 0)
        close(w->event);
    if (w->counter >= 0)
        close(w->counter);
    w->event = w->counter = -1;
}
