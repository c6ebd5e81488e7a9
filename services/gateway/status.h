/* Who leads, and which regions there are. */
#ifndef GATEWAY_STATUS_H
#define GATEWAY_STATUS_H

#include "gateway.h"
#include "gossip.pb-c.h"
#include <jansson.h>

/* "10.0.0.1:4647": the leader's door. False, and nothing written: there is none that we know. */
bool status_leader_address(const struct gateway *g, char out[256]);
/* The region's servers as agents learn of them: where their doors are. */
json_t *status_servers(const struct gateway *g);
/* Each region once that has a server alive, sorted; our own is always there. */
json_t *regions_known(const struct gateway *g, const Pb__Members *members);

#endif
