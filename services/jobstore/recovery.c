#include "recovery.h"
#include "base/boot.h"
#include "base/fault.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINT "checkpoint-"

/* ---- checkpoints */

/* False: not the name of one. */
static bool checkpoint_index(const char *name, uint64_t *index)
{
    char *end;
    if (strncmp(name, CHECKPOINT, sizeof CHECKPOINT - 1) != 0)
        return false;
    errno = 0;
    *index = strtoull(name + sizeof CHECKPOINT - 1, &end, 10);
    return errno == 0 && *end == '\0' && end != name + sizeof CHECKPOINT - 1;
}

/* The highest one below `below`; 0: none. */
static uint64_t checkpoint_newest(const char *dir, uint64_t below)
{
    uint64_t newest = 0, index;
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL)
        if (checkpoint_index(e->d_name, &index) && index < below && index > newest)
            newest = index;
    if (d != NULL)
        closedir(d);
    return newest;
}

static void checkpoint_path(char out[PATH_MAX], const char *dir, uint64_t index)
{
    snprintf(out, PATH_MAX, "%s/" CHECKPOINT "%llu", dir, (unsigned long long)index);
}

static void checkpoints_remove_older(const char *dir, uint64_t than)
{
    char path[PATH_MAX];
    for (uint64_t index = than; (index = checkpoint_newest(dir, index)) != 0;) {
        checkpoint_path(path, dir, index);
        unlink(path);
    }
}

/* What was renamed in dir stays so. */
static enum err sync_dir(const char *dir, struct reason *why)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return reason_errno(why, ERR_IO, "open %s", dir);
    int rc = fsync(fd);
    close(fd);
    return rc == 0 ? OK : reason_errno(why, ERR_IO, "sync %s", dir);
}

/* Written aside and renamed: a checkpoint is whole or not there. */
enum err checkpoint_make(const char *dir, struct store *state, uint64_t index, struct reason *why)
{
    char fresh[PATH_MAX], path[PATH_MAX];
    snprintf(fresh, sizeof fresh, "%s/checkpoint.new", dir);
    checkpoint_path(path, dir, index);
    int fd = open(fresh, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0640);
    if (fd < 0)
        return reason_errno(why, ERR_IO, "make %s", fresh);
    enum err e = store_copy(state, fd, why);
    FAULT_POINT("checkpoint.copied");
    if (e == OK && fsync(fd) != 0)
        e = reason_errno(why, ERR_IO, "sync %s", fresh);
    close(fd);
    if (e == OK && rename(fresh, path) != 0)
        e = reason_errno(why, ERR_IO, "rename %s", fresh);
    if (e != OK) {
        unlink(fresh);
        return e;
    }
    FAULT_POINT("checkpoint.renamed");
    e = sync_dir(dir, why);
    if (e == OK)
        checkpoints_remove_older(dir, index);
    return e;
}

/* ---- the state */

static bool state_is_trusted(struct logstore *log, const char *boot)
{
    char was[BOOT_ID_SIZE], clean[8];
    if (logstore_fact(log, "clean", clean, sizeof clean) && strcmp(clean, "yes") == 0)
        return true;
    return boot[0] != '\0' && logstore_fact(log, "boot", was, sizeof was) && strcmp(was, boot) == 0;
}

enum err recovery_mark_clean(struct logstore *log, struct reason *why)
{
    return logstore_set_fact(log, "clean", "yes", why);
}

static enum err mark_ours(struct logstore *log, const char *boot, struct reason *why)
{
    enum err e = logstore_set_fact(log, "boot", boot, why);
    return e == OK ? logstore_set_fact(log, "clean", "no", why) : e;
}

void recovery_remove_dir(const char *dir, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/data.mdb", dir, name);
    unlink(path);
    snprintf(path, sizeof path, "%s/%s/lock.mdb", dir, name);
    unlink(path);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    rmdir(path);
}

static void state_remove(const char *dir)
{
    recovery_remove_dir(dir, "state");
}

static enum err copy_file(const char *from, const char *to, struct reason *why)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0640);
    ssize_t n = in < 0 || out < 0 ? -1 : 1;
    while (n > 0)
        n = sendfile(out, in, NULL, 16u << 20);
    enum err e = n < 0 ? reason_errno(why, ERR_IO, "copy %s to %s", from, to) : OK;
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return e;
}

enum err checkpoint_from(const char *dir, const char *path, uint64_t index, struct reason *why)
{
    char fresh[PATH_MAX], to[PATH_MAX];
    snprintf(fresh, sizeof fresh, "%s/checkpoint.new", dir);
    checkpoint_path(to, dir, index);
    enum err e = copy_file(path, fresh, why);
    int fd = e == OK ? open(fresh, O_RDONLY | O_CLOEXEC) : -1;
    if (e == OK && (fd < 0 || fsync(fd) != 0))
        e = reason_errno(why, ERR_IO, "sync %s", fresh);
    if (fd >= 0)
        close(fd);
    if (e == OK && rename(fresh, to) != 0)
        e = reason_errno(why, ERR_IO, "rename %s", fresh);
    if (e != OK)
        unlink(fresh);
    return e == OK ? sync_dir(dir, why) : e;
}

