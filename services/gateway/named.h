/* Small objects that are found by name: namespaces and node pools. Some are always there, and have
 * no record until somebody changes them; they are filled in here. */
#ifndef GATEWAY_NAMED_H
#define GATEWAY_NAMED_H

#include "command.pb-c.h"
#include "query.h"

struct named {
    Pb__Table__Name table;
    const char *missing;                      /* what a 404 says */
    const char *(*name)(const Pb__Object *o); /* NULL: it is none of these */
    uint64_t (*modify_index)(const Pb__Object *o);
    json_t *(*json)(const Pb__Object *o);
    /* Those that are always there, in order of their names; NULL: there is no i-th. */
    const Pb__Object *(*builtin)(struct arena *a, size_t i);
};

/* All whose names begin with ?prefix, and one by the name in the path; both may wait. kind lives as
 * long as the program. */
void named_list(struct call_context *c, const struct named *kind);
void named_get(struct call_context *c, const struct named *kind);
/* Puts it into the log; the answer has no body. Refusals of code NOT_FOUND are answered 404, and
 * what still holds jobs or nodes (code STALE) in Nomad's words. */
void named_write(struct call_context *c, const Pb__Command *command);

#endif
