#include "volumes.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define VOLUMES_MOST 256

static bool name_is_usable(const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t len = strlen(name);
    return len > 0 && len <= 64 && strspn(name, letters) == len;
}

/* Behind the path, ":ro" or ":rw". */
static bool take_suffix(char *path)
{
    size_t len = strlen(path);
    bool read_only = len > 3 && strcmp(path + len - 3, ":ro") == 0;
    if (read_only || (len > 3 && strcmp(path + len - 3, ":rw") == 0))
        path[len - 3] = '\0';
    return read_only;
}

static enum err parse_one(struct arena *a, char *text, Pb__HostVolume **out, struct reason *why)
{
    char *path = strchr(text, '=');
    if (path == NULL)
        return reason_set(why, ERR_INVALID, "host_volumes: \"%.100s\" is not NAME=PATH", text);
    *path++ = '\0';
    if (!name_is_usable(text))
        return reason_set(why, ERR_INVALID,
                          "host_volumes: the name \"%.100s\" must be 1 to 64 letters, digits, -, _ "
                          "and .",
                          text);
    bool read_only = take_suffix(path);
    if (path[0] != '/')
        return reason_set(why, ERR_INVALID,
                          "host_volumes: \"%.100s\" of %s is not an absolute path", path, text);
    Pb__HostVolume *v = arena_alloc(a, sizeof *v);
    pb__host_volume__init(v);
    v->name = text;
    v->path = path;
    v->has_read_only = true;
    v->read_only = read_only;
    *out = v;
    return OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(Pb__HostVolume *const *)a)->name, (*(Pb__HostVolume *const *)b)->name);
}

enum err volumes_parse(struct arena *a, const char *text, Pb__Node *node, struct reason *why)
{
    Pb__HostVolume **list = arena_array(a, Pb__HostVolume *, VOLUMES_MOST);
    char *rest = arena_strdup(a, text), *one;
    size_t n = 0;
    while ((one = strsep(&rest, ",")) != NULL) {
        one += strspn(one, " ");
        if (*one == '\0')
            continue;
        if (n == VOLUMES_MOST)
            return reason_set(why, ERR_INVALID, "host_volumes: there are more than %d",
                              VOLUMES_MOST);
        enum err e = parse_one(a, one, &list[n++], why);
        if (e != OK)
            return e;
    }
    qsort(list, n, sizeof(*list), by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(list[i - 1]->name, list[i]->name) == 0)
            return reason_set(why, ERR_INVALID, "host_volumes: \"%s\" is there twice",
                              list[i]->name);
    node->host_volumes = list;
    node->n_host_volumes = n;
    return OK;
}

static const Pb__VolumeRequest *request_of(const Pb__TaskGroup *group, const char *name)
{
    for (size_t i = 0; name != NULL && i < group->n_volumes; i++)
        if (group->volumes[i]->name != NULL && strcmp(group->volumes[i]->name, name) == 0)
            return group->volumes[i];
    return NULL;
}

static const Pb__HostVolume *volume_of(const Pb__Node *node, const char *name)
{
    for (size_t i = 0; name != NULL && i < node->n_host_volumes; i++)
        if (strcmp(node->host_volumes[i]->name, name) == 0)
            return node->host_volumes[i];
    return NULL;
}

enum err volumes_find(const Pb__Node *node, const Pb__TaskGroup *group, const Pb__VolumeMount *m,
                      struct volume_place *out, struct reason *why)
{
    const Pb__VolumeRequest *r = request_of(group, m->volume);
    if (r == NULL)
        return reason_set(why, ERR_INVALID, "volume_mount: the group has no volume \"%.64s\"",
                          m->volume == NULL ? "" : m->volume);
    const Pb__HostVolume *v = volume_of(node, r->source);
    if (v == NULL)
        return reason_set(why, ERR_NOT_FOUND, "this node has no host volume \"%.64s\"",
                          r->source == NULL ? "" : r->source);
    *out = (struct volume_place){v->path, !v->read_only && !r->read_only && !m->read_only};
    return OK;
}
