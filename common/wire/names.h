/* How messages appear in JSON: one plan per message type, made from its descriptor and a table of
 * exceptions. The rule (proto/types.proto, first lines) is in names.c, the exceptions too. */
#ifndef WIRE_NAMES_H
#define WIRE_NAMES_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

enum json_kind {
    JSON_PLAIN,    /* by the field's own type */
    JSON_DURATION, /* *_ns: integer nanoseconds */
    JSON_TIME,     /* RFC 3339, null when 0 */
    JSON_UUID,     /* 16 bytes as text, "" when unset */
    JSON_BASE64,   /* bytes, null when unset */
    JSON_VERBATIM, /* *_json: JSON text of free form */
    JSON_MAP,      /* repeated KeyValue, CountOf and the like: {key: value} */
    JSON_KEYED,    /* repeated message: {its key field: the rest of it} */
    JSON_CONSTANT, /* no field of ours: always the same text */
};

enum json_flag {
    JSON_HIDDEN = 1,       /* never printed, never read */
    JSON_OMIT_EMPTY = 2,   /* left out when unset, 0, "" or empty */
    JSON_NULLABLE = 4,     /* a scalar that is null when unset */
    JSON_EMPTY_MAP = 8,    /* {} when empty, not null */
    JSON_ZERO_STRUCT = 16, /* an unset message is printed with all its fields empty */
    JSON_FLOATS = 32,      /* VERBATIM: integers are printed as reals (1 -> 1.0) */
    JSON_NO_INPUT = 64,    /* printed, not read: the servers' own */
    JSON_NO_OUTPUT = 128,  /* read, not printed: a short form that others replace */
    JSON_KEEP_KEY = 256,   /* KEYED: the key stands in the message too */
};

struct json_field {
    const ProtobufCFieldDescriptor *field; /* NULL: JSON_CONSTANT */
    char name[32];
    enum json_kind kind;
    unsigned flags;
    const ProtobufCFieldDescriptor *key, *value; /* MAP and KEYED: inside the element */
    const char *constant;                        /* its JSON text */
    const char *go_type;                         /* in messages about a value of the wrong type */
};

struct json_plan {
    const ProtobufCMessageDescriptor *type;
    const char *go_name;       /* what Nomad calls the type */
    struct json_field *fields; /* sorted by name, so that output is */
    size_t count;
};

/* Never NULL. Plans are made on first use and never change: safe from any thread. */
const struct json_plan *json_plan_of(const ProtobufCMessageDescriptor *type);
/* Keys match without regard to case; NULL: unknown. */
const struct json_field *json_plan_find(const struct json_plan *plan, const char *key);
/* "CANCELLED" -> "canceled": the lower-case name, with exceptions. "" for 0. */
const char *json_enum_name(const ProtobufCEnumDescriptor *type, int value, char buffer[32]);
bool json_enum_value(const ProtobufCEnumDescriptor *type, const char *text, int *out);
/* "memory_max_mb" -> "MemoryMaxMB". */
void json_name_of(const char *field_name, char out[32]);

#endif
