/* The escape of a session at a terminal, as in ssh: the escape character at the beginning of a line
 * and then a full stop leave it. */
#ifndef NCTL_ESCAPE_H
#define NCTL_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

struct escape {
    int character;  /* -1: none */
    bool in_line;   /* something but an end of line came last */
    bool held_back; /* the character came, and what it means shows in the next */
};

/* What of in goes on to the other side; out has room for len + 1. True: the user leaves, and what
 * follows does not matter. */
bool escape_filter(struct escape *e, const char *in, size_t len, char *out, size_t *out_len);

#endif
