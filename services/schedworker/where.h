/* Where the leader is that a worker works for: asked of the gateway of its own server, or, by a
 * worker alone on a machine, of one server after another. */
#ifndef SCHEDWORKER_WHERE_H
#define SCHEDWORKER_WHERE_H

#include "base/err.h"
#include "loop/loop.h"

struct where;

struct where_options {
    const char *gateway; /* of our own server; used while servers is "" */
    const char
        *servers; /* doors of servers, comma separated. What they tell of others is kept too */
    void *self;
    /* The leader has moved: its door, "tcp://10.0.0.1:4647"; "": it is our own server. */
    void (*moved)(void *self, const char *door);
};

enum err where_open(struct where **out, struct loop *l, const struct where_options *o,
                    struct reason *why);
void where_close(struct where *w);

#endif
