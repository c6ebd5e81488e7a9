#include "task_event.h"
#include "base/duration.h"
#include "base/err.h"
#include <stdlib.h>
#include <string.h>

static const char *const type_names[TASK_EVENT_TYPES] = {
    [TASK_EVENT_NONE] = "",
    [TASK_EVENT_RECEIVED] = "Received",
    [TASK_EVENT_SETUP] = "Task Setup",
    [TASK_EVENT_SETUP_FAILURE] = "Setup Failure",
    [TASK_EVENT_VALIDATION] = "Failed Validation",
    [TASK_EVENT_DRIVER_FAILURE] = "Driver Failure",
    [TASK_EVENT_STARTED] = "Started",
    [TASK_EVENT_TERMINATED] = "Terminated",
    [TASK_EVENT_RESTARTING] = "Restarting",
    [TASK_EVENT_NOT_RESTARTING] = "Not Restarting",
    [TASK_EVENT_WAITING_SHUTDOWN] = "Waiting for shutdown delay",
    [TASK_EVENT_KILLING] = "Killing",
    [TASK_EVENT_KILLED] = "Killed",
    [TASK_EVENT_LEADER_DEAD] = "Leader Task Dead",
    [TASK_EVENT_MAIN_DEAD] = "Main Tasks Dead",
    [TASK_EVENT_SIBLING_FAILED] = "Sibling Task Failed",
    [TASK_EVENT_RESTART_SIGNALED] = "Restart Signaled",
    [TASK_EVENT_SIGNALING] = "Signaling",
    [TASK_EVENT_DISK_NOT_MOVED] = "Disk Not Moved",
    [TASK_EVENT_DISK_EXCEEDED] = "Disk Resources Exceeded",
    [TASK_EVENT_FETCHING] = "Downloading Artifacts",
    [TASK_EVENT_FETCH_FAILURE] = "Failed Artifact Download",
    [TASK_EVENT_OVERDUE] = "Max Run Duration Exceeded",
    [TASK_EVENT_UNHEARD] = "Servers Unheard",
    [TASK_EVENT_DRIVER] = "Driver",
};

const char *task_event_type_name(enum task_event_type type)
{
    return type_names[type];
}

static char *text_of(struct arena *a, const struct task_event *e)
{
    return arena_strdup(a, e->text == NULL ? "" : e->text);
}

/* The details in the order of their keys; values are taken as they are. */
static void add_detail(struct arena *a, Pb__TaskEvent *pb, const char *key, char *value)
{
    Pb__KeyValue *kv = arena_alloc(a, sizeof *kv);
    pb__key_value__init(kv);
    kv->key = arena_strdup(a, key);
    kv->value = value;
    if (pb->details == NULL)
        pb->details = arena_array(a, Pb__KeyValue *, 4);
    must(pb->n_details < 4);
    pb->details[pb->n_details++] = kv;
}

static void pack_terminated(struct arena *a, Pb__TaskEvent *pb, const struct task_event *e)
{
    char *text = arena_printf(a, "Exit Code: %d", e->exit_code);
    pb->has_exit_code = pb->has_signal = true;
    pb->exit_code = e->exit_code;
    pb->signal = e->signal;
    add_detail(a, pb, "exit_code", arena_printf(a, "%d", e->exit_code));
    if (e->signal != 0)
        text = arena_printf(a, "%s, Signal: %d", text, e->signal);
    if (e->text != NULL) {
        add_detail(a, pb, "exit_message", text_of(a, e));
        text = arena_printf(a, "%s, Exit Message: \"%s\"", text, e->text);
        pb->message = text_of(a, e);
    }
    add_detail(a, pb, "oom_killed", arena_strdup(a, e->oom_killed ? "true" : "false"));
    add_detail(a, pb, "signal", arena_printf(a, "%d", e->signal));
    pb->display_message = text;
}

