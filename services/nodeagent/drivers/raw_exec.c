/* raw_exec: the command as it is, with the agent's rights (or those of the task's user), in the
 * task's directory, with no isolation. Config: command, args. */
#include "driver.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const keys[] = {"command", "args", NULL};

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* A file that a task brought along may lack the x. */
static const char *own_program(const struct driver_ask *ask, const char *format,
                               const char *command)
{
    struct stat st;
    const char *path = arena_printf(ask->arena, format, ask->task_dir, command);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return NULL;
    if ((st.st_mode & 0111) != 0111 && chmod(path, (st.st_mode & 07777) | 0555) != 0)
        errno = 0; /* exec tells */
    return path;
}

/* In TASK/local, then in TASK, then on the host: as it stands, or along the task's PATH. */
static const char *find_program(const struct driver_ask *ask, const char *command)
{
    const char *found = own_program(ask, "%s/local/%s", command);
    if (found == NULL)
        found = own_program(ask, "%s/%s", command);
    if (found != NULL || strchr(command, '/') != NULL)
        return found != NULL ? found : command[0] == '/' && is_program(command) ? command : NULL;
    const char *path = taskenv_get(ask->env, "PATH");
    if (path == NULL)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    while (*path != '\0') {
        size_t len = strcspn(path, ":");
        found = arena_printf(ask->arena, "%.*s/%s", (int)len, path, command);
        if (path[0] == '/' && is_program(found))
            return found;
        path += len;
        path += *path == ':';
    }
    return NULL;
}

static enum err plan(const struct driver_ask *ask, struct driver_plan *out, struct reason *why)
{
    const char *command = NULL;
    char **args;
    size_t count;
    enum err e = config_text(ask, "command", &command, why);
    if (e == OK)
        e = config_list(ask, "args", &args, &count, why);
    if (e != OK)
        return e;
    if (command == NULL || *command == '\0')
        return reason_set(why, ERR_INVALID, "config key \"command\" is missing");
    out->program = find_program(ask, command);
    if (out->program == NULL)
        return reason_set(
            why, ERR_NOT_FOUND,
            "failed to launch command with executor: binary \"%s\" could not be found", command);
    out->argv = arena_array(ask->arena, char *, count + 2);
    out->argv[0] = arena_strdup(ask->arena, out->program);
    for (size_t i = 0; i < count; i++)
        out->argv[i + 1] = args[i];
    out->argc = count + 1;
    return OK;
}

extern const struct driver driver_raw_exec;
const struct driver driver_raw_exec = {.name = "raw_exec", .keys = keys, .plan = plan};
