/* What a task's `logs` block says about syslog and journald, as its taskshim wants to have it.
 * Pure. */
#ifndef NODEAGENT_LOGRELAY_H
#define NODEAGENT_LOGRELAY_H

#include "base/arena.h"
#include "base/err.h"
#include "shim/shim.h"
#include "types.pb-c.h"

struct taskenv;

struct log_sockets {
    const char *syslog, *journald; /* paths */
};

struct log_relay {
    enum shim_relay kind;
    uint32_t facility;
    const char *socket, *head; /* NULL with SHIM_RELAY_NONE */
};

struct log_relay_ask {
    const Pb__Task *task;
    const Pb__TaskGroup *group;
    const Pb__Job *job;
    const Pb__Alloc *alloc;
    const struct taskenv *env;
    const struct log_sockets *sockets;
};

/* ERR_INVALID: it cannot be done as it is asked for. Texts are in a, or of ask. */
enum err log_relay_find(struct arena *a, const struct log_relay_ask *ask, struct log_relay *out,
                        struct reason *why);

#endif
