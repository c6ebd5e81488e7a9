/* A node as Nomad shows it: what it has, in the newer and the older form. Pure. */
#ifndef GATEWAY_NODE_JSON_H
#define GATEWAY_NODE_JSON_H

#include "types.pb-c.h"
#include <jansson.h>
#include <stdbool.h>

json_t *node_stub_json(const Pb__Node *n, bool with_resources);
json_t *node_full_json(const Pb__Node *n);

#endif
