#include "base/arena.h"
#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT     16u
#define FIRST_BLOCK   2048u /* small: a request's arena seldom needs more */
#define LARGEST_BLOCK (1u << 20)

struct block {
    struct block *older;
    size_t size, used; /* of data */
    _Alignas(ALIGNMENT) unsigned char data[];
};

struct arena {
    struct block *newest;
    size_t cap;
    size_t held; /* bytes of all blocks' data */
};

struct arena *arena_new(size_t cap)
{
    struct arena *a = xcalloc(1, sizeof(*a));
    a->cap = cap;
    return a;
}

static void free_blocks(struct block *b)
{
    while (b != NULL) {
        struct block *older = b->older;
        free(b);
        b = older;
    }
}

void arena_free(struct arena *a)
{
    if (a == NULL)
        return;
    free_blocks(a->newest);
    free(a);
}

void arena_reset(struct arena *a)
{
    struct block *kept = a->newest;
    if (kept == NULL)
        return;
    while (kept->older != NULL) { /* the first and smallest one stays */
        struct block *older = kept->older;
        free(kept);
        kept = older;
    }
    kept->used = 0;
    a->newest = kept;
    a->held = kept->size;
}

static struct block *add_block(struct arena *a, size_t need)
{
    size_t size = a->newest == NULL ? FIRST_BLOCK : a->held; /* as much again as there is */
    if (size > LARGEST_BLOCK)
        size = LARGEST_BLOCK;
    if (size < need)
        size = need;
    if (a->held + size > a->cap)
        size = need; /* the last bytes under the cap are usable too */
    if (size > a->cap || a->held > a->cap - size)
        return NULL;
    struct block *b = xmalloc(sizeof(*b) + size);
    *b = (struct block){.older = a->newest, .size = size};
    a->newest = b;
    a->held += size;
    return b;
}

void *arena_try_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - ALIGNMENT)
        return NULL;
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct block *b = a->newest;
    if (b == NULL || b->size - b->used < size) {
        b = add_block(a, size);
        if (b == NULL)
            return NULL;
    }
    void *p = b->data + b->used;
    b->used += size;
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    void *p = arena_try_alloc(a, size);
    must(p != NULL);
    return memset(p, 0, size);
}

void *arena_copy(struct arena *a, const void *data, size_t size)
{
    void *p = arena_alloc(a, size);
    if (size > 0)
        memcpy(p, data, size);
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_copy(a, s, strlen(s) + 1);
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    must(len >= 0);
    char *text = arena_alloc(a, (size_t)len + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}

size_t arena_used(const struct arena *a)
{
    size_t used = 0;
    for (const struct block *b = a->newest; b != NULL; b = b->older)
        used += b->used;
    return used;
}
