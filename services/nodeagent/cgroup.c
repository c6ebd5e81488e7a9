#include "cgroup.h"
#include "base/id.h"
#include "base/map.h"
#include "shim/tree.h"
#include <errno.h>
#include <mntent.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CGROUP2_MAGIC 0x63677270

static bool find_mount(const char *type, const char *option, char *out, size_t room)
{
    FILE *f = setmntent("/proc/self/mounts", "re");
    struct mntent *m;
    bool found = false;
    while (f != NULL && !found && (m = getmntent(f)) != NULL) {
        found = strcmp(m->mnt_type, type) == 0 &&
                (option == NULL || hasmntopt(m, option) != NULL) && strlen(m->mnt_dir) < room;
        if (found)
            snprintf(out, room, "%s", m->mnt_dir);
    }
    if (f != NULL)
        endmntent(f);
    return found;
}

static bool use(struct cgroups *c, const char *mount, enum shim_tree kind, const char *name)
{
    char base[sizeof c->base];
    if (snprintf(base, sizeof base, "%s/%s", mount, name) >= (int)sizeof base)
        return false;
    if (mkdir(base, 0755) != 0 && errno != EEXIST)
        return false;
    if (access(base, W_OK | X_OK) != 0)
        return false;
    c->kind = kind;
    snprintf(c->base, sizeof c->base, "%s", base);
    if (kind != SHIM_TREE_CGROUP2)
        return true;
    snprintf(c->shims, sizeof c->shims, "%s/shims", base);
    if (mkdir(c->shims, 0755) != 0 && errno != EEXIST)
        c->shims[0] = '\0';
    return true;
}

void cgroups_init(struct cgroups *c, const char *setting)
{
    char mount[200];
    struct statfs fs;
    *c = (struct cgroups){.kind = SHIM_TREE_WALK};
    if (strcmp(setting, "none") == 0)
        return;
    if (strcmp(setting, "auto") != 0) {
        bool two = statfs(setting, &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
        use(c, setting, two ? SHIM_TREE_CGROUP2 : SHIM_TREE_FREEZER, two ? "norn.slice" : "norn");
        return;
    }
    if (find_mount("cgroup2", NULL, mount, sizeof mount) &&
        use(c, mount, SHIM_TREE_CGROUP2, "norn.slice"))
        return;
    if (find_mount("cgroup", "freezer", mount, sizeof mount))
        use(c, mount, SHIM_TREE_FREEZER, "norn");
}

void cgroups_prepare(const struct cgroups *c)
{
    /* Where it fails, the shim falls back to walking the tree. */
    if (c->kind != SHIM_TREE_WALK && mkdir(c->base, 0755) != 0)
        errno = 0;
    if (c->shims[0] != '\0' && mkdir(c->shims, 0755) != 0)
        errno = 0;
}

void cgroups_task_path(const struct cgroups *c, const uint8_t alloc[16], const char *task,
                       char *out, size_t room)
{
    char id[ID_TEXT_SIZE];
    out[0] = '\0';
    if (c->kind == SHIM_TREE_WALK)
        return;
    id_format(alloc, id);
    if (strlen(task) <= 128)
        snprintf(out, room, "%s/%s.%s.scope", c->base, id, task);
    else
        snprintf(out, room, "%s/%s.%016llx.scope", c->base, id,
                 (unsigned long long)hash_bytes(task, strlen(task), 0));
}

void cgroups_clear(const struct cgroups *c, const char *path, int wait_ms)
{
    struct tree t;
    struct stat st;
    if (c->kind == SHIM_TREE_WALK || path[0] == '\0' || stat(path, &st) != 0)
        return;
    tree_init(&t, (int)c->kind, path);
    while (!tree_kill_cgroup(&t) && wait_ms-- > 0)
        poll(NULL, 0, 1);
    if (t.cgroup >= 0)
        close(t.cgroup);
    rmdir(path);
}

void cgroups_fini(const struct cgroups *c)
{
    if (c->kind == SHIM_TREE_WALK)
        return;
    if (c->shims[0] != '\0')
        rmdir(c->shims);
    rmdir(c->base);
}
