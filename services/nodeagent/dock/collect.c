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

static void name_of(const char *image, char out[256])
{
    snprintf(out, 256, "%s", image);
    exchange(out, '/', '%');
}

void collect_replaced(const char *dir, const char *image, const char *old_id)
{
    char name[256];
    struct stat st;
    name_of(image, name);
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        collect_note(dir, old_id, true);
    if (fd >= 0)
        close(fd);
}

void collect_note(const char *dir, const char *image, bool brought)
{
    char name[256];
    name_of(image, name);
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

/* One without a name may have got one since: then it is somebody's. */
static bool has_name(const struct dock *d, const char *id)
{
    char path[DOCK_PATH];
    struct reason why;
    json_t *said = NULL, *tag;
    size_t i;
    bool named = false;
    dock_path(path, "/images/%s/json", id);
    struct question q = dock_ask(d, "GET", path);
    if (engine_call(&q, &said, &why) != OK)
        return false;
    json_array_foreach(json_object_get(said, "RepoTags"), i, tag)
    {
        const char *text = json_string_value(tag);
        named |= text != NULL && strstr(text, "<none>") == NULL;
    }
    json_decref(said);
    return named;
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
    bool named = strncmp(image, "sha256:", 7) == 0 && has_name(d, image);
    if (e == OK && !used && !named)
        e = remove_image(d, image, &why);
    if (used || (e != OK && e != ERR_NOT_FOUND)) {
        utimensat(dir, name, NULL, 0);
        return false;
    }
    unlinkat(dir, name, 0);
    return !named;
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
