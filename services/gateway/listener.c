#include "listener.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* NULL: *why says what is wrong. freeaddrinfo is the caller's. */
static struct addrinfo *resolve(const char *address, struct reason *why)
{
    char text[128] = "", *host = text;
    const char *colon = strrchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= sizeof(text)) {
        reason_set(why, ERR_INVALID, "http address \"%s\": want host:port", address);
        return NULL;
    }
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (colon[1] == '\0' || *end != '\0' || port > UINT16_MAX) { /* getaddrinfo would cut it */
        reason_set(why, ERR_INVALID, "http address \"%s\": the port is a number up to 65535",
                   address);
        return NULL;
    }
    size_t len = (size_t)(colon - address);
    memcpy(text, address, len);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text[len - 1] = '\0';
        host++;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int failed = getaddrinfo(host[0] == '\0' ? NULL : host, colon + 1, &hints, &found);
    if (failed != 0) {
        reason_set(why, ERR_INVALID, "http address \"%s\": %s", address, gai_strerror(failed));
        return NULL;
    }
    return found;
}

int listener_open(const char *address, uint16_t *port, struct reason *why)
{
    union address bound = {.v6 = {0}};
    socklen_t len = sizeof(bound);
    int yes = 1;
    struct addrinfo *to = resolve(address, why);
    if (to == NULL)
        return -1;
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
              bind(fd, to->ai_addr, to->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0 &&
              getsockname(fd, &bound.any, &len) == 0;
    int error = errno;
    freeaddrinfo(to);
    if (ok) {
        *port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
        return fd;
    }
    errno = error;
    reason_errno(why, ERR_IO, "cannot listen on http address %s", address);
    if (fd >= 0)
        close(fd);
    return -1;
}
