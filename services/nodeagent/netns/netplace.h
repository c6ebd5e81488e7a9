/* One allocation's network as the agent names it to tasknet: "ID", "ID@ADDRESS",
 * "ID,8080:80" or "ID@ADDRESS,8080:80,22001:22001" with the node's ports and the allocation's
 * behind them. Pure. */
#ifndef NODEAGENT_NETNS_NETPLACE_H
#define NODEAGENT_NETNS_NETPLACE_H

#include "base/err.h"
#include "base/id.h"
#include "base/strbuf.h"
#include "subnet.h"

#define NETPLACE_PORTS_MOST 1024

struct netport {
    uint16_t node, inside;
};

struct netplace {
    char id[ID_TEXT_SIZE];
    uint32_t address; /* 0: none */
    struct netport *ports;
    size_t port_count;
};

enum err netplace_parse(const char *text, struct netplace *out, struct reason *why);
void netplace_fini(struct netplace *p);
void netplace_text(const struct netplace *p, struct strbuf *out);

#endif
