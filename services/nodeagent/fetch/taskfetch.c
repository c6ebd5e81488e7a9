/* taskfetch: brings one artifact into a task's directory.
 *
 * Hears     on standard input, as JSON: {"source", "options", "headers", "mode", "insecure",
 *           "root" (the allocation's directory), "task", "place" (below root), "uid", "gid",
 *           "groups", "reads_as": {"uid", "gid"} (who reads the node's own files, unless it is
 *           the user),
 *           "limits": {"bytes", "unpacked", "files", "seconds"}, "checksum_required"}
 * Says      on standard output one line: "ok", "invalid: why" (trying again is in vain), or
 *           "failed: why"
 * Becomes   the task's user first of all: it can read and write what the task could itself
 * Works     in a directory of its own in the task's: a task with a root of its own does not see it,
 *           so none can change what git or an archive is doing. What came is then moved
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
#define WORK       ".norn-fetch-" /* and our process */
#define FETCHED    "fetched"
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
    int task, work;   /* the task's directory, and ours in it: the current one */
    char work_name[40];
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
    return OK;
}

/* ---- the directory to work in */

/* Of one that was killed. */
static bool is_left_over(const char *name)
{
    if (strncmp(name, WORK, strlen(WORK)) != 0)
        return false;
    long n = strtol(name + strlen(WORK), NULL, 10);
    return n > 0 && kill((pid_t)n, 0) != 0 && errno == ESRCH;
}

static void clear_left_over(int task)
{
    const struct dirent *d;
    int fd = openat(task, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    while (dir != NULL && (d = readdir(dir)) != NULL)
        if (is_left_over(d->d_name))
            drop_tree(task, d->d_name);
    if (dir != NULL)
        closedir(dir);
}

static enum err begin_work(struct job *j, struct reason *why)
{
    int root = open(text_of(j, "root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    j->task = root < 0 ? -1
                       : openat(root, text_of(j, "task"),
                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root >= 0)
        close(root);
    if (j->task < 0)
        return reason_errno(why, ERR_IO, "enter the task's directory");
    clear_left_over(j->task);
    snprintf(j->work_name, sizeof j->work_name, WORK "%d", (int)getpid());
    drop_tree(j->task, j->work_name);
    if (mkdirat(j->task, j->work_name, 0700) == 0)
        j->work = openat(j->task, j->work_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (j->work < 0 || fchdir(j->work) != 0)
        return reason_errno(why, ERR_IO, "make a directory to work in");
    return OK;
}

/* A directory of that name in ours is made, and becomes the current one. */
static int enter_new(const char *name, mode_t mode)
{
    int fd = mkdir(name, mode) == 0 ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0 && fchdir(fd) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* ---- files */

static int make_file(const char *name)
{
    return open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
}

static enum err put_file(const struct job *j, const char *made, const char *name,
                         struct reason *why)
{
    if (renameat(j->work, made, j->dir, name) != 0)
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
    int out = make_file("single");
    if (out < 0)
        return reason_errno(why, ERR_IO, "make a file");
    enum err e = unpack_single(fd, out, &j->limits, why);
    close(out);
    return e == OK ? put_file(j, "single", single_name(j), why) : e;
}

static enum err place_tree(const struct job *j, int fd, struct reason *why)
{
    int tree = enter_new("tree", 0755);
    if (tree < 0)
        return reason_errno(why, ERR_IO, "make a directory to unpack in");
    enum err e = unpack(fd, &j->source, &j->limits, why);
    if (e == OK)
        e = merge(tree, j->dir, false, why);
    close(tree);
    return e;
}

static enum err place(const struct job *j, int fd, struct reason *why)
{
    if (j->source.archive == ARCHIVE_TREE && j->mode != MODE_FILE)
        return place_tree(j, fd, why);
    if (j->source.archive == ARCHIVE_SINGLE)
        return place_single(j, fd, why);
    if (j->mode == MODE_DIR)
        return reason_set(why, ERR_INVALID, "mode \"dir\" wants an archive or a repository");
    return put_file(j, FETCHED, j->name != NULL ? j->name : j->source.file_name, why);
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
    int fd = make_file(FETCHED);
    if (fd < 0)
        return reason_errno(why, ERR_IO, "make a file");
    bool insecure = json_is_true(json_object_get(j->spec, "insecure"));
    enum err e = j->source.kind == SOURCE_FILE
                     ? copy_own(j, fd, why)
                     : download(&j->source, json_object_get(j->spec, "headers"), insecure,
                                &j->limits, fd, why);
    if (e == OK && j->source.checksum != NULL)
        e = verify(fd, &j->source, why);
    if (e == OK)
        e = place(j, fd, why);
    close(fd);
    return e;
}

/* ---- repositories */

/* Each entry of a directory of the repository into the destination. */
static enum err move_entries(const struct job *j, int repository, struct reason *why)
{
    const char *subdir = *j->source.subdir == '\0' ? "." : j->source.subdir;
    int from = openat(repository, subdir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return reason_set(why, ERR_INVALID, "the repository has no directory \"%s\"",
                          j->source.subdir);
    enum err e = merge(from, j->dir, true, why);
    close(from);
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
    if (j->mode == MODE_FILE)
        return reason_set(why, ERR_INVALID, "mode \"file\" cannot be of a repository");
    int fd = enter_new("git", 0700);
    if (fd < 0)
        return reason_errno(why, ERR_IO, "make a directory for the repository");
    bool own = json_object_get(j->spec, "reads_as") == NULL;
    enum err e = clone_repository(&j->source, own, why);
    if (e == OK && nftw(".", count_one, 16, FTW_PHYS) == 0 &&
        counted_bytes > j->limits.max_unpacked)
        e = reason_set(why, ERR_INVALID, "it is larger than this node allows");
    if (e == OK)
        e = move_entries(j, fd, why);
    close(fd);
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
    if (e == OK)
        e = begin_work(j, why);
    if (e == OK)
        e = j->source.kind == SOURCE_GIT ? fetch_repository(j, why) : fetch_file(j, why);
    if (j->work >= 0)
        drop_tree(j->task, j->work_name);
    return e;
}

int main(void)
{
    struct job j = {.arena = arena_new(ARENA_CAP), .dir = -1, .task = -1, .work = -1};
    struct reason why = {""};
    signal(SIGPIPE, SIG_IGN);
    enum err e = run(&j, &why);
    if (e == OK)
        printf("ok\n");
    else
        printf("%s: %s\n", e == ERR_INVALID ? "invalid" : "failed", why.text);
    json_decref(j.spec);
    arena_free(j.arena);
    return e == OK ? 0 : 1;
}
