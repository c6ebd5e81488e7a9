#include "swim.h"
#include "base/arena.h"
#include "base/err.h"
#include "wire/wire.h"
#include <stdlib.h>

#define MEMBER_BYTES (1u << 16)

struct swim {
    struct arena *arena; /* the member and its texts */
    Pb__Member *self;
    Pb__Member *all[1];
    Pb__Members members;
};

struct swim *swim_new(const Pb__Member *self)
{
    struct swim *s = xcalloc(1, sizeof(*s));
    s->arena = arena_new(MEMBER_BYTES);
    s->self = (Pb__Member *)wire_clone(s->arena, &self->base);
    s->self->has_status = 1;
    s->self->status = PB__MEMBER__STATUS__ALIVE;
    s->all[0] = s->self;
    pb__members__init(&s->members);
    s->members.members = s->all;
    s->members.n_members = COUNT_OF(s->all);
    s->members.self = s->self->name;
    return s;
}

void swim_free(struct swim *s)
{
    if (s == NULL)
        return;
    arena_free(s->arena);
    free(s);
}

const Pb__Members *swim_members(const struct swim *s)
{
    return &s->members;
}

void swim_leave(struct swim *s)
{
    s->self->status = PB__MEMBER__STATUS__LEFT;
}
