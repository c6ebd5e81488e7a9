/* Which handler answers what. */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include "gateway.h"
#include "params.h"

/* One request that has found its handler. It lives in the exchange's arena. */
struct call_context {
    struct gateway *gateway;
    struct exchange *x;
    struct params params;
    const char *id; /* what stands between the route's path and its suffix; "" */
    void *state;    /* the handler's own */
};
typedef void route_fn(struct call_context *c);

enum route_flag {
    ROUTE_REGION = 1, /* refuses another region, checks index and wait */
    ROUTE_ORIGIN = 2, /* the only ones that other origins may use */
    ROUTE_PREFIX = 4, /* the path goes on with an id */
};

struct route {
    const char *path;
    const char *suffix; /* behind the id; NULL: none */
    unsigned methods;
    unsigned flags;
    route_fn *handle;
};

/* NULL: nothing at that path. *allowed: methods of all routes there. With a method that none of
 * them takes the answer is NULL and *allowed not 0. *id (in a, when the route has one) is cut out.
 */
const struct route *route_find(const char *path, enum http_method method, unsigned *allowed,
                               unsigned *flags, struct arena *a, const char **id);

/* A boolean parameter; *out stays as it is when not given. False: malformed, and answered. */
bool route_bool(struct call_context *c, const char *name, bool *out);
/* `cas`: only if what is written is still at that index. False: answered 400. */
struct cas {
    bool given;
    uint64_t index;
};
bool route_cas(struct call_context *c, struct cas *out);

void routes_handle(void *gateway, struct exchange *x);

#endif
