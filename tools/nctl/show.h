/* How things look to people: ids, times, sizes, and why a placement failed; and reading the JSON
 * they are in. */
#ifndef NCTL_SHOW_H
#define NCTL_SHOW_H

#include "client.h"
#include "table.h"
#include <stdint.h>

/* Never NULL: a missing or other value is "", 0, false, or JSON null. */
const char *text_at(const json_t *object, const char *key);
int64_t number_at(const json_t *object, const char *key);
bool flag_at(const json_t *object, const char *key);
json_t *value_at(const json_t *object, const char *key);

/* What tells an id from its neighbours: of version 7, whose first half is the time, the first four
 * groups; of others, which are random, the first. whole: all of it. From a ring of 32 buffers. */
const char *show_id(const char *id, bool whole);
enum { SHORT_TIMED_ID = 23, SHORT_RANDOM_ID = 8 };

/* Nanoseconds since 1970. "1m36s ago"; exact: RFC 3339; 0: "N/A". From the same ring. */
const char *show_time(int64_t ns, bool exact);
/* RFC 3339 text to nanoseconds; 0: not one. */
int64_t time_parse(const char *text);
const char *show_age(int64_t ns, int64_t now_ns); /* "1m36s ago" */
const char *show_seconds(int64_t seconds);        /* "1h51m28s" */
const char *show_bytes(double bytes);             /* "4.0 KiB" */
/* printf into the same ring. */
const char *show(const char *format, ...) __attribute__((format(printf, 1, 2)));

void print_json(const json_t *value); /* indented by four, on stdout */

/* The keys of an object in order; the caller frees the array. */
const char **sorted_keys(const json_t *object, size_t *count);

/* "  * Constraint "x": 1 nodes excluded by filter", one line each, behind indent. */
void print_placement_failure(const json_t *metrics, const char *indent);
/* Per group of FailedTGAllocs: "Task Group "g" (failed to place 2 allocations):" and its lines. */
void print_placement_failures(const json_t *failed_groups, const char *indent, bool with_count);
/* The table of nodes and their scores. False: there are none. */
bool print_scores(const json_t *metrics, bool whole_ids, bool colors);

/* The section "Allocations" of a job or node; whole: with whole ids and exact times. */
void print_allocs(const json_t *allocs, bool whole, bool colors);

#endif
