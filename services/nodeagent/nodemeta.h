/* A node's metadata: what the settings say, and what was set while it runs, which wins and is kept
 * over restarts. */
#ifndef NODEAGENT_NODEMETA_H
#define NODEAGENT_NODEMETA_H

#include "base/err.h"
#include "local.h"
#include <jansson.h>

struct nodemeta;

struct nodemeta_options {
    struct local *local;
    Pb__Node *node; /* its meta is the settings' when we begin, and ours to replace from then on */
    void (*changed)(void *owner);
    void *owner;
};

struct nodemeta *nodemeta_new(const struct nodemeta_options *o);
void nodemeta_free(struct nodemeta *m); /* leaves the node without metadata */
/* A pair without value takes the key away, also one of the settings. ERR_INVALID: a key is no name,
 * or there are too many. */
enum err nodemeta_set(struct nodemeta *m, Pb__KeyValue *const *pairs, size_t count,
                      struct reason *why);
/* {"Dynamic": {key: value or null}, "Meta": what counts, "Static": the settings'} */
json_t *nodemeta_json(const struct nodemeta *m);

#endif
