/* IPv4 networks as "172.26.64.0/20", and which of their addresses are given out. Addresses are
 * numbers in the host's order. Pure. */
#ifndef NODEAGENT_NETNS_SUBNET_H
#define NODEAGENT_NETNS_SUBNET_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct subnet {
    uint32_t base;
    unsigned bits; /* 16 to 29 */
};

#define ADDRESS_TEXT_SIZE 16

enum err subnet_parse(const char *text, struct subnet *out, struct reason *why);
uint32_t subnet_gateway(const struct subnet *s); /* the first address, the bridge's own */
uint32_t subnet_broadcast(const struct subnet *s);
bool address_parse(const char *text, uint32_t *out);
void address_format(uint32_t address, char out[ADDRESS_TEXT_SIZE]);

/* Given out in turn, so that one that was given back rests as long as it can: others still have it
 * in their neighbour tables. */
struct addresses {
    struct subnet subnet;
    uint32_t last;  /* given out; an offset from the base */
    uint64_t *used; /* a bit for each offset */
};

void addresses_init(struct addresses *a, const struct subnet *s);
void addresses_fini(struct addresses *a);
/* 0: all are given out. */
uint32_t addresses_take(struct addresses *a);
/* One that was given out before we began; of another subnet: nothing is noted. */
void addresses_keep(struct addresses *a, uint32_t address);
void addresses_give_back(struct addresses *a, uint32_t address);

#endif
