/* taskfetch: brings one artifact into a task's directory.
 *
 * Hears     on standard input, as JSON: {"source", "options", "headers", "mode", "insecure",
 *           "root" (the allocation's directory), "place" (below it), "uid", "gid", "groups",
 *           "reads_as": {"uid", "gid"} (who reads the node's own files, unless it is the user),
 *           "limits": {"bytes", "unpacked", "files", "seconds"}, "checksum_required"}
 * Says      on standard output one line: "ok", "invalid: why" (trying again is in vain), or
 *           "failed: why"
 * Becomes   the task's user first of all: it can read and write what the task could itself
 * Ends      with the agent, when it is killed, or when its time is over */
#include "fetch.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_GROUPS 64
#define TEMPORARY  ".norn-"
#define ARENA_CAP  (16u << 20)

enum mode { MODE_ANY, MODE_FILE, MODE_DIR };

struct job {
    struct arena *arena;
    json_t *spec;
    struct source source;
    struct limits limits;
    enum mode mode;
    int dir;          /* the destination; of mode file the directory that it lies in */
    const char *name; /* of mode file: what it is called there */
};

static const char *text_of(const struct job *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j->spec, key));
    return text == NULL ? "" : text;
}

static json_int_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* ---- who and where */

static enum err become_user(const struct job *j, struct reason *why)
{
    const json_t *groups = json_object_get(j->spec, "groups");
    gid_t list[MAX_GROUPS];
    size_t count = json_array_size(groups);
    if (json_object_get(j->spec, "uid") == NULL)
        return OK;
    if (count > MAX_GROUPS)
        count = MAX_GROUPS;
    for (size_t i = 0; i < count; i++)
        list[i] = (gid_t)json_integer_value(json_array_get(groups, i));
    if (setgroups(count, list) != 0 || setgid((gid_t)number_of(j->spec, "gid")) != 0 ||
        setuid((uid_t)number_of(j->spec, "uid")) != 0)
        return reason_errno(why, ERR_DENIED, "become the task's user");
    return OK;
}

/* One directory further down; no symlink is followed. Takes dir. */
static int enter(int dir, const char *name)
{
    if (mkdirat(dir, name, 0755) != 0 && errno != EEXIST) {
        close(dir);
        return -1;
    }
    int next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    close(dir);
    return next;
}

