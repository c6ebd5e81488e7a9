/* What templates compute with. Values are plain: they point into the arena of the rendering, and
 * nothing changes what they point to. Pure. */
#ifndef NODEAGENT_TEMPLATE_VALUE_H
#define NODEAGENT_TEMPLATE_VALUE_H

#include "base/arena.h"
#include "base/strbuf.h"
#include <stdbool.h>
#include <stdint.h>

enum value_kind {
    VALUE_NONE, /* there is no such thing */
    VALUE_BOOL,
    VALUE_WHOLE,
    VALUE_REAL,
    VALUE_TEXT,
    VALUE_LIST,
    VALUE_MAP,
};

struct value {
    enum value_kind kind;
    size_t len; /* bytes of a text; items of a list, entries of a map */
    union {
        bool truth;
        int64_t whole;
        double real;
        const char *text; /* may hold any byte; no NUL ends it */
        const struct value *items;
        const struct entry *entries; /* sorted by key */
    };
};

struct entry {
    struct value key; /* a text */
    struct value value;
};

struct value value_text(const char *text, size_t len);
struct value value_bool(bool truth);
struct value value_whole(int64_t number);

/* "text", "number", ...: for reasons. */
const char *value_kind_name(const struct value *v);
/* Nothing, false, 0 and what is empty are not. */
bool value_is_true(const struct value *v);
/* The text as C has it: a copy; a NUL inside ends it. */
char *value_string(struct arena *a, const struct value *v);
/* Below, at or above 0. Numbers of both kinds compare; else both must be of one kind and no list
 * or map: false. */
bool value_compare(const struct value *a, const struct value *b, int *order);
/* NULL: the map has no such key. */
const struct value *value_find(const struct value *map, const struct value *key);

/* Both end at some `most` bytes, and what they leave then is worth nothing. */
void value_print(struct strbuf *out, const struct value *v, size_t most); /* as {{ v }} has it */
/* indent: spaces of a level; 0: on one line. */
void value_json(struct strbuf *out, const struct value *v, unsigned indent, size_t most);
void value_quote(struct strbuf *out, const struct value *text); /* "..." with escapes */

#endif
