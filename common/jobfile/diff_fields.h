/* The fields of a job's diff: what values look like as text, which are told and in which order. For
 * diff.c. */
#ifndef JOBFILE_DIFF_FIELDS_H
#define JOBFILE_DIFF_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Names without doubles. */
struct keyset {
    const char **list; /* borrowed */
    size_t count, room;
};
void keyset_add(struct keyset *n, const char *name); /* NULL is left out */
void keyset_add_keys(struct keyset *n, const json_t *object);
void keyset_sort(struct keyset *n);
void keyset_free(struct keyset *n);

/* One field. NULL or null: it is not there. quiet_too: it is told, too, if nothing differs. */
void field_add(json_t *fields, const char *name, const json_t *old, const json_t *now,
               bool quiet_too);
void fields_sort(json_t *fields); /* by name, then by the old value */
/* Values at any depth: "args[0]", "Meta[owner]". */
void fields_flattened(json_t *fields, const char *name, const json_t *old, const json_t *now,
                      bool quiet_too);
/* Of an object, with those that do not differ. */
void fields_of_object(json_t *fields, const char *object, const json_t *old, const json_t *now);
/* Of a "Job", "Group" or "Task": only those that differ. */
void fields_of_noun(json_t *fields, const char *noun, const json_t *old, const json_t *now);

bool array_has(const json_t *array, const json_t *value);
bool key_is_map(const char *key); /* "Meta": its keys are the user's */
/* "DynamicPorts" of a "Network" -> "Dynamic Port". */
const char *part_name(const char *of, const char *key);

#endif
