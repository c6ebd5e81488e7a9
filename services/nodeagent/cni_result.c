#include "cni_result.h"
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#define DNS_MOST 64

/* Without the length of the network behind it. */
static void take_address(struct arena *a, Pb__NetworkStatus *s, const char *cidr)
{
    size_t len = cidr == NULL ? 0 : strcspn(cidr, "/");
    char **place = len > 0 && memchr(cidr, ':', len) != NULL ? &s->address_ipv6 : &s->address;
    if (len > 0 && len < 64 && *place == NULL)
        *place = arena_printf(a, "%.*s", (int)len, cidr);
}

static const json_t *interface_at(const json_t *result, const json_t *index)
{
    const json_t *list = json_object_get(result, "interfaces");
    return json_is_integer(index) && json_integer_value(index) >= 0
               ? json_array_get(list, (size_t)json_integer_value(index))
               : NULL;
}

static bool is_inside(const json_t *interface)
{
    const char *sandbox = json_string_value(json_object_get(interface, "sandbox"));
    return sandbox != NULL && sandbox[0] != '\0';
}

/* Addresses of interfaces on the node (a bridge's) are not the allocation's. */
static void take_addresses(struct arena *a, Pb__NetworkStatus *s, const json_t *result)
{
    size_t i;
    json_t *ip;
    json_array_foreach(json_object_get(result, "ips"), i, ip)
    {
        const json_t *interface = interface_at(result, json_object_get(ip, "interface"));
        if (interface == NULL || is_inside(interface))
            take_address(a, s, json_string_value(json_object_get(ip, "address")));
    }
}

static void take_interface(struct arena *a, Pb__NetworkStatus *s, const json_t *result)
{
    size_t i;
    json_t *interface;
    json_array_foreach(json_object_get(result, "interfaces"), i, interface)
    {
        const char *name = json_string_value(json_object_get(interface, "name"));
        if (name != NULL && is_inside(interface) && s->interface_name == NULL)
            s->interface_name = arena_printf(a, "%.64s", name);
    }
}

static char **take_texts(struct arena *a, const json_t *list, size_t *count)
{
    char **texts = arena_array(a, char *, DNS_MOST);
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        const char *text = json_string_value(one);
        if (text != NULL && *count < DNS_MOST && text[0] != '\0' &&
            strpbrk(text, " \t\r\n") == NULL)
            texts[(*count)++] = arena_strdup(a, text);
    }
    return texts;
}

static void take_dns(struct arena *a, Pb__NetworkStatus *s, const json_t *dns)
{
    Pb__Dns *d = arena_alloc(a, sizeof *d);
    pb__dns__init(d);
    d->servers = take_texts(a, json_object_get(dns, "nameservers"), &d->n_servers);
    d->searches = take_texts(a, json_object_get(dns, "search"), &d->n_searches);
    d->options = take_texts(a, json_object_get(dns, "options"), &d->n_options);
    if (d->n_servers + d->n_searches + d->n_options > 0)
        s->dns = d;
}

Pb__NetworkStatus *cni_status(struct arena *a, const char *text, size_t len, struct reason *why)
{
    json_error_t error;
    json_t *result = json_loadb(text, len, 0, &error);
    if (!json_is_object(result)) {
        reason_set(why, ERR_INVALID, "what the plugins say is no result: %s",
                   result == NULL ? error.text : "not an object");
        json_decref(result);
        return NULL;
    }
    Pb__NetworkStatus *s = arena_alloc(a, sizeof *s);
    pb__network_status__init(s);
    take_addresses(a, s, result);
    take_interface(a, s, result);
    take_dns(a, s, json_object_get(result, "dns"));
    json_decref(result);
    return s;
}
