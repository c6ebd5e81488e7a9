/* The functions of templates: a table of names, and what each makes of its arguments. Pure. */
#ifndef NODEAGENT_TEMPLATE_FUNCTIONS_H
#define NODEAGENT_TEMPLATE_FUNCTIONS_H

#include "nodeagent/template.h"
#include "value.h"

#define TEMPLATE_MAX_ITEMS 65536        /* of a list that a function makes */
#define TEMPLATE_MAX_JSON  (256u << 10) /* bytes: a tree takes many times as much */

struct call {
    const struct template_input *in;
    struct arena *arena;
    const struct value *args;
    size_t count;
    struct value out;
    struct reason *why;
};

struct function {
    const char *name;
    size_t least, most; /* arguments */
    /* One character for each argument: t text, n whole number, l list, . anything; the last one
     * counts for all that follow. */
    const char *kinds;
    enum err (*call)(struct call *c); /* NULL: and, or, which the evaluation knows */
};

/* NULL: not known. */
const struct function *function_find(const char *name, size_t len);
/* Checks the arguments, then calls. What comes out is at most TEMPLATE_MAX_OUTPUT long. */
enum err function_call(const struct function *f, struct call *c);

/* texts.c, digests.c, collections.c, numbers.c, formats.c: rows of the table, ending without a
 * name. */
extern const struct function functions_of_texts[], functions_of_digests[],
    functions_of_collections[], functions_of_numbers[], functions_of_formats[];

/* Copies the buffer as the result, and frees it. ERR_INVALID: it is too large. */
enum err call_take_text(struct call *c, struct strbuf *text);

#endif
