/* The words inside one action of a template. Pure. */
#ifndef NODEAGENT_TEMPLATE_LEX_H
#define NODEAGENT_TEMPLATE_LEX_H

#include "value.h"

enum token_kind {
    TOKEN_END,
    TOKEN_CONSTANT, /* a string or a number: value */
    TOKEN_NAME,     /* env, true, if */
    TOKEN_FIELD,    /* .Name, without the dot */
    TOKEN_DOT,
    TOKEN_VARIABLE, /* $name, with the dollar; "$" alone */
    TOKEN_SIGN,     /* ( ) | , =  or : for := */
    TOKEN_WRONG,    /* name says why */
};

struct token {
    enum token_kind kind;
    bool spaced; /* blanks stand before it */
    char sign;
    const char *at;
    const char *name;
    size_t len; /* of name */
    struct value value;
};

struct lexer {
    struct arena *arena;
    const char *at, *end;
};

struct token lexer_next(struct lexer *l);
bool token_is(const struct token *t, const char *name); /* a name, and this one */
bool token_is_sign(const struct token *t, char sign);

/* Where the action ends that begins at `at`: at its right delimiter, as which one inside a string
 * or a comment does not count. NULL: it does not end. */
const char *lexer_find_end(const char *at, const char *end, const char *right);

#endif
