#include "keys.h"
#include "base/err.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What differs from the rule "the field's name without _ns and _json". key NULL: not in the native
 * form. A field may have several rows; those after the first are aliases. */
static const struct rule {
    const char *message, *field, *key;
    enum value_kind kind; /* PLAIN: by the field */
    int64_t max;
} rules[] = {
    {"Job", "task_groups", "groups", 0, 0},
    {"Job", "task_groups", "group", 0, 0},
    {"Job", "task_groups", "task_groups", 0, 0},
    {"Job", "constraints", "constraints", 0, 0},
    {"Job", "constraints", "constraint", 0, 0},
    {"Job", "affinities", "affinities", 0, 0},
    {"Job", "affinities", "affinity", 0, 0},
    {"Job", "spreads", "spreads", 0, 0},
    {"Job", "spreads", "spread", 0, 0},
    {"Job", "parameterized_job", "parameterized", 0, 0},
    {"Job", "payload", NULL, 0, 0},
    {"Job", "parent_id", NULL, 0, 0},
    {"Job", "dispatched", NULL, 0, 0},
    {"Job", "multiregion_json", NULL, 0, 0},
    {"Job", "consul_token", NULL, 0, 0},
    {"Job", "consul_namespace", NULL, 0, 0},
    {"Job", "vault_token", NULL, 0, 0},
    {"Job", "vault_namespace", NULL, 0, 0},
    {"TaskGroup", "count", "count", 0, 1000000},
    {"TaskGroup", "tasks", "tasks", 0, 0},
    {"TaskGroup", "tasks", "task", 0, 0},
    {"TaskGroup", "constraints", "constraints", 0, 0},
    {"TaskGroup", "constraints", "constraint", 0, 0},
    {"TaskGroup", "affinities", "affinities", 0, 0},
    {"TaskGroup", "affinities", "affinity", 0, 0},
    {"TaskGroup", "spreads", "spreads", 0, 0},
    {"TaskGroup", "spreads", "spread", 0, 0},
    {"TaskGroup", "networks", "networks", 0, 0},
    {"TaskGroup", "networks", "network", 0, 0},
    {"TaskGroup", "restart_policy", "restart", 0, 0},
    {"TaskGroup", "reschedule_policy", "reschedule", 0, 0},
    {"TaskGroup", "volumes", "volumes", 0, 0},
    {"TaskGroup", "volumes", "volume", 0, 0},
    {"TaskGroup", "services_json", NULL, 0, 0},
    {"TaskGroup", "consul_json", NULL, 0, 0},
    {"Task", "restart_policy", "restart", 0, 0},
    {"Task", "log_config", "logs", 0, 0},
    {"Task", "constraints", "constraints", 0, 0},
    {"Task", "constraints", "constraint", 0, 0},
    {"Task", "affinities", "affinities", 0, 0},
    {"Task", "affinities", "affinity", 0, 0},
    {"Task", "artifacts", "artifacts", 0, 0},
    {"Task", "artifacts", "artifact", 0, 0},
    {"Task", "templates", "templates", 0, 0},
    {"Task", "templates", "template", 0, 0},
    {"Task", "volume_mounts", "volume_mounts", 0, 0},
    {"Task", "volume_mounts", "volume_mount", 0, 0},
    {"Task", "services_json", NULL, 0, 0},
    {"Task", "vault_json", NULL, 0, 0},
    {"Task", "scaling_policies_json", NULL, 0, 0},
    {"Task", "csi_plugin_config_json", NULL, 0, 0},
    {"VolumeRequest", "access_mode", NULL, 0, 0},
    {"VolumeRequest", "attachment_mode", NULL, 0, 0},
    {"VolumeRequest", "mount_options_json", NULL, 0, 0},
    {"VolumeRequest", "per_alloc", NULL, 0, 0},
    {"Constraint", "l_target", "attribute", 0, 0},
    {"Constraint", "operand", "operator", 0, 0},
    {"Constraint", "r_target", "value", 0, 0},
    {"Constraint", "r_target", "version", VALUE_OPERAND, 0},
    {"Constraint", "r_target", "semver", VALUE_OPERAND, 0},
    {"Constraint", "r_target", "regexp", VALUE_OPERAND, 0},
    {"Constraint", "r_target", "set_contains", VALUE_OPERAND, 0},
    {"Constraint", "l_target", "distinct_property", VALUE_TARGET, 0},
    {"Constraint", "r_target", "distinct_hosts", VALUE_FLAG, 0},
    {"Affinity", "l_target", "attribute", 0, 0},
    {"Affinity", "operand", "operator", 0, 0},
    {"Affinity", "r_target", "value", 0, 0},
    {"Affinity", "r_target", "version", VALUE_OPERAND, 0},
    {"Affinity", "r_target", "semver", VALUE_OPERAND, 0},
    {"Affinity", "r_target", "regexp", VALUE_OPERAND, 0},
    {"Affinity", "r_target", "set_contains_all", VALUE_OPERAND, 0},
    {"Affinity", "r_target", "set_contains_any", VALUE_OPERAND, 0},
    {"Affinity", "weight", "weight", 0, 100},
    {"Spread", "weight", "weight", 0, 100},
    {"Spread", "spread_target", "targets", 0, 0},
    {"Spread", "spread_target", "target", 0, 0},
    {"SpreadTarget", "percent", "percent", 0, 100},
    {"Network", "reserved_ports", "ports", VALUE_PORTS, 0},
    {"Network", "reserved_ports", "port", VALUE_PORTS, 0},
    {"Network", "dynamic_ports", NULL, 0, 0},
    {"Network", "device", NULL, 0, 0},
    {"Network", "cidr", NULL, 0, 0},
    {"Network", "ip", NULL, 0, 0},
    {"Port", "value", "static", 0, 65535},
    {"Port", "to", "to", 0, 65535},
    {"Resources", "cpu", "cpu", 0, 10000000},
    {"Resources", "cores", "cores", 0, 100000},
    {"Resources", "memory_mb", "memory", 0, 100000000},
    {"Resources", "memory_max_mb", "memory_max", 0, 100000000},
    {"Resources", "disk_mb", "disk", 0, 1000000000},
    {"Resources", "networks", "networks", 0, 0},
    {"Resources", "networks", "network", 0, 0},
    {"Resources", "devices", "devices", 0, 0},
    {"Resources", "devices", "device", 0, 0},
    {"RequestedDevice", "constraints", "constraints", 0, 0},
    {"RequestedDevice", "constraints", "constraint", 0, 0},
    {"RequestedDevice", "affinities", "affinities", 0, 0},
    {"RequestedDevice", "affinities", "affinity", 0, 0},
    {"EphemeralDisk", "size_mb", "size", 0, 1000000000},
    {"LogConfig", "max_files", "max_files", 0, 100000},
    {"LogConfig", "max_file_size_mb", "max_file_size", 0, 1000000},
    {"Template", "source_path", "source", 0, 0},
    {"Template", "dest_path", "destination", 0, 0},
    {"Template", "embedded_tmpl", "data", 0, 0},
    {"Template", "left_delim", "left_delimiter", 0, 0},
    {"Template", "right_delim", "right_delimiter", 0, 0},
    {"Template", "envvars", "env", 0, 0},
    {"Template", "err_missing_key", "error_on_missing_key", 0, 0},
    {"Artifact", "getter_source", "source", 0, 0},
    {"Artifact", "getter_options", "options", 0, 0},
    {"Artifact", "getter_headers", "headers", 0, 0},
    {"Artifact", "getter_mode", "mode", 0, 0},
    {"Artifact", "getter_insecure", "insecure", 0, 0},
    {"Artifact", "chown", NULL, 0, 0},
    {"Artifact", "relative_dest", "destination", 0, 0},
    {"Periodic", "spec", "cron", 0, 0},
    {"Periodic", "specs", "crons", 0, 0},
    {"Periodic", "spec_type", NULL, 0, 0},
};

