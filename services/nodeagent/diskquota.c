#include "diskquota.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK       512 /* of limits and usage, whatever the file system's own is */
#define PROBES_MOST 1000
#define DEPTH_MOST  256

/* These commands are the same for every file system with quotas, in spite of their names. */
static int quota(int fd, int command, uint32_t id, void *data)
{
    return (int)syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), id, data);
}

static int open_dir(const char *dir)
{
    return open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The answer to Q_XGETQUOTA needs privileges for other ids than one's own. */
bool diskquota_is_on(const char *dir)
{
    struct fs_quota_stat stat = {0};
    struct fs_disk_quota any;
    int fd = open_dir(dir);
    if (fd < 0)
        return false;
    bool on = quota(fd, Q_XGETQSTAT, 0, &stat) == 0 && (stat.qs_flags & FS_QUOTA_PDQ_ENFD) != 0 &&
              (quota(fd, Q_XGETQUOTA, DISKQUOTA_FIRST, &any) == 0 || errno == ENOENT);
    close(fd);
    return on;
}

static bool is_ours(uint32_t id)
{
    return id >= DISKQUOTA_FIRST && id - DISKQUOTA_FIRST < DISKQUOTA_IDS;
}

static bool is_free(int fd, uint32_t id)
{
    struct fs_disk_quota q = {0};
    if (quota(fd, Q_XGETQUOTA, id, &q) != 0)
        return errno == ENOENT;
    return q.d_blk_hardlimit == 0 && q.d_bcount == 0 && q.d_icount == 0;
}

static enum err find_free(int fd, uint32_t seed, uint32_t *id, struct reason *why)
{
    for (uint32_t i = 0; i < PROBES_MOST; i++) {
        *id = DISKQUOTA_FIRST + (seed + i) % DISKQUOTA_IDS;
        if (is_free(fd, *id))
            return OK;
    }
    return reason_set(why, ERR_NO_SPACE, "no project id is free near %u", *id);
}

static enum err begin(int fd, uint32_t seed, struct reason *why)
{
    struct fsxattr attr;
    uint32_t id = 0;
    if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) != 0)
        return reason_errno(why, ERR_IO, "read the project");
    if (is_ours(attr.fsx_projid) && (attr.fsx_xflags & FS_XFLAG_PROJINHERIT) != 0)
        return OK;
    enum err e = find_free(fd, seed, &id, why);
    if (e != OK)
        return e;
    attr.fsx_projid = id;
    attr.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    if (ioctl(fd, FS_IOC_FSSETXATTR, &attr) != 0)
        return reason_errno(why, ERR_IO, "set project %u", id);
    return OK;
}

enum err diskquota_begin(const char *dir, uint32_t seed, struct reason *why)
{
    int fd = open_dir(dir);
    if (fd < 0)
        return reason_errno(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s", dir);
    enum err e = begin(fd, seed, why);
    close(fd);
    return e == OK ? OK : reason_add(why, e, "%s", dir);
}

/* *fd is open when OK. */
static enum err open_ours(const char *dir, int *fd, uint32_t *id, struct reason *why)
{
    struct fsxattr attr;
    *fd = open_dir(dir);
    if (*fd < 0)
        return reason_errno(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s", dir);
    if (ioctl(*fd, FS_IOC_FSGETXATTR, &attr) == 0 && is_ours(attr.fsx_projid)) {
        *id = attr.fsx_projid;
        return OK;
    }
    close(*fd);
    return reason_set(why, ERR_NOT_FOUND, "%s has no project of its own", dir);
}

enum err diskquota_limit(const char *dir, uint64_t bytes, struct reason *why)
{
    int fd;
    uint32_t id = 0;
    enum err e = open_ours(dir, &fd, &id, why);
    if (e != OK)
        return e;
    struct fs_disk_quota q = {.d_version = FS_DQUOT_VERSION,
                              .d_flags = FS_PROJ_QUOTA,
                              .d_fieldmask = FS_DQ_BHARD | FS_DQ_BSOFT,
                              .d_id = id,
                              .d_blk_hardlimit = bytes / BLOCK};
    if (quota(fd, Q_XSETQLIM, id, &q) != 0)
        e = reason_errno(why, ERR_IO, "set the limit of project %u", id);
    close(fd);
    return e;
}

enum err diskquota_used(const char *dir, uint64_t *bytes, struct reason *why)
{
    int fd;
    uint32_t id = 0;
    struct fs_disk_quota q = {0};
    enum err e = open_ours(dir, &fd, &id, why);
    if (e != OK)
        return e;
    if (quota(fd, Q_XGETQUOTA, id, &q) != 0)
        e = reason_errno(why, ERR_IO, "read project %u", id);
    close(fd);
    *bytes = q.d_bcount * BLOCK;
    return e;
}

/* ---- a tree goes from one project to another */

struct passing {
    uint32_t id, flags; /* FS_XFLAG_PROJINHERIT or none */
    dev_t device;
};

static bool has_project(const struct passing *p, const struct fsxattr *attr)
{
    return attr->fsx_projid == p->id && (attr->fsx_xflags & FS_XFLAG_PROJINHERIT) == p->flags;
}

static enum err pass_one(const struct passing *p, int fd, bool is_dir, struct reason *why)
{
    struct fsxattr attr;
    if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) != 0)
        return reason_errno(why, ERR_IO, "read the project");
    if (is_dir ? has_project(p, &attr) : attr.fsx_projid == p->id)
        return OK;
    attr.fsx_projid = p->id;
    if (is_dir)
        attr.fsx_xflags = (attr.fsx_xflags & ~(uint32_t)FS_XFLAG_PROJINHERIT) | p->flags;
    return ioctl(fd, FS_IOC_FSSETXATTR, &attr) == 0
               ? OK
               : reason_errno(why, ERR_IO, "set project %u", p->id);
}

