/* What happened to a task, as its users read it: Nomad's event types, sentences and details. Pure.
 */
#ifndef NODEAGENT_TASK_EVENT_H
#define NODEAGENT_TASK_EVENT_H

#include "base/arena.h"
#include "types.pb-c.h"
#include <stdbool.h>
#include <stdint.h>

enum task_event_type {
    TASK_EVENT_NONE,
    TASK_EVENT_RECEIVED,
    TASK_EVENT_SETUP,
    TASK_EVENT_SETUP_FAILURE,
    TASK_EVENT_VALIDATION,
    TASK_EVENT_DRIVER_FAILURE,
    TASK_EVENT_STARTED,
    TASK_EVENT_TERMINATED,
    TASK_EVENT_RESTARTING,
    TASK_EVENT_NOT_RESTARTING,
    TASK_EVENT_WAITING_SHUTDOWN,
    TASK_EVENT_KILLING,
    TASK_EVENT_KILLED,
    TASK_EVENT_LEADER_DEAD,
    TASK_EVENT_MAIN_DEAD,
    TASK_EVENT_SIBLING_FAILED,
    TASK_EVENT_RESTART_SIGNALED,
    TASK_EVENT_SIGNALING,
    TASK_EVENT_DISK_NOT_MOVED,
    TASK_EVENT_DISK_EXCEEDED,
    TASK_EVENT_FETCHING,
    TASK_EVENT_FETCH_FAILURE,
    TASK_EVENT_OVERDUE,
    TASK_EVENT_UNHEARD,
    TASK_EVENT_DRIVER,
    TASK_EVENT_TYPES,
};

#define TASK_EVENT_TEXT 240

/* amount_ns is the delay of RESTARTING and WAITING_SHUTDOWN and the timeout of KILLING; text is the
 * reason, the error, the sibling's or the signal's name or the message. */
struct task_event {
    enum task_event_type type;
    int64_t time_ns;
    int64_t amount_ns;
    int32_t exit_code, signal;
    bool fails_task, oom_killed;
    char *text; /* owned by whoever holds the event; may be NULL */
};

const char *task_event_type_name(enum task_event_type type);
/* Everything in a; the strings too. */
Pb__TaskEvent *task_event_pack(struct arena *a, const struct task_event *e);
/* The other way, for the local state: text is allocated. */
struct task_event task_event_unpack(const Pb__TaskEvent *pb);

#endif
