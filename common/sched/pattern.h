/* Regular expressions of constraints, compiled once and matched often. PCRE2's dialect, UTF-8; a
 * pattern matches where it is found anywhere in the text, as in Nomad. What a job's author may
 * write can take only so much time and memory: one that needs more does not match. */
#ifndef SCHED_PATTERN_H
#define SCHED_PATTERN_H

#include "base/arena.h"
#include <stdbool.h>
#include <stddef.h>

#define PATTERN_LONGEST 1024

struct pattern;

/* Lives in a; nothing is to be freed. NULL: not a pattern, and why says what is wrong with it and
 * where. why may be NULL. */
struct pattern *pattern_new(struct arena *a, const char *text, char *why, size_t why_size);
bool pattern_matches(const struct pattern *p, const char *text);

#endif
