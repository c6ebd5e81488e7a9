#include "unsent.h"
#include "base/err.h"
#include <string.h>

#define MOVE_MIN (64u << 10) /* less is not worth a move */

void unsent_add(struct unsent *u, const void *data, size_t len)
{
    strbuf_add(&u->bytes, data, len);
}

size_t unsent_len(const struct unsent *u)
{
    return u->bytes.len - u->taken;
}

const char *unsent_data(const struct unsent *u)
{
    return strbuf_text(&u->bytes) + u->taken;
}

/* What is left moves to the front once more than that has been taken: each byte is moved once at
 * most for each that is taken. */
void unsent_take(struct unsent *u, size_t len)
{
    must(len <= unsent_len(u));
    u->taken += len;
    size_t left = unsent_len(u);
    if (left > 0 && (u->taken < MOVE_MIN || u->taken < left))
        return;
    if (left > 0)
        memmove(u->bytes.data, u->bytes.data + u->taken, left);
    u->bytes.len = left;
    u->taken = 0;
}

void unsent_clear(struct unsent *u)
{
    strbuf_clear(&u->bytes);
    u->taken = 0;
}

void unsent_free(struct unsent *u)
{
    strbuf_free(&u->bytes);
    u->taken = 0;
}
