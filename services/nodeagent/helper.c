#include "helper.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

static void put(posix_spawn_file_actions_t *actions, int fd, int as)
{
    if (fd >= 0)
        posix_spawn_file_actions_adddup2(actions, fd, as);
    else
        posix_spawn_file_actions_addopen(actions, as, "/dev/null", O_RDWR, 0);
}

enum err helper_spawn(pid_t *pid, char *const argv[], int input, int output, struct reason *why)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    put(&actions, input, STDIN_FILENO);
    put(&actions, output, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none); /* a worker blocks them all */
    int error = posix_spawn(pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    errno = error;
    return error == 0 ? OK : reason_errno(why, ERR_UNAVAILABLE, "start %s", argv[0]);
}