static enum err open_destination(struct job *j, struct reason *why)
{
    char *rest = arena_strdup(j->arena, text_of(j, "place")), *part;
    int dir = open(text_of(j, "root"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    j->name = NULL;
    if (j->mode == MODE_FILE) {
        size_t n = strlen(rest);
        while (n > 0 && rest[n - 1] == '/')
            rest[--n] = '\0';
        char *slash = strrchr(rest, '/');
        j->name = slash == NULL ? rest : slash + 1;
        if (slash != NULL)
            *slash = '\0';
    }
    while (dir >= 0 && (part = strsep(&rest, "/")) != NULL && part != j->name)
        if (*part != '\0' && strcmp(part, ".") != 0)
            dir = strcmp(part, "..") == 0 ? -1 : enter(dir, part);
    if (dir < 0)
        return reason_errno(why, ERR_INVALID, "destination %s", text_of(j, "place"));
    j->dir = dir;
    return fchdir(dir) == 0 ? OK : reason_errno(why, ERR_IO, "destination");
}

/* ---- what is made on the way: TEMPORARY, what it is, and whose */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static void remove_tree(const char *name)
{
    nftw(name, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Of one that was killed. */
static bool is_left_over(const char *name)
{
    const char *pid = strrchr(name, '-');
    if (strncmp(name, TEMPORARY, strlen(TEMPORARY)) != 0 || pid == NULL)
        return false;
    long n = strtol(pid + 1, NULL, 10);
    return n > 0 && kill((pid_t)n, 0) != 0 && errno == ESRCH;
}

static void clear_left_over(void)
{
    struct dirent *d;
    DIR *dir = opendir(".");
    while (dir != NULL && (d = readdir(dir)) != NULL)
        if (is_left_over(d->d_name))
            remove_tree(d->d_name);
    if (dir != NULL)
        closedir(dir);
}

/* ---- files */

static int make_temporary(char name[40])
{
    snprintf(name, 40, TEMPORARY "fetch-%d", (int)getpid());
    unlink(name);
    return open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
}

static enum err put_file(const struct job *j, const char *temporary, const char *name,
                         struct reason *why)
{
    if (renameat(j->dir, temporary, j->dir, name) != 0)
        return reason_errno(why, ERR_IO, "put %s in its place", name);
    return OK;
}

/* "x.gz" is called "x" when it is unpacked. */
static const char *single_name(const struct job *j)
{
    if (j->name != NULL)
        return j->name;
    char *name = arena_strdup(j->arena, j->source.file_name), *dot = strrchr(name, '.');
    if (dot != NULL && dot != name)
        *dot = '\0';
    return name;
}

static enum err place_single(const struct job *j, int fd, struct reason *why)
{
    char name[48];
    snprintf(name, sizeof name, TEMPORARY "unpack-%d", (int)getpid());
    unlink(name);
    int out = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (out < 0)
        return reason_errno(why, ERR_IO, "make a file");
    enum err e = unpack_single(fd, out, &j->limits, why);
    close(out);
    if (e == OK)
        e = put_file(j, name, single_name(j), why);
    if (e != OK)
        unlink(name);
    return e;
}

static enum err place(const struct job *j, int fd, const char *temporary, struct reason *why)
{
    if (j->source.archive == ARCHIVE_TREE && j->mode != MODE_FILE)
        return unpack(fd, &j->source, &j->limits, why);
    if (j->source.archive == ARCHIVE_SINGLE)
        return place_single(j, fd, why);
    if (j->mode == MODE_DIR)
        return reason_set(why, ERR_INVALID, "mode \"dir\" wants an archive or a repository");
    return put_file(j, temporary, j->name != NULL ? j->name : j->source.file_name, why);
}

/* The node's own file. */
static enum err copy_own(const struct job *j, int fd, struct reason *why)
{
    const json_t *as = json_object_get(j->spec, "reads_as");
    if (as == NULL)
        return copy_file(&j->source, &j->limits, fd, why);
    if (setgroups(0, NULL) != 0 || setegid((gid_t)number_of(as, "gid")) != 0 ||
        seteuid((uid_t)number_of(as, "uid")) != 0)
        return reason_errno(why, ERR_DENIED, "become nobody");
    enum err e = copy_file(&j->source, &j->limits, fd, why);
    if (seteuid(getuid()) != 0 || setegid(getgid()) != 0)
        e = reason_errno(why, ERR_DENIED, "become the task's user again");
    return e;
}

static enum err fetch_file(const struct job *j, struct reason *why)
{
    char temporary[40];
    int fd = make_temporary(temporary);
    if (fd < 0)
        return reason_errno(why, ERR_IO, "make a file in the destination");
    bool insecure = json_is_true(json_object_get(j->spec, "insecure"));
    enum err e = j->source.kind == SOURCE_FILE
                     ? copy_own(j, fd, why)
                     : download(&j->source, json_object_get(j->spec, "headers"), insecure,
                                &j->limits, fd, why);
    if (e == OK && j->source.checksum != NULL)
        e = verify(fd, &j->source, why);
    if (e == OK)
        e = place(j, fd, temporary, why);
    close(fd);
    unlink(temporary);
    return e;
}

/* ---- repositories */

/* Into the place of what is called so already. */
static bool move_entry(const struct job *j, int from, const char *name)
{
    if (renameat(from, name, j->dir, name) == 0)
        return true;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR && errno != EISDIR)
        return false;
    remove_tree(name);
    return renameat(from, name, j->dir, name) == 0;
}

/* Each entry of a directory of the repository into the destination. */
static enum err move_entries(const struct job *j, const char *repository, struct reason *why)
{
    char path[4096];
    struct dirent *d;
    enum err e = OK;
    snprintf(path, sizeof path, "%s/%s", repository, j->source.subdir);
    int from = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = from < 0 ? NULL : fdopendir(from);
    if (dir == NULL)
        return reason_set(why, ERR_INVALID, "the repository has no directory \"%s\"",
                          j->source.subdir);
    while (e == OK && (d = readdir(dir)) != NULL)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
            !move_entry(j, from, d->d_name))
            e = reason_errno(why, ERR_IO, "put %s in its place", d->d_name);
    closedir(dir);
    return e;
}

static uint64_t counted_bytes;

static int count_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    counted_bytes += (uint64_t)st->st_blocks * 512;
    return 0;
}

/* In a new directory: what lies in the destination may be another's, and git does what a
 * repository's own settings say. */
static enum err fetch_repository(const struct job *j, struct reason *why)
{
    char name[40];
    if (j->mode == MODE_FILE)
        return reason_set(why, ERR_INVALID, "mode \"file\" cannot be of a repository");
    snprintf(name, sizeof name, TEMPORARY "git-%d", (int)getpid());
    if (mkdir(name, 0700) != 0 || chdir(name) != 0)
        return reason_errno(why, ERR_IO, "make a directory in the destination");
    bool own = json_object_get(j->spec, "reads_as") == NULL;
    enum err e = clone_repository(&j->source, own, why);
    if (fchdir(j->dir) != 0)
        return reason_errno(why, ERR_IO, "destination");
    if (e == OK && nftw(name, count_one, 16, FTW_PHYS) == 0 &&
        counted_bytes > j->limits.max_unpacked)
        e = reason_set(why, ERR_INVALID, "it is larger than this node allows");
    if (e == OK)
        e = move_entries(j, name, why);
    remove_tree(name);
    return e;
}

/* ---- the whole */

/* What a download may need to know of the machine; the rest is the agent's own. */
static void keep_environment(void)
{
    static const char *const names[] = {
        "PATH",      "LANG",      "http_proxy", "https_proxy", "HTTP_PROXY",   "HTTPS_PROXY",
        "all_proxy", "ALL_PROXY", "no_proxy",   "NO_PROXY",    "SSL_CERT_DIR", "SSL_CERT_FILE",
    };
    const char *values[COUNT_OF(names)];
    for (size_t i = 0; i < COUNT_OF(names); i++)
        values[i] = getenv(names[i]);
    clearenv();
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (values[i] != NULL)
            setenv(names[i], values[i], 1);
}

static enum err read_spec(struct job *j, struct reason *why)
{
    static const char *const modes[] = {"any", "file", "dir"};
    json_error_t error;
    j->spec = json_loadf(stdin, 0, &error);
    if (j->spec == NULL)
        return reason_set(why, ERR_INVALID, "what to do: %s", error.text);
    const json_t *l = json_object_get(j->spec, "limits");
    j->limits = (struct limits){(uint64_t)number_of(l, "bytes"), (uint64_t)number_of(l, "unpacked"),
                                (uint64_t)number_of(l, "files"), (long)number_of(l, "seconds")};
    const char *mode = text_of(j, "mode");
    size_t i = 0;
    while (i < COUNT_OF(modes) && *mode != '\0' && strcmp(mode, modes[i]) != 0)
        i++;
    if (i == COUNT_OF(modes))
        return reason_set(why, ERR_INVALID, "mode \"%.40s\" must be any, file or dir", mode);
    j->mode = (enum mode)i;
    enum err e = source_parse(j->arena, text_of(j, "source"), json_object_get(j->spec, "options"),
                              &j->source, why);
    if (e == OK && json_is_true(json_object_get(j->spec, "checksum_required")) &&
        !source_is_pinned(&j->source))
        e = reason_set(
            why, ERR_INVALID,
            j->source.kind == SOURCE_GIT
                ? "this node wants a commit by its whole id: options { ref = \"0123...\" }"
                : "this node wants a checksum: options { checksum = \"sha256:...\" }");
    return e;
}

static enum err run(struct job *j, struct reason *why)
{
    enum err e = read_spec(j, why);
    if (e == OK)
        e = become_user(j, why);
    if (e != OK)
        return e;
    /* After the change of user, which clears it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    umask(022);
    alarm((unsigned)j->limits.timeout_s);
    keep_environment();
    e = open_destination(j, why);
    if (e != OK)
        return e;
    clear_left_over();
    return j->source.kind == SOURCE_GIT ? fetch_repository(j, why) : fetch_file(j, why);
}

int main(void)
{
    struct job j = {.arena = arena_new(ARENA_CAP), .dir = -1};
    struct reason why = {""};
    signal(SIGPIPE, SIG_IGN);
    enum err e = run(&j, &why);
    if (e == OK)
        printf("ok\n");
    else
        printf("%s: %s\n", e == ERR_INVALID ? "invalid" : "failed", why.text);
    return e == OK ? 0 : 1;
}