enum err recovery_swap(const char *dir, struct logstore *log, uint64_t index, struct reason *why)
{
    char from[PATH_MAX], to[PATH_MAX], text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)index);
    enum err e = logstore_set_fact(log, "installed", text, why);
    if (e != OK)
        return e;
    FAULT_POINT("install.swap");
    state_remove(dir);
    snprintf(from, sizeof from, "%s/incoming", dir);
    snprintf(to, sizeof to, "%s/state", dir);
    if (rename(from, to) != 0)
        return reason_errno(why, ERR_IO, "rename %s", from);
    FAULT_POINT("install.swapped");
    return sync_dir(dir, why);
}

/* Into state/ from a checkpoint. Not yet trusted: the mark comes after. */
static enum err state_restore(const char *dir, uint64_t index, struct reason *why)
{
    char from[PATH_MAX], to[PATH_MAX];
    state_remove(dir);
    snprintf(to, sizeof to, "%s/state", dir);
    if (mkdir(to, 0750) != 0 && errno != EEXIST)
        return reason_errno(why, ERR_IO, "make %s", to);
    checkpoint_path(from, dir, index);
    snprintf(to, sizeof to, "%s/state/data.mdb", dir);
    return copy_file(from, to, why);
}

uint64_t recovery_applied(struct state *s)
{
    struct view *v = state_read(s);
    uint64_t index = view_meta(v)->applied_index - state_index_offset(v);
    view_abort(v);
    return index;
}

/* A state that came from the leader may be ahead of the log: it then takes its place. */
static bool was_installed(struct logstore *log, uint64_t index)
{
    char text[24];
    return logstore_fact(log, "installed", text, sizeof text) && strtoull(text, NULL, 10) == index;
}

/* The log must go on where the state ends, or the replica would skip entries and become another
 * cluster. */
static bool log_reaches(struct logstore *log, struct state *s)
{
    struct logstore_summary sum;
    struct reason ignored;
    uint64_t applied = recovery_applied(s);
    if (logstore_summary(log, &sum, &ignored) != OK)
        return false;
    if (sum.last == 0) /* new, or cut whole: then the state must be where it was cut */
        return applied == sum.cut || was_installed(log, applied);
    return sum.first <= applied + 1 && (applied <= sum.last || was_installed(log, applied));
}

static enum err open_state_dir(struct state **out, const char *dir, const struct state_options *o,
                               struct reason *why)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/state", dir);
    return state_open(out, path, o, why);
}

/* From the newest checkpoint that can be opened and that the log continues, or from nothing. */
static enum err rebuild(struct state **out, const char *dir, struct logstore *log,
                        const struct state_options *o, struct reason *why)
{
    uint64_t index = UINT64_MAX;
    enum err e;
    while ((index = checkpoint_newest(dir, index)) != 0) {
        e = state_restore(dir, index, why);
        if (e == OK)
            e = open_state_dir(out, dir, o, why);
        if (e == OK && log_reaches(log, *out)) {
            log_warn("state_rebuilt", "checkpoint=%llu", (unsigned long long)index);
            return OK;
        }
        log_warn("checkpoint_unusable", "checkpoint=%llu", (unsigned long long)index);
        if (e == OK)
            state_close(*out);
    }
    state_remove(dir);
    e = open_state_dir(out, dir, o, why);
    if (e == OK && !log_reaches(log, *out)) {
        state_close(*out);
        return reason_set(why, ERR_CORRUPT,
                          "the state in %s was not closed cleanly, no checkpoint can be used, and "
                          "the log does not reach back to the beginning: restore a backup",
                          dir);
    }
    return e;
}

enum err recovery_open_state(struct state **out, const char *dir, struct logstore *log,
                             const struct state_options *o, bool *rebuilt, struct reason *why)
{
    char boot[BOOT_ID_SIZE], path[PATH_MAX];
    struct state *s = NULL;
    boot_id(boot);
    snprintf(path, sizeof path, "%s/checkpoint.new", dir);
    unlink(path); /* of one that was not finished */
    recovery_remove_dir(dir, "incoming");
    recovery_remove_dir(dir, "outgoing");
    snprintf(path, sizeof path, "%s/state", dir);
    bool is_new = access(path, F_OK) != 0;
    enum err e = OK;
    if (state_is_trusted(log, boot))
        e = open_state_dir(&s, dir, o, why);
    if (e == OK && s != NULL && !log_reaches(log, s)) {
        state_close(s);
        s = NULL;
    }
    *rebuilt = s == NULL && !is_new;
    if (s == NULL)
        e = rebuild(&s, dir, log, o, why);
    if (e == OK)
        e = mark_ours(log, boot, why);
    if (e != OK) {
        state_close(s);
        return e;
    }
    *out = s;
    return OK;
}
