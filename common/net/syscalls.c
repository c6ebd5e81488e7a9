/* Takes the place of libc's sendmsg, readv and shutdown in every program that uses the bus, for
 * three faults of nng 1.5.2. docs/decisions/0004-our-own-system-calls.md tells more.
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

#define MOST_FDS (1 << 20)

#define STEP_NS    100000
#define HOLD_STEPS 500
#define CALM_STEPS 20 /* for what TLS has read ahead, and nobody has looked at yet, to arrive */

static size_t total(const struct iovec *iovec, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += iovec[i].iov_len;
    return sum;
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
    if (total(message->msg_iov, message->msg_iovlen) > LARGE)
        enlarge_buffer(fd);
    ssize_t sent = syscall(SYS_sendmsg, fd, message, flags);
    if (sent < 0 && errno == EPIPE)
        errno = ECONNRESET;
    return sent;
}

/* ---- messages half read */

static atomic_int holders;   /* nothing is read from sockets */
static atomic_int closers;   /* nor given to nng of what TLS has read ahead */
static atomic_int half_read; /* how many, with what is being read */
static atomic_bool is_half_read[MOST_FDS];

static bool forget_half(int fd)
{
    bool was = fd >= 0 && fd < MOST_FDS && atomic_exchange(&is_half_read[fd], false);
    if (was)
        atomic_fetch_sub(&half_read, 1);
    return was;
}

/* What was read is a header, or, by TLS, what nobody has looked at yet; unless it was all the rest
 * of a message: nng reads a header, and then as much as that says. */
ssize_t readv(int fd, const struct iovec *iovec, int count)
{
    bool rest = forget_half(fd);
    size_t room = total(iovec, (size_t)count);
    ssize_t got = -1;
    atomic_fetch_add(&half_read, 1);
    if (atomic_load(&holders) > 0)
        errno = EAGAIN;
    else
        got = syscall(SYS_readv, fd, iovec, count);
    if (got <= 0 || (rest && (size_t)got == room) || fd >= MOST_FDS)
        atomic_fetch_sub(&half_read, 1);
    else
        atomic_store(&is_half_read[fd], true);
    return got;
}

int shutdown(int fd, int how)
{
    forget_half(fd); /* its rest will not be asked for */
    return (int)syscall(SYS_shutdown, fd, how);
}

bool syscalls_give(void)
{
    atomic_fetch_add(&half_read, 1);
    if (atomic_load(&closers) == 0)
        return true;
    atomic_fetch_sub(&half_read, 1);
    return false;
}

void syscalls_given(void)
{
    atomic_fetch_sub(&half_read, 1);
}

static void await_calm(int steps_wanted)
{
    const struct timespec nap = {.tv_nsec = STEP_NS};
    for (int i = 0, calm = 0; i < HOLD_STEPS && calm < steps_wanted; i++) {
        nanosleep(&nap, NULL);
        calm = atomic_load(&half_read) > 0 ? 0 : calm + 1;
    }
}

void syscalls_hold(void)
{
    atomic_fetch_add(&holders, 1);
    await_calm(CALM_STEPS);
    atomic_fetch_add(&closers, 1);
    await_calm(1);
}

void syscalls_go_on(void)
{
    atomic_fetch_sub(&closers, 1);
    atomic_fetch_sub(&holders, 1);
}
