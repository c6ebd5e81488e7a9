#include "network.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

const char *network_enter(const struct spec_view *v)
{
    if (v->netns[0] == '\0')
        return NULL;
    int fd = open(v->netns, O_RDONLY | O_CLOEXEC);
    int error = fd >= 0 && setns(fd, CLONE_NEWNET) == 0 ? 0 : errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return error == 0 ? NULL : "enter the allocation's network";
}

const char *network_take(const struct spec_view *v)
{
    if (v->hostname[0] != '\0' &&
        (unshare(CLONE_NEWUTS) != 0 || sethostname(v->hostname, strlen(v->hostname)) != 0))
        return "set the host name";
    if (v->resolv_conf[0] == '\0' || v->head->isolate)
        return NULL;
    /* What the host mounts later is still seen; what we mount is not seen there. */
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0 ||
        mount(v->resolv_conf, "/etc/resolv.conf", NULL, MS_BIND, NULL) != 0)
        return "give it an /etc/resolv.conf of its own";
    return NULL;
}
