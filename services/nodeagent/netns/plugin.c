#include "plugin.h"
#include "cni_config.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLUGIN_PATH_SIZE 4096

enum err plugin_find(const char *path, const char *plugin, char *out, size_t size,
                     struct reason *why)
{
    for (const char *at = path; *at != '\0';) {
        size_t len = strcspn(at, ":,");
        int n = snprintf(out, size, "%.*s/%s", (int)len, at, plugin);
        if (len > 0 && n < (int)size && access(out, X_OK) == 0)
            return OK;
        at += len + (at[len] != '\0');
    }
    return reason_set(why, ERR_NOT_FOUND, "plugin %s is in none of %s", plugin, path);
}

static int input_of(const char *text)
{
    int fd = memfd_create("cni", MFD_CLOEXEC);
    size_t len = strlen(text);
    if (fd >= 0 && (write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void set_variables(const struct plugin_call *c)
{
    char path[PLUGIN_PATH_SIZE];
    snprintf(path, sizeof path, "%s", c->path);
    for (char *p = path; *p != '\0'; p++)
        if (*p == ',')
            *p = ':';
    setenv("CNI_COMMAND", c->command, 1);
    setenv("CNI_CONTAINERID", c->id, 1);
    setenv("CNI_NETNS", c->netns, 1);
    setenv("CNI_IFNAME", "eth0", 1);
    setenv("CNI_ARGS", c->args, 1);
    setenv("CNI_PATH", path, 1);
}

static enum err start(const char *program, int input, int output, pid_t *pid, struct reason *why)
{
    char *const argv[] = {(char *)(uintptr_t)program, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    int error = posix_spawn(pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    errno = error;
    return error == 0 ? OK : reason_errno(why, ERR_UNAVAILABLE, "start %s", program);
}

/* More than a result has is read and thrown away, so that the plugin ends. */
static void read_all(int fd, struct strbuf *out)
{
    char part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0 && out->len < CNI_TEXT_MOST)
            strbuf_add(out, part, (size_t)n);
}

enum err plugin_run(const struct plugin_call *c, struct strbuf *out, struct reason *why)
{
    char program[PLUGIN_PATH_SIZE];
    int ends[2] = {-1, -1}, status = 0;
    pid_t pid = -1;
    enum err e = plugin_find(c->path, c->plugin, program, sizeof program, why);
    if (e != OK)
        return e;
    int input = input_of(c->input);
    if (input < 0 || pipe2(ends, O_CLOEXEC) != 0)
        e = reason_errno(why, ERR_IO, "hand over to %s", program);
    set_variables(c);
    if (e == OK)
        e = start(program, input, ends[1], &pid, why);
    if (ends[1] >= 0)
        close(ends[1]);
    if (e == OK) {
        read_all(ends[0], out);
        waitpid(pid, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            e = ERR_UNAVAILABLE;
            cni_failure(c->plugin, c->command, strbuf_text(out), out->len, why);
        }
    }
    if (ends[0] >= 0)
        close(ends[0]);
    if (input >= 0)
        close(input);
    return e;
}
