#include "logrelay.h"
#include "base/facility.h"
#include "base/id.h"
#include "base/strbuf.h"
#include "taskenv.h"
#include <string.h>
#include <sys/un.h>

enum { LONGEST_TAG = 48, LONGEST_VALUE = 256, DEFAULT_FACILITY = 3 /* daemon */ };

static bool is_set(const char *text)
{
    return text != NULL && *text != '\0';
}

/* A tag ends at a blank, a colon or a bracket. */
static char *tag_of(struct arena *a, const Pb__LogConfig *log, const struct taskenv *env)
{
    const char *wanted = is_set(log->tag) ? log->tag : "${NOMAD_TASK_NAME}";
    char *tag = taskenv_expand(env, a, wanted);
    if (strlen(tag) > LONGEST_TAG)
        tag[LONGEST_TAG] = '\0';
    for (char *c = tag; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || strchr(":[]", *c) != NULL)
            *c = '_';
    return tag;
}

/* A value ends with its line. */
static void add_field(struct strbuf *b, const char *key, const char *value)
{
    strbuf_printf(b, "%s=", key);
    for (size_t i = 0; value != NULL && value[i] != '\0' && i < LONGEST_VALUE; i++)
        strbuf_add(b, value[i] == '\n' ? " " : &value[i], 1);
    strbuf_add(b, "\n", 1);
}

/* Not of the task's variables: those a job may set as it likes. */
static char *journal_head(struct arena *a, const char *tag, const struct log_relay_ask *ask)
{
    char id[ID_TEXT_SIZE];
    struct strbuf b = STRBUF_INIT;
    const char *namespace = ask->job->namespace_;
    id_format(ask->alloc->id.data, id);
    add_field(&b, "SYSLOG_IDENTIFIER", tag);
    add_field(&b, "NOMAD_ALLOC_ID", id);
    strbuf_printf(&b, "NOMAD_ALLOC_INDEX=%u\n", ask->alloc->name_index);
    add_field(&b, "NOMAD_GROUP_NAME", ask->group->name);
    add_field(&b, "NOMAD_JOB_ID", ask->job->id);
    add_field(&b, "NOMAD_JOB_NAME", ask->job->name != NULL ? ask->job->name : ask->job->id);
    add_field(&b, "NOMAD_NAMESPACE", is_set(namespace) ? namespace : "default");
    add_field(&b, "NOMAD_TASK_NAME", ask->task->name);
    char *head = arena_strdup(a, strbuf_text(&b));
    strbuf_free(&b);
    return head;
}

enum err log_relay_find(struct arena *a, const struct log_relay_ask *ask, struct log_relay *out,
                        struct reason *why)
{
    const Pb__LogConfig *log = ask->task->log_config;
    *out = (struct log_relay){.kind = SHIM_RELAY_NONE};
    if (log == NULL || !is_set(log->forward))
        return OK;
    const bool journal = strcmp(log->forward, "journald") == 0;
    if (!journal && strcmp(log->forward, "syslog") != 0)
        return reason_set(why, ERR_INVALID, "logs cannot be forwarded to \"%s\"", log->forward);
    int facility = is_set(log->facility) ? facility_find(log->facility) : DEFAULT_FACILITY;
    if (facility < 0)
        return reason_set(why, ERR_INVALID, "\"%s\" is no facility of syslog", log->facility);
    const char *tag = tag_of(a, log, ask->env);
    *out = (struct log_relay){
        .kind = journal ? SHIM_RELAY_JOURNALD : SHIM_RELAY_SYSLOG,
        .facility = (uint32_t)facility,
        .socket = journal ? ask->sockets->journald : ask->sockets->syslog,
        .head = journal ? journal_head(a, tag, ask) : tag,
    };
    if (strlen(out->socket) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return reason_set(why, ERR_INVALID, "the path %s is too long for a socket", out->socket);
    return OK;
}
