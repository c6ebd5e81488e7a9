/* Takes the place of libc's sendmsg in every program that uses the bus.
 *
 * nng 1.5.2 gives up a listener for ever when a peer hangs up during the handshake: it takes EPIPE
 * for "the listener was closed" (nng issue 1518). ECONNRESET means the same to everybody else and
 * is handled well. docs/decisions tells more. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t sent = syscall(SYS_sendmsg, fd, message, flags);
    if (sent < 0 && errno == EPIPE)
        errno = ECONNRESET;
    return sent;
}
