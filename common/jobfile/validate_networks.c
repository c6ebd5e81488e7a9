/* What is wrong with networks and their ports. */
#include "problems.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_LABEL = 64 };

static int compare_ports(const void *a, const void *b)
{
    const Pb__Port *x = *(Pb__Port *const *)a, *y = *(Pb__Port *const *)b;
    return (x->value > y->value) - (x->value < y->value);
}

static int compare_labels(const void *a, const void *b)
{
    const Pb__Port *x = *(Pb__Port *const *)a, *y = *(Pb__Port *const *)b;
    return strcmp(x->label, y->label);
}

/* Becomes part of a variable's name. */
static void validate_label(struct texts *errors, const Pb__Port *port)
{
    const char *label = port->label == NULL ? "" : port->label;
    if (*label == '\0')
        texts_add(errors, "Missing port label");
    else if (strlen(label) > LONGEST_LABEL)
        texts_add(errors, "Port label is %zu bytes long, at most %d are allowed: \"%.20s...\"",
                  strlen(label), LONGEST_LABEL, label);
    else
        for (const char *c = label; *c != '\0'; c++)
            if ((unsigned char)*c <= ' ' || *c == '/' || *c == '=' || *c == 0x7f) {
                texts_add(errors, "Port label \"%s\" cannot include spaces, slashes or \"=\"",
                          label);
                break;
            }
}

static void collect_ports(struct texts *errors, const Pb__Network *n, Pb__Port **all, size_t *count,
                          Pb__Port **fixed, size_t *fixed_count)
{
    for (size_t i = 0; i < n->n_reserved_ports; i++) {
        Pb__Port *p = n->reserved_ports[i];
        all[(*count)++] = p;
        fixed[(*fixed_count)++] = p;
        if (p->value < 1 || p->value > 65535)
            texts_add(errors,
                      "Static port %d of \"%.60s\" is out of range: must be from 1 to 65535",
                      (int)p->value, p->label == NULL ? "" : p->label);
    }
    for (size_t i = 0; i < n->n_dynamic_ports; i++)
        all[(*count)++] = n->dynamic_ports[i];
}

static bool has_own_network(const Pb__Network *n)
{
    return n->mode != NULL && n->mode[0] != '\0' && strcmp(n->mode, "host") != 0;
}

/* What is behind "cni/" becomes a part of an argument. */
static bool is_cni(const char *mode)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t len = strlen(mode);
    return strncmp(mode, "cni/", 4) == 0 && len > 4 && len <= 4 + LONGEST_LABEL &&
           strchr("_.-", mode[4]) == NULL && strspn(mode + 4, letters) == len - 4;
}

static void validate_mode(struct texts *errors, const Pb__Network *n)
{
    if (has_own_network(n) && strcmp(n->mode, "bridge") != 0 && strcmp(n->mode, "none") != 0 &&
        !is_cni(n->mode))
        texts_add(errors,
                  "Network mode \"%.60s\" is not known: use \"host\", \"bridge\", \"none\" or "
                  "\"cni/NAME\"",
                  n->mode);
    if (n->hostname != NULL && n->hostname[0] != '\0' && !has_own_network(n))
        texts_add(
            errors,
            "Network hostname \"%.60s\" needs a network of its own: set mode to \"bridge\" or "
            "\"none\"",
            n->hostname);
    if (n->n_cni_args > 0 && (!has_own_network(n) || !is_cni(n->mode)))
        texts_add(errors, "Network cni_args need mode \"cni/NAME\"");
    for (size_t i = 0; i < n->n_cni_args; i++) {
        const char *value = n->cni_args[i]->value == NULL ? "" : n->cni_args[i]->value;
        if (strpbrk(n->cni_args[i]->key, ";=") != NULL || strpbrk(value, ";=") != NULL)
            texts_add(errors, "Network cni_args: \"%.60s\" and its value must be without ; and =",
                      n->cni_args[i]->key);
    }
}

/* Becomes a part of a line of resolv.conf. */
static void validate_dns_part(struct texts *errors, const char *what, char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i][0] == '\0' || strpbrk(list[i], " \t\r\n") != NULL)
            texts_add(errors, "Network dns: \"%.60s\" cannot be one of the %s: spaces divide them",
                      list[i], what);
}

static void validate_dns(struct texts *errors, const Pb__Dns *dns)
{
    if (dns == NULL)
        return;
    validate_dns_part(errors, "servers", dns->servers, dns->n_servers);
    validate_dns_part(errors, "searches", dns->searches, dns->n_searches);
    validate_dns_part(errors, "options", dns->options, dns->n_options);
}

void validate_networks(struct texts *errors, Pb__Network *const *networks, size_t count,
                       const char *where)
{
    size_t room = 0, labels = 0, values = 0;
    for (size_t i = 0; i < count; i++)
        room += networks[i]->n_reserved_ports + networks[i]->n_dynamic_ports;
    Pb__Port **all = arena_array(errors->arena, Pb__Port *, room + 1);
    Pb__Port **fixed = arena_array(errors->arena, Pb__Port *, room + 1);
    for (size_t i = 0; i < count; i++) {
        validate_mode(errors, networks[i]);
        validate_dns(errors, networks[i]->dns);
        collect_ports(errors, networks[i], all, &labels, fixed, &values);
    }
    size_t named = 0;
    for (size_t i = 0; i < labels; i++) {
        validate_label(errors, all[i]);
        if (all[i]->label != NULL)
            all[named++] = all[i];
    }
    qsort(all, named, sizeof(*all), compare_labels);
    qsort(fixed, values, sizeof(*fixed), compare_ports);
    for (size_t i = 1; i < named; i++)
        if (strcmp(all[i - 1]->label, all[i]->label) == 0)
            texts_add(errors, "Port label %.60s already in use by %s", all[i]->label, where);
    for (size_t i = 1; i < values; i++)
        if (fixed[i - 1]->value == fixed[i]->value)
            texts_add(errors, "Static port %u already reserved by %s:%.60s", fixed[i]->value, where,
                      fixed[i - 1]->label == NULL ? "" : fixed[i - 1]->label);
}
