#include "diskquota.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK       512 /* of limits and usage, whatever the file system's own is */
#define PROBES_MOST 1000

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
