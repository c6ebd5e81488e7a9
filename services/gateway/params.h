/* The parameters that most routes share. Pure but for the exchange they come from. */
#ifndef GATEWAY_PARAMS_H
#define GATEWAY_PARAMS_H

#include "http.h"
#include <stdbool.h>
#include <stdint.h>

#define WAIT_DEFAULT_MS 300000u /* also the longest */

struct params {
    const char *region;    /* "" when not given */
    const char *namespace; /* "default" when not given; "*" for all */
    const char *prefix;    /* "" */
    uint64_t index;        /* 0: do not wait */
    uint64_t wait_ms;
    bool pretty;
    bool stale; /* any server may answer, with what it has */
    bool has_namespace;
};

/* NULL, or what is wrong with them. */
const char *params_read(const struct exchange *x, struct params *out);
/* For tests. */
const char *params_wait(const char *index, const char *wait, struct params *out);

/* NULL if text is a full id; else Nomad's words for what is wrong. */
const char *id_problem(const char *text);
/* The same for a prefix of an id; the text may be in `buffer`. */
const char *id_prefix_problem(const char *prefix, char buffer[128]);

#endif
