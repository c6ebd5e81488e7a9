#include "cores.h"
#include "base/strbuf.h"
#include <stdlib.h>
#include <string.h>

void core_set_add(struct core_set *s, uint32_t core)
{
    if (core < CORES_MOST)
        s->bits[core / 64] |= 1ull << core % 64;
}

bool core_set_has(const struct core_set *s, uint32_t core)
{
    return core < CORES_MOST && (s->bits[core / 64] >> core % 64 & 1) != 0;
}

uint32_t core_set_count(const struct core_set *s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < COUNT_OF(s->bits); i++)
        n += (uint32_t)__builtin_popcountll(s->bits[i]);
    return n;
}

struct core_set core_set_without(const struct core_set *s, const struct core_set *other)
{
    struct core_set rest = *s;
    for (size_t i = 0; i < COUNT_OF(rest.bits); i++)
        rest.bits[i] &= ~other->bits[i];
    return rest;
}

static bool read_number(const char **text, uint32_t *out)
{
    const char *p = *text;
    *out = 0;
    for (; *p >= '0' && *p <= '9' && *out < CORES_MOST; p++)
        *out = *out * 10 + (uint32_t)(*p - '0');
    bool read = p != *text && *out < CORES_MOST;
    *text = p;
    return read;
}

bool core_set_parse(struct core_set *s, const char *text)
{
    *s = (struct core_set){{0}};
    while (*text == ' ')
        text++;
    while (*text != '\0') {
        uint32_t first, last;
        if (!read_number(&text, &first))
            return false;
        last = first;
        if (*text == '-' && (text++, !read_number(&text, &last)))
            return false;
        for (; first <= last; first++)
            core_set_add(s, first);
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            return false;
        while (*text == ' ')
            text++;
    }
    return true;
}

char *core_set_text(const struct core_set *s, struct arena *a)
{
    struct strbuf b = STRBUF_INIT;
    for (uint32_t i = 0; i < CORES_MOST; i++) {
        if (!core_set_has(s, i))
            continue;
        uint32_t last = i;
        while (core_set_has(s, last + 1))
            last++;
        strbuf_printf(&b, last > i ? "%s%u-%u" : "%s%u", b.len > 0 ? "," : "", i, last);
        i = last;
    }
    char *text = arena_strdup(a, strbuf_text(&b));
    strbuf_free(&b);
    return text;
}

void core_set_add_grants(struct core_set *s, Pb__TaskGrant *const *grants, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < grants[i]->n_cores; k++)
            core_set_add(s, grants[i]->cores[k]);
}

struct core_set cores_shared(const Pb__Node *node, const struct core_set *given)
{
    struct core_set all = {{0}};
    for (size_t i = 0; i < node->n_reservable_cores; i++)
        core_set_add(&all, node->reservable_cores[i]);
    struct core_set rest = core_set_without(&all, given);
    return core_set_count(&rest) > 0 ? rest : all;
}

/* What the reserved cores are in MHz, unless more is reserved anyway. */
static void reserve_cpu(Pb__Node *node, uint32_t cores)
{
    uint64_t mhz = node->cores > 0 ? (uint64_t)node->total->cpu * cores / node->cores : 0;
    if (node->reserved != NULL && node->reserved->cpu < mhz) {
        node->reserved->has_cpu = true;
        node->reserved->cpu = (uint32_t)mhz;
    }
}

enum err cores_describe(struct arena *a, const char *online, const char *reserved, Pb__Node *node,
                        struct reason *why)
{
    struct core_set all, kept;
    if (!core_set_parse(&kept, reserved))
        return reason_set(why, ERR_INVALID,
                          "reserved_cores: \"%.60s\" is no list of cores such as 0-1,4", reserved);
    if (!core_set_parse(&all, online))
        return reason_set(why, ERR_INVALID, "the kernel's list of cores cannot be read: \"%.60s\"",
                          online);
    struct core_set rest = core_set_without(&all, &kept);
    uint32_t count = core_set_count(&rest);
    if (count == 0 && core_set_count(&all) > 0)
        return reason_set(why, ERR_INVALID, "reserved_cores: \"%.60s\" leaves no core for any task",
                          reserved);
    node->reservable_cores = arena_array(a, uint32_t, count + 1);
    for (uint32_t i = 0; i < CORES_MOST; i++)
        if (core_set_has(&rest, i))
            node->reservable_cores[node->n_reservable_cores++] = i;
    reserve_cpu(node, core_set_count(&all) - count);
    return OK;
}
