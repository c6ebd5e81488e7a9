#include "subnet.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool address_parse(const char *text, uint32_t *out)
{
    struct in_addr in;
    if (inet_pton(AF_INET, text, &in) != 1)
        return false;
    *out = ntohl(in.s_addr);
    return true;
}

void address_format(uint32_t address, char out[ADDRESS_TEXT_SIZE])
{
    const struct in_addr in = {htonl(address)};
    inet_ntop(AF_INET, &in, out, ADDRESS_TEXT_SIZE);
}

static uint32_t size_of(const struct subnet *s)
{
    return 1u << (32 - s->bits);
}

enum err subnet_parse(const char *text, struct subnet *out, struct reason *why)
{
    char address[ADDRESS_TEXT_SIZE];
    const char *slash = strchr(text, '/');
    char *end = NULL;
    unsigned long bits = slash == NULL ? 0 : strtoul(slash + 1, &end, 10);
    struct subnet s = {.bits = (unsigned)bits};
    if (slash == NULL || end == slash + 1 || *end != '\0' || bits < 16 || bits > 29 ||
        (size_t)(slash - text) >= sizeof address)
        return reason_set(why, ERR_INVALID,
                          "\"%.60s\" is not an IPv4 network such as 172.26.64.0/20, with 16 to 29 "
                          "bits",
                          text);
    snprintf(address, sizeof address, "%.*s", (int)(slash - text), text);
    if (!address_parse(address, &s.base))
        return reason_set(why, ERR_INVALID, "\"%.60s\": \"%s\" is not an IPv4 address", text,
                          address);
    if ((s.base & (size_of(&s) - 1)) != 0)
        return reason_set(why, ERR_INVALID,
                          "\"%.60s\" is not the first address of a network of %u bits", text,
                          s.bits);
    *out = s;
    return OK;
}

uint32_t subnet_gateway(const struct subnet *s)
{
    return s->base + 1;
}

uint32_t subnet_broadcast(const struct subnet *s)
{
    return s->base + size_of(s) - 1;
}

/* ---- given out */

static void set_used(struct addresses *a, uint32_t offset, bool used)
{
    uint64_t bit = 1ull << (offset % 64);
    if (used)
        a->used[offset / 64] |= bit;
    else
        a->used[offset / 64] &= ~bit;
}

void addresses_init(struct addresses *a, const struct subnet *s)
{
    *a = (struct addresses){.subnet = *s, .last = 1};
    a->used = xcalloc(size_of(s) / 64 + 1, sizeof *a->used);
    set_used(a, 0, true);
    set_used(a, 1, true); /* the gateway */
    set_used(a, size_of(s) - 1, true);
}

void addresses_fini(struct addresses *a)
{
    free(a->used);
    a->used = NULL;
}

uint32_t addresses_take(struct addresses *a)
{
    uint32_t size = size_of(&a->subnet);
    for (uint32_t i = 1; i <= size; i++) {
        uint32_t offset = (a->last + i) % size;
        if ((a->used[offset / 64] >> (offset % 64) & 1) != 0)
            continue;
        set_used(a, offset, true);
        a->last = offset;
        return a->subnet.base + offset;
    }
    return 0;
}

static bool is_inside(const struct addresses *a, uint32_t address)
{
    return address > subnet_gateway(&a->subnet) && address < subnet_broadcast(&a->subnet);
}

void addresses_keep(struct addresses *a, uint32_t address)
{
    if (!is_inside(a, address))
        return;
    set_used(a, address - a->subnet.base, true);
    if (address - a->subnet.base > a->last)
        a->last = address - a->subnet.base;
}

void addresses_give_back(struct addresses *a, uint32_t address)
{
    if (is_inside(a, address))
        set_used(a, address - a->subnet.base, false);
}
