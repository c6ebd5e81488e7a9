/* A template as a tree: texts and actions in a row, branches below them. Pure. */
#ifndef NODEAGENT_TEMPLATE_PARSE_H
#define NODEAGENT_TEMPLATE_PARSE_H

#include "base/err.h"
#include "functions.h"
#include "value.h"

#define TEMPLATE_MAX_DEPTH 64          /* of if, range, with and parentheses in one another */
#define TEMPLATE_MAX_ARGS  64          /* of one function */
#define TEMPLATE_SCRATCH   (24u << 20) /* bytes of the arena, from where on nothing more begins */

enum operand_kind {
    OPERAND_CONSTANT,
    OPERAND_DOT,
    OPERAND_VARIABLE, /* name */
    OPERAND_CALL,     /* function, without arguments of its own unless it stands first */
    OPERAND_PIPE,     /* ( ... ) */
};

/* .a.b behind an operand, from left to right. */
struct field {
    struct field *next;
    struct value name;
};

struct operand {
    enum operand_kind kind;
    struct operand *next; /* the next argument */
    struct field *fields;
    struct value value;
    const struct function *function;
    struct value name;
    struct pipe *pipe;
};

struct command {
    struct command *next; /* behind | */
    struct operand *first;
    size_t count;
};

struct pipe {
    struct value names[2]; /* $x := or $i, $x :=, with the dollar */
    size_t name_count;
    bool assigns; /* = : the variable is there already */
    struct command *first;
};

enum node_kind {
    NODE_TEXT,
    NODE_ACTION,
    NODE_IF,
    NODE_WITH,
    NODE_RANGE,
    NODE_BREAK,
    NODE_CONTINUE
};

struct node {
    enum node_kind kind;
    size_t line;
    struct node *next;
    const char *text; /* of the template, borrowed */
    size_t len;
    struct pipe *pipe;
    struct node *body, *otherwise; /* otherwise: of else */
};

/* text, left and right outlive the tree. ERR_INVALID: "line N: ..."; also when the tree takes too
 * much memory. */
enum err template_parse(struct arena *a, const char *text, const char *left, const char *right,
                        struct node **out, struct reason *why);

#endif