/* Job's fields from here on are the servers' own. */
enum { FIRST_STATE_FIELD = 40 };

static bool is_own(const ProtobufCMessageDescriptor *m, const ProtobufCFieldDescriptor *f)
{
    return m == &pb__job__descriptor && f->id >= FIRST_STATE_FIELD;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), s = strlen(suffix);
    return n > s && strcmp(name + n - s, suffix) == 0;
}

static enum value_kind kind_of(const ProtobufCFieldDescriptor *f)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && f->descriptor == &pb__key_value__descriptor)
        return VALUE_PAIRS;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && f->descriptor == &pb__volume_request__descriptor)
        return VALUE_NAMED;
    return has_suffix(f->name, "_ns")     ? VALUE_DURATION
           : has_suffix(f->name, "_json") ? VALUE_JSON
                                          : VALUE_PLAIN;
}

static size_t base_name_len(const ProtobufCFieldDescriptor *f)
{
    size_t len = strlen(f->name);
    return len - (has_suffix(f->name, "_ns") ? 3 : has_suffix(f->name, "_json") ? 5 : 0);
}

static void add_key(struct job_key *keys, size_t room, size_t *count, struct job_key key)
{
    must(*count < room);
    keys[(*count)++] = key;
}

/* Fills the keys of one message: by its rules where it has some, else by the field's name. */
static size_t derive(const ProtobufCMessageDescriptor *m, struct job_key *keys, size_t room)
{
    size_t count = 0;
    for (unsigned i = 0; i < m->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->fields[i];
        struct job_key key = {.message = m, .field = f, .kind = kind_of(f)};
        bool ruled = is_own(m, f);
        for (size_t r = 0; r < COUNT_OF(rules); r++) {
            if (strcmp(rules[r].message, m->short_name) != 0 ||
                strcmp(rules[r].field, f->name) != 0)
                continue;
            ruled = true;
            if (rules[r].key == NULL)
                continue;
            struct job_key given = key;
            snprintf(given.name, sizeof(given.name), "%s", rules[r].key);
            given.max = rules[r].max;
            given.alias = count > 0 && keys[count - 1].field == f && rules[r].kind < VALUE_OPERAND;
            if (rules[r].kind != VALUE_PLAIN)
                given.kind = rules[r].kind;
            add_key(keys, room, &count, given);
        }
        if (ruled)
            continue;
        snprintf(key.name, sizeof(key.name), "%.*s", (int)base_name_len(f), f->name);
        add_key(keys, room, &count, key);
    }
    return count;
}

