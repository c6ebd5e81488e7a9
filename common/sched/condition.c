#include "sched/condition.h"
#include <string.h>

void condition_side(struct side *s, struct arena *a, const char *target)
{
    char key[TARGET_LONGEST];
    *s = (struct side){.text = target != NULL ? target : "", .is_unique = target_is_unique(target)};
    if (target_key(target, key, sizeof(key))) {
        s->is_key = true;
        s->text = arena_strdup(a, key);
    }
}

void condition_init(struct condition *c, struct arena *a, const char *left, const char *operand,
                    const char *right)
{
    *c = (struct condition){.operand = operand_parse(operand), .arena = a};
    condition_side(&c->left, a, left);
    condition_side(&c->right, a, right);
    c->is_unique = c->left.is_unique || c->right.is_unique;
    if (c->operand == OPERAND_REGEXP && !c->right.is_key)
        c->pattern = pattern_new(a, c->right.text, NULL, 0);
}

const char *condition_resolve(const struct side *s, const struct texts *kind,
                              const struct texts *unique)
{
    if (!s->is_key)
        return s->text;
    if (!s->is_unique) /* what is ours begins with "!" and is nobody's to look at */
        return s->text[0] != '!' ? texts_get(kind, s->text) : NULL;
    return unique != NULL ? texts_get(unique, s->text) : NULL;
}

static bool matches(const struct condition *c, const char *left, const char *right)
{
    const struct pattern *p = c->pattern;
    if (p == NULL && c->right.is_key && right != NULL)
        p = pattern_new(c->arena, right, NULL, 0);
    return p != NULL && left != NULL && pattern_matches(p, left);
}

bool condition_holds(const struct condition *c, const struct texts *kind,
                     const struct texts *unique)
{
    const char *left = condition_resolve(&c->left, kind, unique),
               *right = condition_resolve(&c->right, kind, unique);
    return c->operand == OPERAND_REGEXP ? matches(c, left, right)
                                        : operand_holds(c->operand, left, right);
}