static void pack_restarting(struct arena *a, Pb__TaskEvent *pb, const struct task_event *e)
{
    char delay[32];
    duration_format(e->amount_ns, delay);
    pb->display_message = arena_printf(a, "Task restarting in %s", delay);
    if (e->text != NULL && e->text[0] != '\0' && strcmp(e->text, "Restart within policy") != 0)
        pb->display_message = arena_printf(a, "%s - %s", e->text, pb->display_message);
    pb->restart_reason = text_of(a, e);
    pb->has_start_delay_ns = true;
    pb->start_delay_ns = e->amount_ns;
    add_detail(a, pb, "restart_reason", text_of(a, e));
    add_detail(a, pb, "start_delay", arena_printf(a, "%lld", (long long)e->amount_ns));
}

static void pack_not_restarting(struct arena *a, Pb__TaskEvent *pb, const struct task_event *e)
{
    pb->display_message = pb->restart_reason = text_of(a, e);
    if (e->fails_task) {
        pb->has_fails_task = pb->fails_task = true;
        add_detail(a, pb, "fails_task", arena_strdup(a, "true"));
    }
    add_detail(a, pb, "restart_reason", text_of(a, e));
}

static void pack_killing(struct arena *a, Pb__TaskEvent *pb, const struct task_event *e)
{
    char timeout[32];
    duration_format(e->amount_ns, timeout);
    pb->display_message =
        arena_printf(a, "Sent interrupt. Waiting %s before force killing", timeout);
    pb->has_kill_timeout_ns = true;
    pb->kill_timeout_ns = e->amount_ns;
    add_detail(a, pb, "kill_timeout", arena_strdup(a, timeout));
}

static void pack_waiting(struct arena *a, Pb__TaskEvent *pb, const struct task_event *e)
{
    char delay[32];
    duration_format(e->amount_ns, delay);
    pb->has_start_delay_ns = true;
    pb->start_delay_ns = e->amount_ns;
    pb->display_message =
        arena_printf(a, "Waiting for shutdown_delay of %s before killing the task.", delay);
}

/* An error: told in one field of its own and in the details under that field's name. */
static void pack_error(struct arena *a, Pb__TaskEvent *pb, const struct task_event *e, char **field,
                       const char *key)
{
    *field = pb->display_message = text_of(a, e);
    add_detail(a, pb, key, text_of(a, e));
    if (e->fails_task)
        pb->has_fails_task = pb->fails_task = true;
}

static void pack_particular(struct arena *a, Pb__TaskEvent *pb, const struct task_event *e)
{
    switch (e->type) {
    case TASK_EVENT_RECEIVED:
        pb->display_message = arena_strdup(a, "Task received by client");
        break;
    case TASK_EVENT_SETUP:
        pb->message = pb->display_message = text_of(a, e);
        add_detail(a, pb, "message", text_of(a, e));
        break;
    case TASK_EVENT_SETUP_FAILURE:
        pack_error(a, pb, e, &pb->setup_error, "setup_error");
        break;
    case TASK_EVENT_VALIDATION:
        pack_error(a, pb, e, &pb->validation_error, "validation_error");
        break;
    case TASK_EVENT_DRIVER_FAILURE:
        pack_error(a, pb, e, &pb->driver_error, "driver_error");
        break;
    case TASK_EVENT_FETCHING:
        pb->display_message = arena_strdup(a, "Client is downloading artifacts");
        break;
    case TASK_EVENT_FETCH_FAILURE:
        pack_error(a, pb, e, &pb->message, "download_error");
        break;
    case TASK_EVENT_STARTED:
        pb->display_message = arena_strdup(a, "Task started by client");
        break;
    case TASK_EVENT_TERMINATED:
        pack_terminated(a, pb, e);
        break;
    case TASK_EVENT_RESTARTING:
        pack_restarting(a, pb, e);
        break;
    case TASK_EVENT_NOT_RESTARTING:
        pack_not_restarting(a, pb, e);
        break;
    case TASK_EVENT_WAITING_SHUTDOWN:
        pack_waiting(a, pb, e);
        break;
    case TASK_EVENT_KILLING:
        pack_killing(a, pb, e);
        break;
    case TASK_EVENT_KILLED:
        pb->display_message = arena_strdup(a, "Task successfully killed");
        break;
    case TASK_EVENT_LEADER_DEAD:
        pb->display_message = arena_strdup(a, "Leader Task in Group dead");
        break;
    case TASK_EVENT_MAIN_DEAD:
        pb->display_message = arena_strdup(a, "Main tasks in the group died");
        break;
    case TASK_EVENT_SIBLING_FAILED:
        pb->display_message =
            arena_printf(a, "Task's sibling \"%s\" failed", e->text == NULL ? "" : e->text);
        add_detail(a, pb, "failed_sibling", text_of(a, e));
        break;
    case TASK_EVENT_RESTART_SIGNALED:
        pb->display_message = pb->restart_reason = text_of(a, e);
        add_detail(a, pb, "restart_reason", text_of(a, e));
        break;
    case TASK_EVENT_SIGNALING:
        pb->display_message = arena_strdup(a, "Task being sent a signal");
        add_detail(a, pb, "signal", text_of(a, e));
        break;
    case TASK_EVENT_DISK_NOT_MOVED:
    case TASK_EVENT_DISK_EXCEEDED:
    case TASK_EVENT_OVERDUE:
    case TASK_EVENT_UNHEARD:
        pack_error(a, pb, e, &pb->message, "message");
        break;
    case TASK_EVENT_DRIVER:
        pack_error(a, pb, e, &pb->message, "driver_message");
        break;
    case TASK_EVENT_NONE:
    case TASK_EVENT_TYPES:
        break;
    }
}

