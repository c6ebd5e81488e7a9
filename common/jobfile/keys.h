/* Which key of a job file is which field of the message: derived from the descriptors, with a table
 * of what differs. Only for the files of this folder and their tests. */
#ifndef JOBFILE_KEYS_H
#define JOBFILE_KEYS_H

#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind {
    VALUE_PLAIN,    /* by the field's own type */
    VALUE_DURATION, /* *_ns: "5s" in the native form, integer nanoseconds in JSON */
    VALUE_JSON,     /* *_json: anything, kept as JSON text */
    VALUE_PAIRS,    /* repeated KeyValue: a group of texts */
    VALUE_NAMED,    /* repeated message with a name: a list, or {name: message} in JSON */
    VALUE_PORTS, /* network.ports: those with `static` are reserved_ports, the others dynamic_ports
                  */
    VALUE_OPERAND, /* constraint { version = ">= 4"; }: operand and r_target in one */
    VALUE_FLAG,    /* constraint { distinct_hosts = true; }: operand alone */
    VALUE_TARGET,  /* constraint { distinct_property = "x"; }: operand and l_target in one */
};

/* One key as it may be written inside one kind of group. */
struct job_key {
    const ProtobufCMessageDescriptor *message;
    const ProtobufCFieldDescriptor *field; /* for the sugars: r_target or l_target */
    char name[40];
    bool alias; /* another name for a key listed before */
    enum value_kind kind;
    int64_t max; /* of a number; 0: the type's */
};

/* All native keys of one message, NULL-named at the end. */
const struct job_key *native_keys(const ProtobufCMessageDescriptor *message, size_t *count);
const struct job_key *native_key(const ProtobufCMessageDescriptor *message, const char *name);
/* JSON: the field's name without underscores and the suffixes _ns and _json, without regard to
 * case. False: not a field that may be set. */
bool json_key(const ProtobufCMessageDescriptor *message, const char *name, struct job_key *out);

#endif
