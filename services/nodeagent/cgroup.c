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

/* ---- controllers */

static const char *const v1_names[SHIM_CONTROLLERS] = {[SHIM_MEMORY] = "memory",
                                                       [SHIM_CPU] = "cpu",
                                                       [SHIM_PIDS] = "pids",
                                                       [SHIM_IO] = "blkio",
                                                       [SHIM_CPUSET] = "cpuset"};
static const char *const v2_names[SHIM_CONTROLLERS] = {[SHIM_MEMORY] = "memory",
                                                       [SHIM_CPU] = "cpu",
                                                       [SHIM_PIDS] = "pids",
                                                       [SHIM_IO] = "io",
                                                       [SHIM_CPUSET] = "cpuset"};

static bool put_text(const char *dir, const char *file, const char *text)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "we");
    if (f == NULL)
        return false;
    bool put = fputs(text, f) >= 0;
    return fclose(f) == 0 && put;
}

static bool lists(const char *dir, const char *file, const char *name)
{
    char path[512], word[64];
    bool found = false;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "re");
    while (f != NULL && !found && fscanf(f, "%63s", word) == 1)
        found = strcmp(word, name) == 0;
    if (f != NULL)
        fclose(f);
    return found;
}

static void enable_v2(const char *dir)
{
    char request[32];
    for (int i = 0; i < SHIM_CONTROLLERS; i++) {
        snprintf(request, sizeof request, "+%s", v2_names[i]);
        if (!lists(dir, "cgroup.subtree_control", v2_names[i]))
            put_text(dir, "cgroup.subtree_control", request);
    }
}

static bool find_limits_v2(struct cgroups *c, const char *mount)
{
    enable_v2(mount);
    enable_v2(c->base);
    for (int i = 0; i < SHIM_CONTROLLERS; i++)
        if (lists(c->base, "cgroup.subtree_control", v2_names[i]))
            snprintf(c->limits[i], sizeof c->limits[i], "%s", c->base);
    c->limits_v2 = c->limits[SHIM_MEMORY][0] != '\0';
    return c->limits_v2;
}

/* ---- cores. With v1 a new cpuset is empty and takes nobody in: ours has all that is above it, and
 * in it is `share`, for all tasks that have no cores of their own. */

static bool copy_text(const char *from, const char *to, const char *file)
{
    char path[512], text[256] = "";
    snprintf(path, sizeof path, "%s/%s", from, file);
    FILE *f = fopen(path, "re");
    bool read = f != NULL && fgets(text, sizeof text, f) != NULL;
    if (f != NULL)
        fclose(f);
    return read && put_text(to, file, text);
}

static bool fill_cpuset_v1(const char *base)
{
    char above[256], share[300];
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(base, '/') - base), base);
    snprintf(share, sizeof share, "%s/share", base);
    if (!copy_text(above, base, "cpuset.mems") || !copy_text(above, base, "cpuset.cpus") ||
        (mkdir(share, 0755) != 0 && errno != EEXIST))
        return false;
    return copy_text(base, share, "cpuset.mems");
}

static void find_limits_v1(struct cgroups *c)
{
    char mount[200];
    for (int i = 0; i < SHIM_CONTROLLERS; i++) {
        c->limits[i][0] = '\0';
        if (!find_mount("cgroup", v1_names[i], mount, sizeof mount))
            continue;
        snprintf(c->limits[i], sizeof c->limits[i], "%s/norn", mount);
        if ((mkdir(c->limits[i], 0755) != 0 && errno != EEXIST) || access(c->limits[i], W_OK) != 0)
            c->limits[i][0] = '\0';
    }
    if (c->limits[SHIM_CPUSET][0] != '\0' && !fill_cpuset_v1(c->limits[SHIM_CPUSET]))
        c->limits[SHIM_CPUSET][0] = '\0';
}

/* ---- who is not root has what was delegated to it: the topmost directory above its own that it
 * may use. Its own is not it: that is the unit, which could not be started again while tasks live.
 */

