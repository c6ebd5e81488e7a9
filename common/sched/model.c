#include "sched/model.h"
#include "base/err.h"
#include "sched/quantity.h"
#include <stdlib.h>
#include <string.h>

#define BETWEEN '\x1f' /* stands in no text of a device: wire/grant.h */

/* ---- between a node's record and a kind's texts */

static void add_part(struct strbuf *b, const char *text)
{
    if (b->len > 0)
        strbuf_puts(b, "\x1f");
    strbuf_puts(b, text != NULL ? text : "");
}

void model_encode(struct strbuf *out, const Pb__NodeDevice *d)
{
    strbuf_clear(out);
    add_part(out, d->vendor);
    add_part(out, d->type);
    add_part(out, d->name);
    strbuf_printf(out, "\x1f%zu", d->n_instances);
    for (size_t i = 0; i < d->n_attributes; i++) {
        add_part(out, d->attributes[i]->key);
        add_part(out, d->attributes[i]->value);
    }
}

/* The next part of an encoded device; it ends where the text does. */
static const char *next_part(const char **at, size_t *len)
{
    const char *start = *at, *end = start != NULL ? strchr(start, BETWEEN) : NULL;
    *len = start == NULL ? 0 : end != NULL ? (size_t)(end - start) : strlen(start);
    *at = end != NULL ? end + 1 : NULL;
    return start;
}

static void put_text(struct strbuf *b, const char *prefix, const char *key, size_t key_len,
                     const char *value, size_t value_len)
{
    strbuf_puts(b, prefix);
    strbuf_add(b, key, key_len);
    strbuf_add(b, "", 1);
    if (value_len > 0)
        strbuf_add(b, value, value_len);
    strbuf_add(b, "", 1);
}

static struct model decode(const char *encoded)
{
    static const char *const fixed[] = {"device.vendor", "device.type", "device.model"};
    struct strbuf b = STRBUF_INIT;
    const char *at = encoded;
    size_t len, value_len;
    for (size_t i = 0; i < COUNT_OF(fixed); i++) {
        const char *part = next_part(&at, &len);
        put_text(&b, fixed[i], "", 0, part, len);
    }
    struct model m = {.instances = (uint32_t)strtoul(next_part(&at, &len), NULL, 10)};
    while (at != NULL) {
        const char *key = next_part(&at, &len), *value = next_part(&at, &value_len);
        put_text(&b, "device.attr.", key, len, value, value_len);
    }
    m.texts = (struct texts){.data = xmalloc(b.len), .size = b.len};
    memcpy(m.texts.data, b.data, b.len);
    strbuf_free(&b);
    m.vendor = texts_get(&m.texts, fixed[0]);
    m.type = texts_get(&m.texts, fixed[1]);
    m.name = texts_get(&m.texts, fixed[2]);
    return m;
}

struct model *models_new(const struct texts *kind, uint32_t *count)
{
    struct model *models = NULL;
    uint32_t n = 0;
    for (const char *s = kind->data; s < kind->data + kind->size;) {
        const char *value = s + strlen(s) + 1;
        if (strcmp(s, MODEL_KEY) == 0) {
            models = xrealloc(models, (n + 1) * sizeof(*models));
            models[n++] = decode(value);
        }
        s = value + strlen(value) + 1;
    }
    *count = n;
    return models;
}

void models_free(struct model *models, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(models[i].texts.data);
    free(models);
}

/* ---- what is asked of them */

static bool is_part(const char *text, const char *name, size_t len)
{
    return strlen(text) == len && memcmp(text, name, len) == 0;
}

bool model_is(const struct model *m, const char *name)
{
    const char *first = strchr(name, '/'), *second = first != NULL ? strchr(first + 1, '/') : NULL;
    if (first == NULL)
        return strcmp(m->type, name) == 0;
    if (!is_part(m->vendor, name, (size_t)(first - name)))
        return false;
    if (second == NULL)
        return strcmp(m->type, first + 1) == 0;
    return is_part(m->type, first + 1, (size_t)(second - first - 1)) &&
           strcmp(m->name, second + 1) == 0;
}

static bool compares(enum operand o, const struct quantity *l, const struct quantity *r)
{
    if (l->of != r->of)
        return o == OPERAND_NOT_EQUAL;
    switch (o) {
    case OPERAND_EQUAL:
        return l->value == r->value;
    case OPERAND_NOT_EQUAL:
        return l->value != r->value;
    case OPERAND_LESS:
        return l->value < r->value;
    case OPERAND_LESS_EQUAL:
        return l->value <= r->value;
    case OPERAND_GREATER:
        return l->value > r->value;
    default:
        return l->value >= r->value;
    }
}

bool model_condition_holds(const struct condition *c, const struct model *m)
{
    bool orders = c->operand >= OPERAND_EQUAL && c->operand <= OPERAND_GREATER_EQUAL;
    struct quantity left, right;
    if (orders && quantity_parse(condition_resolve(&c->left, &m->texts, NULL), &left) &&
        quantity_parse(condition_resolve(&c->right, &m->texts, NULL), &right) &&
        (left.of != PLAIN || right.of != PLAIN))
        return compares(c->operand, &left, &right);
    return condition_holds(c, &m->texts, NULL);
}
