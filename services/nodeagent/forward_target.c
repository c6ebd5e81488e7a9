#include "forward_target.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOPBACK "127.0.0.1"

/* 0: no number of a port. */
static unsigned port_number(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    bool digits = text[0] >= '0' && text[0] <= '9' && *end == '\0';
    return digits && n <= UINT16_MAX ? (unsigned)n : 0;
}

static const Pb__Port *find_label(const Pb__Alloc *alloc, const char *label)
{
    for (size_t i = 0; i < alloc->n_ports; i++)
        if (alloc->ports[i]->label != NULL && strcmp(alloc->ports[i]->label, label) == 0)
            return alloc->ports[i];
    return NULL;
}

static bool has_port(const Pb__Alloc *alloc, unsigned number)
{
    for (size_t i = 0; i < alloc->n_ports; i++)
        if (alloc->ports[i]->value == number)
            return true;
    return false;
}

static enum err find_inside(const Pb__NetworkStatus *network, const Pb__Port *port, unsigned number,
                            struct forward_target *out, struct reason *why)
{
    if (network->address == NULL || network->address[0] == '\0')
        return reason_set(why, ERR_INVALID,
                          "the allocation's network has no address that could be reached");
    if (port != NULL)
        number = port->to > 0 ? (unsigned)port->to : port->value;
    out->addresses[0] = network->address;
    snprintf(out->port, sizeof out->port, "%u", number);
    return OK;
}

enum err forward_target_find(const Pb__Alloc *alloc, const Pb__NetworkStatus *network,
                             const char *node_address, const char *wanted,
                             struct forward_target *out, struct reason *why)
{
    const Pb__Port *port = find_label(alloc, wanted);
    unsigned number = port == NULL ? port_number(wanted) : port->value;
    *out = (struct forward_target){{NULL, NULL}, ""};
    if (number == 0)
        return reason_set(why, ERR_INVALID,
                          "\"%.100s\" is neither a port's label of the allocation nor a number",
                          wanted);
    if (network != NULL)
        return find_inside(network, port, number, out, why);
    if (port == NULL && !has_port(alloc, number))
        return reason_set(why, ERR_DENIED,
                          "port %u of the node is not the allocation's: name one of its own",
                          number);
    out->addresses[0] = node_address;
    if (strcmp(node_address, LOOPBACK) != 0)
        out->addresses[1] = LOOPBACK;
    snprintf(out->port, sizeof out->port, "%u", number);
    return OK;
}