static bool read_own_path(char *out, size_t room)
{
    char line[512];
    bool found = false;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found = strncmp(line, "0::/", 4) == 0 && strlen(line) - 3 < room;
        if (found)
            snprintf(out, room, "%s", line + 3);
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static bool is_delegated(const char *dir)
{
    char procs[900];
    snprintf(procs, sizeof procs, "%s/cgroup.procs", dir);
    return access(dir, W_OK | X_OK) == 0 && access(procs, W_OK) == 0;
}

static bool find_delegated(char out[200])
{
    char mount[200], own[512], dir[800];
    if (!find_mount("cgroup2", NULL, mount, sizeof mount) || !read_own_path(own, sizeof own))
        return false;
    int levels = 0;
    snprintf(dir, sizeof dir, "%s%s", mount, own);
    for (; strlen(dir) > strlen(mount) && is_delegated(dir); levels++) {
        if (strlen(dir) < 200)
            snprintf(out, 200, "%s", dir);
        *strrchr(dir, '/') = '\0';
    }
    return levels > 1 && out[0] != '\0';
}

static void find_tree(struct cgroups *c, const char *setting, char mount[200])
{
    struct statfs fs;
    if (strcmp(setting, "auto") != 0) {
        bool two = statfs(setting, &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
        snprintf(mount, 200, "%s", setting);
        use(c, setting, two ? SHIM_TREE_CGROUP2 : SHIM_TREE_FREEZER, two ? "norn.slice" : "norn");
        return;
    }
    if (geteuid() != 0) {
        if (find_delegated(mount))
            use(c, mount, SHIM_TREE_CGROUP2, "norn.slice");
        return;
    }
    if (find_mount("cgroup2", NULL, mount, 200) && use(c, mount, SHIM_TREE_CGROUP2, "norn.slice"))
        return;
    if (find_mount("cgroup", "freezer", mount, 200))
        use(c, mount, SHIM_TREE_FREEZER, "norn");
}

bool cgroups_cores(const struct cgroups *c, char *out, size_t room)
{
    char path[512];
    if (c->limits[SHIM_CPUSET][0] == '\0')
        return false;
    snprintf(path, sizeof path, "%s/%s", c->limits[SHIM_CPUSET],
             c->limits_v2 ? "cpuset.cpus.effective" : "cpuset.cpus");
    FILE *f = fopen(path, "re");
    bool read = f != NULL && fgets(out, (int)room, f) != NULL;
    if (f != NULL)
        fclose(f);
    out[read ? strcspn(out, "\n") : 0] = '\0';
    return read && out[0] != '\0';
}

void cgroups_share(const struct cgroups *c, const char *cpus)
{
    char path[300];
    if (c->limits[SHIM_CPUSET][0] == '\0' || c->limits_v2)
        return;
    snprintf(path, sizeof path, "%s/share", c->limits[SHIM_CPUSET]);
    put_text(path, "cpuset.cpus", cpus);
}

void cgroups_share_path(const struct cgroups *c, const uint8_t alloc[16], const char *task,
                        char *out, size_t room)
{
    out[0] = '\0';
    if (c->limits[SHIM_CPUSET][0] == '\0')
        return;
    if (c->limits_v2)
        cgroups_limit_path(c, SHIM_CPUSET, alloc, task, out, room);
    else
        snprintf(out, room, "%s/share", c->limits[SHIM_CPUSET]);
}

void cgroups_keep_to(const struct cgroups *c, const uint8_t alloc[16], const char *task,
                     const char *cpus)
{
    char path[600];
    if (!c->limits_v2)
        return;
    cgroups_limit_path(c, SHIM_CPUSET, alloc, task, path, sizeof path);
    if (path[0] != '\0')
        put_text(path, "cpuset.cpus", cpus);
}

void cgroups_init(struct cgroups *c, const char *setting)
{
    char mount[200] = "";
    *c = (struct cgroups){.kind = SHIM_TREE_WALK};
    if (strcmp(setting, "none") == 0)
        return;
    find_tree(c, setting, mount);
    if (c->kind == SHIM_TREE_WALK)
        return;
    if (c->kind != SHIM_TREE_CGROUP2 || !find_limits_v2(c, mount))
        find_limits_v1(c);
}

void cgroups_prepare(const struct cgroups *c)
{
    /* Where it fails, the shim falls back to walking the tree. */
    if (c->kind != SHIM_TREE_WALK && mkdir(c->base, 0755) == 0 && c->limits_v2)
        enable_v2(c->base);
    if (c->shims[0] != '\0' && mkdir(c->shims, 0755) != 0)
        errno = 0;
    for (int i = 0; i < SHIM_CONTROLLERS && !c->limits_v2; i++)
        if (c->limits[i][0] != '\0' && mkdir(c->limits[i], 0755) != 0)
            errno = 0;
    if (!c->limits_v2 && c->limits[SHIM_CPUSET][0] != '\0')
        fill_cpuset_v1(c->limits[SHIM_CPUSET]);
}

static void task_path(const char *base, const uint8_t alloc[16], const char *task, char *out,
                      size_t room)
{
    char id[ID_TEXT_SIZE];
    out[0] = '\0';
    if (base[0] == '\0')
        return;
    id_format(alloc, id);
    if (strlen(task) <= 128)
        snprintf(out, room, "%s/%s.%s.scope", base, id, task);
    else
        snprintf(out, room, "%s/%s.%016llx.scope", base, id,
                 (unsigned long long)hash_bytes(task, strlen(task), 0));
}

void cgroups_task_path(const struct cgroups *c, const uint8_t alloc[16], const char *task,
                       char *out, size_t room)
{
    task_path(c->kind == SHIM_TREE_WALK ? "" : c->base, alloc, task, out, room);
}

void cgroups_limit_path(const struct cgroups *c, enum shim_controller controller,
                        const uint8_t alloc[16], const char *task, char *out, size_t room)
{
    task_path(c->limits[controller], alloc, task, out, room);
}

static void clear_tree(const struct cgroups *c, const char *path, int wait_ms)
{
    struct tree t;
    struct stat st;
    if (path[0] == '\0' || stat(path, &st) != 0)
        return;
    tree_init(&t, (int)c->kind, path);
    while (!tree_kill_cgroup(&t) && wait_ms-- > 0)
        poll(NULL, 0, 1);
    if (t.cgroup >= 0)
        close(t.cgroup);
    tree_remove(path);
}

void cgroups_clear(const struct cgroups *c, const uint8_t alloc[16], const char *task, int wait_ms)
{
    char path[600];
    cgroups_task_path(c, alloc, task, path, sizeof path);
    clear_tree(c, path, wait_ms);
    for (int i = 0; i < SHIM_CONTROLLERS; i++) {
        cgroups_limit_path(c, (enum shim_controller)i, alloc, task, path, sizeof path);
        if (path[0] != '\0')
            rmdir(path);
    }
}

void cgroups_fini(const struct cgroups *c)
{
    if (c->kind == SHIM_TREE_WALK)
        return;
    if (c->shims[0] != '\0')
        rmdir(c->shims);
    rmdir(c->base);
    if (!c->limits_v2 && c->limits[SHIM_CPUSET][0] != '\0') {
        char share[300];
        snprintf(share, sizeof share, "%s/share", c->limits[SHIM_CPUSET]);
        rmdir(share);
    }
    for (int i = 0; i < SHIM_CONTROLLERS && !c->limits_v2; i++)
        if (c->limits[i][0] != '\0')
            rmdir(c->limits[i]);
}
