/* Takes the place of libc's sendmsg in every program that uses the bus, for two faults of
 * nng 1.5.2. docs/decisions/0004-our-own-sendmsg.md tells more.
 *
 * It gives up a listener for ever when a peer hangs up during the handshake: it takes EPIPE for
 * "the listener was closed" (nng issue 1518). ECONNRESET means the same to everybody else and is
 * handled well.
 *
 * It may forget a message that it had written in part when the connection ended, and then waits for
 * it in the one thread that ends connections: no connection of the process ends or comes back any
 * more. So a large message gets a socket buffer into which it goes whole. Where the system does not
 * allow one as large, net_watch notices. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LARGE        (96u << 10) /* smaller ones fit into any socket's buffer */
#define LARGE_BUFFER (8 << 20)

static size_t length(const struct msghdr *message)
{
    size_t total = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        total += message->msg_iov[i].iov_len;
    return total;
}

static void enlarge_buffer(int fd)
{
    int domain = 0, size = LARGE_BUFFER;
    socklen_t len = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 || domain != AF_UNIX)
        return; /* TCP sizes its own, and better */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (length(message) > LARGE)
        enlarge_buffer(fd);
    ssize_t sent = syscall(SYS_sendmsg, fd, message, flags);
    if (sent < 0 && errno == EPIPE)
        errno = ECONNRESET;
    return sent;
}
