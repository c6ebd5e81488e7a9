#include "sched/pattern.h"
#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Steps and KiB of one match. An attribute is a short text: an honest pattern takes some hundred.
 */
enum { MOST_STEPS = 100000, MOST_DEPTH = 1000, MOST_HEAP_KIB = 1024 };

struct pattern {
    pcre2_code *code;
    pcre2_match_context *context;
    pcre2_match_data *match;
};

static void *on_alloc(size_t size, void *arena)
{
    return arena_try_alloc(arena, size);
}

static void on_free(void *memory, void *arena) {}

static void explain(char *why, size_t size, int error, size_t offset)
{
    char text[128];
    if (why == NULL)
        return;
    if (pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof(text)) < 0)
        snprintf(text, sizeof(text), "not a regular expression");
    snprintf(why, size, "%s (at byte %zu)", text, offset);
}

struct pattern *pattern_new(struct arena *a, const char *text, char *why, size_t why_size)
{
    if (strlen(text) > PATTERN_LONGEST) {
        if (why != NULL)
            snprintf(why, why_size, "longer than %d bytes", PATTERN_LONGEST);
        return NULL;
    }
    int error = 0;
    PCRE2_SIZE offset = 0;
    pcre2_general_context *memory = pcre2_general_context_create(on_alloc, on_free, a);
    pcre2_compile_context *compile = memory != NULL ? pcre2_compile_context_create(memory) : NULL;
    struct pattern *p = arena_alloc(a, sizeof(*p));
    if (compile != NULL)
        p->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                                PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                                compile);
    if (p->code == NULL) {
        explain(why, why_size, error, offset);
        return NULL;
    }
    p->context = pcre2_match_context_create(memory);
    p->match = pcre2_match_data_create(1, memory);
    if (p->context == NULL || p->match == NULL)
        return NULL;
    pcre2_set_match_limit(p->context, MOST_STEPS);
    pcre2_set_depth_limit(p->context, MOST_DEPTH);
    pcre2_set_heap_limit(p->context, MOST_HEAP_KIB);
    return p;
}

bool pattern_matches(const struct pattern *p, const char *text)
{
    return pcre2_match(p->code, (PCRE2_SPTR)text, strlen(text), 0, 0, p->match, p->context) >= 0;
}