Pb__TaskEvent *task_event_pack(struct arena *a, const struct task_event *e)
{
    Pb__TaskEvent *pb = arena_alloc(a, sizeof *pb);
    pb__task_event__init(pb);
    pb->type = arena_strdup(a, type_names[e->type]);
    pb->has_time = true;
    pb->time = e->time_ns;
    pack_particular(a, pb, e);
    return pb;
}

static const char *detail(const Pb__TaskEvent *pb, const char *key)
{
    for (size_t i = 0; i < pb->n_details; i++)
        if (pb->details[i]->key != NULL && strcmp(pb->details[i]->key, key) == 0)
            return pb->details[i]->value;
    return NULL;
}

static const char *text_key(enum task_event_type type)
{
    switch (type) {
    case TASK_EVENT_SETUP:
    case TASK_EVENT_DISK_NOT_MOVED:
    case TASK_EVENT_DISK_EXCEEDED:
    case TASK_EVENT_OVERDUE:
    case TASK_EVENT_UNHEARD:
        return "message";
    case TASK_EVENT_SETUP_FAILURE:
        return "setup_error";
    case TASK_EVENT_VALIDATION:
        return "validation_error";
    case TASK_EVENT_DRIVER_FAILURE:
        return "driver_error";
    case TASK_EVENT_DRIVER:
        return "driver_message";
    case TASK_EVENT_FETCH_FAILURE:
        return "download_error";
    case TASK_EVENT_TERMINATED:
        return "exit_message";
    case TASK_EVENT_RESTARTING:
    case TASK_EVENT_NOT_RESTARTING:
    case TASK_EVENT_RESTART_SIGNALED:
        return "restart_reason";
    case TASK_EVENT_SIGNALING:
        return "signal";
    case TASK_EVENT_SIBLING_FAILED:
        return "failed_sibling";
    default:
        return "";
    }
}

struct task_event task_event_unpack(const Pb__TaskEvent *pb)
{
    struct task_event e = {.time_ns = pb->time, .exit_code = pb->exit_code, .signal = pb->signal};
    for (int i = 0; i < TASK_EVENT_TYPES; i++)
        if (pb->type != NULL && strcmp(pb->type, type_names[i]) == 0)
            e.type = (enum task_event_type)i;
    e.amount_ns = pb->kill_timeout_ns != 0 ? pb->kill_timeout_ns : pb->start_delay_ns;
    e.fails_task = pb->fails_task;
    const char *oom_killed = detail(pb, "oom_killed");
    e.oom_killed = oom_killed != NULL && strcmp(oom_killed, "true") == 0;
    const char *text = detail(pb, text_key(e.type));
    e.text = text == NULL ? NULL : xstrdup(text);
    return e;
}
