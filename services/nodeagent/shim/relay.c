#include "relay.h"
#include <errno.h>
#include <poll.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { WARNING = 4, PAGE = 4096 };
static const unsigned severities[] = {6, 3}; /* of stdout: info, of stderr: err */

struct partial {
    size_t len;
    char text[RELAY_LINE];
};

struct relay {
    uint32_t kind, facility;
    int fd; /* -1: away */
    int32_t pid;
    int64_t retry_at;
    uint32_t lost, untold;
    size_t first, end; /* of what is kept */
    struct sockaddr_un address;
    char head[4096]; /* the tag, or the fields that each entry of the journal has */
    struct partial partial[2];
    alignas(PAGE) char kept[RELAY_KEPT]; /* struct note, text, and so on */
};

struct note {
    uint32_t len, severity;
};

struct relay *relay_new(const struct spec_view *v)
{
    if (v->head->relay == SHIM_RELAY_NONE)
        return NULL;
    struct relay *r =
        mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED)
        return NULL;
    r->kind = v->head->relay;
    r->facility = v->head->relay_facility;
    r->fd = -1;
    r->address.sun_family = AF_UNIX;
    snprintf(r->address.sun_path, sizeof r->address.sun_path, "%s", v->relay_socket);
    snprintf(r->head, sizeof r->head, "%s", v->relay_head);
    return r;
}

void relay_begin(struct relay *r, int32_t pid)
{
    if (r != NULL)
        r->pid = pid;
}

static void leave(struct relay *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

static bool reach(struct relay *r, int64_t now_ms)
{
    if (r->fd >= 0)
        return true;
    if (now_ms < r->retry_at)
        return false;
    r->retry_at = now_ms + RELAY_RETRY_MS;
    r->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->fd >= 0 && connect(r->fd, (struct sockaddr *)&r->address, sizeof r->address) != 0)
        leave(r);
    return r->fd >= 0;
}

static void add_part(struct iovec *parts, size_t *count, const char *text, size_t len)
{
    parts[(*count)++] = (struct iovec){(void *)(uintptr_t)text, len};
}

/* RFC 3164 as syslog(3) writes it, but for the time: who receives it notes that himself. */
static size_t syslog_parts(const struct relay *r, unsigned severity, char room[2][64],
                           struct iovec *parts)
{
    size_t n = 0;
    int before = snprintf(room[0], 64, "<%u>", r->facility * 8 + severity);
    int after = snprintf(room[1], 64, "[%d]: ", r->pid);
    add_part(parts, &n, room[0], (size_t)before);
    add_part(parts, &n, r->head, strlen(r->head));
    add_part(parts, &n, room[1], (size_t)after);
    return n;
}

static size_t journal_parts(const struct relay *r, unsigned severity, char room[2][64],
                            struct iovec *parts)
{
    size_t n = 0;
    int len =
        snprintf(room[0], 64, "PRIORITY=%u\nSYSLOG_FACILITY=%u\nMESSAGE=", severity, r->facility);
    add_part(parts, &n, r->head, strlen(r->head));
    add_part(parts, &n, room[0], (size_t)len);
    return n;
}

