/* No browser calls a simulated gateway: its clients call gateway_apply. These stand before those
 * of gateway/http.c, by the linker's --wrap. */
#include "base/err.h"
#include "gateway/http.h"

enum err __wrap_http_open(struct http **out, struct loop *l, const struct http_options *o,
                          struct reason *why);
void __wrap_http_close(struct http *h);
uint16_t __wrap_http_port(const struct http *h);
void __wrap_http_stats(const struct http *h, struct http_stats *out);

enum err __wrap_http_open(struct http **out, struct loop *l, const struct http_options *o,
                          struct reason *why)
{
    *out = NULL;
    return OK;
}

void __wrap_http_close(struct http *h) {}

uint16_t __wrap_http_port(const struct http *h)
{
    return 0;
}

void __wrap_http_stats(const struct http *h, struct http_stats *out)
{
    *out = (struct http_stats){0};
}

/* ---- loop.h's watches: there are no descriptors */

struct watch *watch_open(struct loop *l, int fd, int events, void (*ready)(void *owner, int events),
                         void *owner)
{
    must(!"nothing in the simulator watches a descriptor");
    return NULL;
}

void watch_set(struct watch *w, int events) {}

void watch_close(struct watch *w) {}
