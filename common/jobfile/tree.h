/* What every reader of job files makes: names, values, and where they stood. Only for the files of
 * this folder. */
#ifndef JOBFILE_TREE_H
#define JOBFILE_TREE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOBFILE_MAX_SIZE  (1u << 20) /* bytes of a job file */
#define JOBFILE_MAX_DEPTH 64         /* of braces within braces */

enum node_kind {
    NODE_NULL,
    NODE_BOOL,
    NODE_INTEGER,
    NODE_REAL,
    NODE_TEXT,
    NODE_LIST,
    NODE_MAP,
};

struct node {
    enum node_kind kind;
    const char *key; /* inside a map; else NULL */
    unsigned line;   /* 0: not known */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *text;
        struct {
            struct node *items;
            size_t count;
        };
    };
};

/* The last of that name, or NULL. */
const struct node *node_get(const struct node *map, const char *key);
const char *node_kind_name(const struct node *n); /* "a text", "a list" */
/* RFC 3629; what is not cannot be sent as JSON. */
bool text_is_utf8(const char *text);
/* Appends the tree as JSON, keys in the order they stood. */
void node_to_json(struct strbuf *out, const struct node *n);

/* Text of len bytes -> tree in a; the text is followed by NUL. *why gets no file name, but a line
 * where one is known: "line 3: ...". */
enum err read_libconfig(struct arena *a, const char *text, size_t len, struct node **out,
                        struct reason *why);
enum err read_json(struct arena *a, const char *text, size_t len, struct node **out,
                   struct reason *why);

#endif
