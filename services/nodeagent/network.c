#include "network.h"
#include <string.h>

#define CNI "cni/"

const Pb__Network *network_of(const Pb__TaskGroup *group)
{
    return group->n_networks > 0 ? group->networks[0] : NULL;
}

enum network_kind network_kind_of(const Pb__Network *n)
{
    const char *mode = n == NULL || n->mode == NULL ? "" : n->mode;
    return mode[0] == '\0' || strcmp(mode, "host") == 0 ? NETWORK_HOST
           : strcmp(mode, "none") == 0                  ? NETWORK_NONE
           : strcmp(mode, "bridge") == 0                ? NETWORK_BRIDGE
           : strncmp(mode, CNI, sizeof CNI - 1) == 0    ? NETWORK_CNI
                                                        : NETWORK_UNKNOWN;
}

const char *network_cni_name(const Pb__Network *n)
{
    return n->mode + sizeof CNI - 1;
}

struct netplace network_place(const Pb__Alloc *alloc, uint32_t address)
{
    struct netplace p = {.address = address};
    id_format(alloc->id.data, p.id);
    p.ports = xcalloc(alloc->n_ports + 1, sizeof *p.ports);
    for (size_t i = 0; i < alloc->n_ports && p.port_count < NETPLACE_PORTS_MOST; i++) {
        const Pb__Port *port = alloc->ports[i];
        uint32_t inside = port->to > 0 ? (uint32_t)port->to : port->value;
        if (port->value > 0 && port->value <= UINT16_MAX && inside <= UINT16_MAX)
            p.ports[p.port_count++] = (struct netport){(uint16_t)port->value, (uint16_t)inside};
    }
    return p;
}

/* ---- resolv.conf */

/* The rest of a line that begins with word; NULL: it begins otherwise. */
static const char *rest_after(const char *line, size_t len, const char *word, size_t *rest_len)
{
    size_t n = strlen(word);
    if (len <= n || strncmp(line, word, n) != 0 || (line[n] != ' ' && line[n] != '\t'))
        return NULL;
    while (n < len && (line[n] == ' ' || line[n] == '\t'))
        n++;
    *rest_len = len - n;
    return line + n;
}

static void add_from_host(struct strbuf *out, const char *host, const char *word)
{
    while (*host != '\0') {
        size_t len = strcspn(host, "\n"), rest_len;
        const char *rest = rest_after(host, len, word, &rest_len);
        if (rest != NULL)
            strbuf_printf(out, "%s %.*s\n", word, (int)rest_len, rest);
        host += len + (host[len] == '\n');
    }
}

static void add_list(struct strbuf *out, const char *word, char *const *list, size_t n)
{
    strbuf_puts(out, word);
    for (size_t i = 0; i < n; i++)
        strbuf_printf(out, " %s", list[i]);
    strbuf_putc(out, '\n');
}

void network_resolv(struct strbuf *out, const Pb__Dns *dns, const char *host)
{
    const Pb__Dns none = PB__DNS__INIT;
    const Pb__Dns *d = dns != NULL ? dns : &none;
    for (size_t i = 0; i < d->n_servers; i++)
        strbuf_printf(out, "nameserver %s\n", d->servers[i]);
    if (d->n_servers == 0)
        add_from_host(out, host, "nameserver");
    if (d->n_searches > 0)
        add_list(out, "search", d->searches, d->n_searches);
    else
        add_from_host(out, host, "search");
    if (d->n_options > 0)
        add_list(out, "options", d->options, d->n_options);
    else
        add_from_host(out, host, "options");
}

bool network_resolv_is_stub(const char *host)
{
    bool stub = false;
    while (*host != '\0') {
        size_t len = strcspn(host, "\n"), rest_len;
        const char *rest = rest_after(host, len, "nameserver", &rest_len);
        if (rest != NULL && (rest_len < 10 || strncmp(rest, "127.0.0.53", 10) != 0))
            return false;
        stub |= rest != NULL;
        host += len + (host[len] == '\n');
    }
    return stub;
}