/* One entry per message type; there are about thirty. Made on first use. */
struct message_keys {
    const ProtobufCMessageDescriptor *message;
    struct job_key keys[48];
    size_t count;
};

const struct job_key *native_keys(const ProtobufCMessageDescriptor *message, size_t *count)
{
    static _Thread_local struct message_keys *known[64];
    size_t i = 0;
    while (known[i] != NULL && known[i]->message != message)
        must(++i < COUNT_OF(known));
    if (known[i] == NULL) {
        known[i] = xcalloc(1, sizeof(*known[i]));
        known[i]->message = message;
        known[i]->count = derive(message, known[i]->keys, COUNT_OF(known[i]->keys));
    }
    *count = known[i]->count;
    return known[i]->keys;
}

const struct job_key *native_key(const ProtobufCMessageDescriptor *message, const char *name)
{
    size_t count;
    const struct job_key *keys = native_keys(message, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static bool is_json_name(const ProtobufCFieldDescriptor *f, const char *name)
{
    const char *end = f->name + base_name_len(f);
    for (const char *c = f->name; c < end; c++) {
        if (*c == '_')
            continue;
        if (tolower((unsigned char)*name) != *c)
            return false;
        name++;
    }
    return *name == '\0';
}

bool json_key(const ProtobufCMessageDescriptor *message, const char *name, struct job_key *out)
{
    for (unsigned i = 0; i < message->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &message->fields[i];
        if (!is_json_name(f, name) || is_own(message, f) || f->type == PROTOBUF_C_TYPE_BYTES)
            continue;
        *out = (struct job_key){.message = message, .field = f, .kind = kind_of(f)};
        snprintf(out->name, sizeof(out->name), "%.39s", name);
        return true;
    }
    return false;
}