static enum err pass_below(const struct passing *p, int fd, unsigned depth, struct reason *why);

/* Only files and directories can be opened without consequences, and asked. */
static enum err pass_entry(const struct passing *p, int dir, const char *name, unsigned depth,
                           struct reason *why)
{
    struct stat st;
    enum err e = OK;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_dev != p->device ||
        (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return OK;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? OK : reason_errno(why, ERR_IO, "open %s", name);
    if (S_ISDIR(st.st_mode))
        e = pass_below(p, fd, depth + 1, why);
    if (e == OK)
        e = pass_one(p, fd, S_ISDIR(st.st_mode), why);
    close(fd);
    return e;
}

static enum err pass_below(const struct passing *p, int fd, unsigned depth, struct reason *why)
{
    enum err e = OK;
    const struct dirent *entry;
    if (depth == DEPTH_MOST)
        return reason_set(why, ERR_INVALID, "its directories are more than %d deep", DEPTH_MOST);
    DIR *d = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (d == NULL)
        return reason_errno(why, ERR_IO, "read a directory");
    while (e == OK && (entry = readdir(d)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            e = pass_entry(p, dirfd(d), entry->d_name, depth, why);
    closedir(d);
    return e;
}

static struct passing passing_of(const struct fsxattr *attr, dev_t device)
{
    return (struct passing){attr->fsx_projid, attr->fsx_xflags & FS_XFLAG_PROJINHERIT, device};
}

/* While the top has the old project, that tells what the rest had, and that there is more to do. */
static enum err pass_tree(const struct fsxattr *to, int fd, struct reason *why)
{
    struct fsxattr from;
    struct stat st;
    if (ioctl(fd, FS_IOC_FSGETXATTR, &from) != 0 || fstat(fd, &st) != 0)
        return reason_errno(why, ERR_IO, "read the project");
    struct passing there = passing_of(to, st.st_dev), back = passing_of(&from, st.st_dev);
    if (has_project(&there, &from))
        return OK;
    enum err e = pass_below(&there, fd, 0, why);
    if (e == OK)
        e = pass_one(&there, fd, true, why);
    if (e != OK)
        pass_below(&back, fd, 0, NULL);
    return e;
}

enum err diskquota_pass(int at, const char *name, const char *dir, struct reason *why)
{
    struct fsxattr to;
    int fd = open_dir(dir);
    if (fd < 0)
        return reason_errno(why, ERR_IO, "open %s", dir);
    bool knows_projects = ioctl(fd, FS_IOC_FSGETXATTR, &to) == 0;
    close(fd);
    if (!knows_projects)
        return OK;
    fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                   ? OK
                   : reason_errno(why, ERR_IO, "open %s", name);
    enum err e = pass_tree(&to, fd, why);
    close(fd);
    return e;
}
