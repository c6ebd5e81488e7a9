#include "netplace.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_port(const char **at, char until, uint16_t *out)
{
    char *end;
    if (**at < '0' || **at > '9')
        return false;
    unsigned long n = strtoul(*at, &end, 10);
    if (n < 1 || n > 65535 || (*end != until && !(until == ',' && *end == '\0')))
        return false;
    *out = (uint16_t)n;
    *at = end;
    return true;
}

static enum err read_ports(const char *at, struct netplace *p, struct reason *why)
{
    while (*at == ',') {
        struct netport port;
        const char *start = ++at;
        if (!read_port(&at, ':', &port.node) || (at++, !read_port(&at, ',', &port.inside)))
            return reason_set(why, ERR_INVALID, "\"%.40s\" does not begin with PORT:PORT", start);
        if (p->port_count == NETPLACE_PORTS_MOST)
            return reason_set(why, ERR_INVALID, "there are more than %d ports",
                              NETPLACE_PORTS_MOST);
        p->ports = xrealloc(p->ports, (p->port_count + 1) * sizeof *p->ports);
        p->ports[p->port_count++] = port;
    }
    return OK;
}

enum err netplace_parse(const char *text, struct netplace *out, struct reason *why)
{
    uint8_t id[ID_SIZE];
    char address[ADDRESS_TEXT_SIZE] = "";
    *out = (struct netplace){.address = 0};
    size_t len = strcspn(text, "@,");
    snprintf(out->id, sizeof out->id, "%.*s", (int)(len < ID_TEXT_SIZE ? len : 0), text);
    if (!id_parse(out->id, id))
        return reason_set(why, ERR_INVALID, "\"%.60s\" does not begin with an allocation's id",
                          text);
    const char *at = text + len;
    if (*at == '@') {
        len = strcspn(++at, ",");
        if (len < sizeof address)
            snprintf(address, sizeof address, "%.*s", (int)len, at);
        if (!address_parse(address, &out->address) || out->address == 0)
            return reason_set(why, ERR_INVALID, "\"%.60s\" does not begin with an IPv4 address",
                              at);
        at += len;
    }
    enum err e = read_ports(at, out, why);
    if (e != OK)
        netplace_fini(out);
    return e;
}

void netplace_fini(struct netplace *p)
{
    free(p->ports);
    p->ports = NULL;
    p->port_count = 0;
}

void netplace_text(const struct netplace *p, struct strbuf *out)
{
    char address[ADDRESS_TEXT_SIZE];
    strbuf_puts(out, p->id);
    if (p->address != 0) {
        address_format(p->address, address);
        strbuf_printf(out, "@%s", address);
    }
    for (size_t i = 0; i < p->port_count; i++)
        strbuf_printf(out, ",%u:%u", p->ports[i].node, p->ports[i].inside);
}
