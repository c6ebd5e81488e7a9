/* Takes the place of libc's sendmsg, readv and shutdown in every program that uses the bus, for
 * three faults of nng 1.5.2. docs/decisions/0004-our-own-sendmsg.md tells more.
 *
 * It gives up a listener for ever when a peer hangs up during the handshake: it takes EPIPE for
 * "the listener was closed" (nng issue 1518). ECONNRESET means the same to everybody else and is
 * handled well.
 *
 * It may forget a message that it had written in part when the connection ended, and then waits for
 * it in the one thread that ends connections: no connection of the process ends or comes back any
 * more. So a large message gets a socket buffer into which it goes whole. Where the system does not
 * allow one as large, net_watch notices.
 *
 * It forgets a message likewise whose header it has read, but not yet the rest, when the connection
 * is closed (nng issue 616). So who closes waits for a moment at which there is none. */
#include "net/syscalls.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LARGE        (96u << 10) /* smaller ones fit into any socket's buffer */
#define LARGE_BUFFER (8 << 20)

#define IPC_HEADER 9
#define TCP_HEADER 8
#define MOST_FDS   (1 << 20)
#define HOLD_MS    50

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

/* ---- messages half read */

static atomic_int holders;
static atomic_int half_read; /* how many, with headers that are being read */
static atomic_bool is_half_read[MOST_FDS];

static bool forget_half(int fd)
{
    bool was = fd >= 0 && fd < MOST_FDS && atomic_exchange(&is_half_read[fd], false);
    if (was)
        atomic_fetch_sub(&half_read, 1);
    return was;
}

/* A header read in part, which would be a wonder, is taken for the rest of a message. */
static ssize_t read_header(int fd, const struct iovec *iov, int count)
{
    ssize_t got = -1;
    atomic_fetch_add(&half_read, 1);
    if (atomic_load(&holders) > 0)
        errno = EAGAIN;
    else
        got = syscall(SYS_readv, fd, iov, count);
    if (got == (ssize_t)iov->iov_len)
        atomic_store(&is_half_read[fd], true);
    else
        atomic_fetch_sub(&half_read, 1);
    return got;
}

ssize_t readv(int fd, const struct iovec *iovec, int count)
{
    bool begins = !forget_half(fd) && fd >= 0 && fd < MOST_FDS && count == 1 &&
                  (iovec->iov_len == IPC_HEADER || iovec->iov_len == TCP_HEADER);
    return begins ? read_header(fd, iovec, count) : syscall(SYS_readv, fd, iovec, count);
}

int shutdown(int fd, int how)
{
    forget_half(fd); /* its rest will not be asked for */
    return (int)syscall(SYS_shutdown, fd, how);
}

void syscalls_hold(void)
{
    const struct timespec nap = {.tv_nsec = 100000};
    atomic_fetch_add(&holders, 1);
    for (int i = 0; i < HOLD_MS * 10 && atomic_load(&half_read) > 0; i++)
        nanosleep(&nap, NULL);
}

void syscalls_go_on(void)
{
    atomic_fetch_sub(&holders, 1);
}
