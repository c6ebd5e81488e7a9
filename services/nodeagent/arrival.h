/* The disk of an allocation on another node, on its way here: asked for at our gateway, which asks
 * the agent there, and unpacked as it comes by the program taskmove. A piece is held at a time. */
#ifndef NODEAGENT_ARRIVAL_H
#define NODEAGENT_ARRIVAL_H

#include "base/err.h"
#include "loop/loop.h"
#include "net/net.h"

struct arrival;

struct arrival_options {
    const uint8_t *from; /* the allocation; copied */
    const char *taskmove, *dir;
    uint64_t max_bytes;
    struct client *(*client)(void *owner);
    void *client_owner;
    /* It is in dir; else text says why not. ERR_CORRUPT: it did not come whole, another try may
     * help. Free it, now or later. */
    void (*over)(void *owner, enum err result, const char *text);
    void *owner;
};

/* dir is made anew. The allocation may still have to end, and its agent to be found. */
enum err arrival_new(struct arrival **out, struct loop *l, const struct arrival_options *o,
                     struct reason *why);
/* NULL: nothing. What has come so far stays in dir. */
void arrival_free(struct arrival *a);

#endif
