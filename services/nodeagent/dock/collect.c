#include "collect.h"
#include "dock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void exchange(char *text, char from, char to)
{
    for (; *text != '\0'; text++)
        if (*text == from)
            *text = to;
}

void collect_note(const char *dir, const char *image, bool brought)
{
    char name[256];
    snprintf(name, sizeof name, "%s", image);
    exchange(name, '/', '%');
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    int file = openat(fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | (brought ? O_CREAT : 0), 0600);
    if (file >= 0) {
        futimens(file, NULL);
        close(file);
    }
    close(fd);
}

static enum err is_used(const struct dock *d, const char *image, bool *used, struct reason *why)
{
    char path[DOCK_PATH * 2];
    json_t *found = NULL;
    snprintf(path, sizeof path,
             "/containers/json?all=1&filters=%%7B%%22ancestor%%22%%3A%%5B%%22%s%%22%%5D%%7D",
             image);
    struct question q = dock_ask(d, "GET", path);
    enum err e = engine_call(&q, &found, why);
    *used = json_array_size(found) > 0;
    json_decref(found);
    return e;
}

static enum err remove_image(const struct dock *d, const char *image, struct reason *why)
{
    char path[DOCK_PATH];
    dock_path(path, "/images/%s", image);
    struct question q = dock_ask(d, "DELETE", path);
    return engine_call(&q, NULL, why);
}

/* Where it is used, or cannot be removed, its time begins anew. */
static bool collect_one(const struct dock *d, int dir, const char *name)
{
    char image[256];
    bool used = false;
    struct reason why;
    snprintf(image, sizeof image, "%s", name);
    exchange(image, '%', '/');
    enum err e = is_used(d, image, &used, &why);
    if (e == OK && !used)
        e = remove_image(d, image, &why);
    if (used || (e != OK && e != ERR_NOT_FOUND)) {
        utimensat(dir, name, NULL, 0);
        return false;
    }
    unlinkat(dir, name, 0);
    return true;
}

int collect_main(const char *socket, const char *dir, const char *seconds)
{
    const struct dock d = {.socket = socket};
    time_t before = time(NULL) - (time_t)strtoll(seconds, NULL, 10);
    struct dirent *entry;
    struct stat st;
    int removed = 0;
    DIR *list = opendir(dir);
    while (list != NULL && (entry = readdir(list)) != NULL)
        if (entry->d_name[0] != '.' && fstatat(dirfd(list), entry->d_name, &st, 0) == 0 &&
            st.st_mtime <= before)
            removed += collect_one(&d, dirfd(list), entry->d_name);
    if (list != NULL)
        closedir(list);
    printf("%d\n", removed);
    return 0;
}