/* False: not now. What the socket will never take is lost. */
static bool send_line(struct relay *r, unsigned severity, const char *text, size_t len,
                      int64_t now_ms)
{
    char room[2][64];
    struct iovec parts[5];
    size_t n =
        (r->kind == SHIM_RELAY_SYSLOG ? syslog_parts : journal_parts)(r, severity, room, parts);
    add_part(parts, &n, text, len);
    if (r->kind == SHIM_RELAY_JOURNALD)
        add_part(parts, &n, "\n", 1);
    const struct msghdr m = {.msg_iov = parts, .msg_iovlen = n};
    /* Twice: who listened may have been replaced. */
    for (int i = 0; i < 2 && reach(r, now_ms); i++) {
        if (sendmsg(r->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return true;
        if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EINTR)
            return false;
        if (errno == EMSGSIZE) {
            r->lost++;
            r->untold++;
            return true;
        }
        leave(r);
    }
    return false;
}

static void keep(struct relay *r, unsigned severity, const char *text, size_t len)
{
    const struct note note = {(uint32_t)len, severity};
    size_t need = sizeof note + len;
    if (r->end + need > sizeof r->kept && r->first > 0) {
        memmove(r->kept, r->kept + r->first, r->end - r->first);
        r->end -= r->first;
        r->first = 0;
    }
    /* Once something is lost all is, until that can be told: else lines would seem to follow one
     * another that do not. */
    if (r->untold > 0 || r->end + need > sizeof r->kept) {
        r->lost += r->lost < UINT32_MAX;
        r->untold += r->untold < UINT32_MAX;
        return;
    }
    memcpy(r->kept + r->end, &note, sizeof note);
    memcpy(r->kept + r->end + sizeof note, text, len);
    r->end += need;
}

static bool tell_lost(struct relay *r, int64_t now_ms)
{
    char text[64];
    if (r->untold == 0)
        return true;
    int len = snprintf(text, sizeof text, "%u lines were lost here", r->untold);
    if (!send_line(r, WARNING, text, (size_t)len, now_ms))
        return false;
    r->untold = 0;
    return true;
}

static bool send_kept(struct relay *r, int64_t now_ms)
{
    struct note note;
    while (r->first < r->end) {
        memcpy(&note, r->kept + r->first, sizeof note);
        if (!send_line(r, note.severity, r->kept + r->first + sizeof note, note.len, now_ms))
            return false;
        r->first += sizeof note + note.len;
    }
    if (r->end > PAGE)
        madvise(r->kept, sizeof r->kept, MADV_DONTNEED);
    r->first = r->end = 0;
    return tell_lost(r, now_ms);
}

void relay_flush(struct relay *r, int64_t now_ms)
{
    if (r != NULL)
        send_kept(r, now_ms);
}

static void pass(struct relay *r, int stream, const char *text, size_t len, int64_t now_ms)
{
    if (len > 0 && !(send_kept(r, now_ms) && send_line(r, severities[stream], text, len, now_ms)))
        keep(r, severities[stream], text, len);
}

static void pass_partial(struct relay *r, int stream, int64_t now_ms)
{
    struct partial *p = &r->partial[stream];
    pass(r, stream, p->text, p->len, now_ms);
    p->len = 0;
}

void relay_write(struct relay *r, int stream, const char *data, size_t len, int64_t now_ms)
{
    while (r != NULL && len > 0) {
        struct partial *p = &r->partial[stream];
        const char *newline = memchr(data, '\n', len);
        size_t piece = newline == NULL ? len : (size_t)(newline - data);
        size_t room = RELAY_LINE - p->len, taken = piece < room ? piece : room;
        if (newline != NULL && p->len == 0 && piece <= RELAY_LINE) {
            pass(r, stream, data, piece, now_ms);
        } else {
            memcpy(p->text + p->len, data, taken);
            p->len += taken;
            if (newline != NULL || taken < piece)
                pass_partial(r, stream, now_ms);
        }
        taken += newline != NULL && taken == piece;
        data += taken;
        len -= taken;
    }
}

int relay_waits(const struct relay *r, int64_t *at_ms)
{
    if (r == NULL || (r->first == r->end && r->untold == 0))
        return -1;
    if (r->fd < 0 && r->retry_at < *at_ms)
        *at_ms = r->retry_at;
    return r->fd;
}

void relay_end(struct relay *r, int64_t now_ms)
{
    if (r == NULL)
        return;
    for (int stream = 0; stream < 2; stream++)
        pass_partial(r, stream, now_ms);
    for (int left = RELAY_END_MS; left > 0 && !send_kept(r, now_ms) && r->fd >= 0; left -= 10)
        poll(&(struct pollfd){r->fd, POLLOUT, 0}, 1, 10);
    for (struct note note; r->first < r->end; r->first += sizeof note + note.len) {
        memcpy(&note, r->kept + r->first, sizeof note);
        r->lost++;
    }
    leave(r);
}

uint32_t relay_lost(const struct relay *r)
{
    return r == NULL ? 0 : r->lost;
}
