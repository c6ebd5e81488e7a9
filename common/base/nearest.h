/* The known name that a person most likely meant. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

/* Insertions, deletions, changes and swaps of neighbours, without regard to case; of the first 64
 * bytes of each. */
size_t edit_distance(const char *a, const char *b);

/* The name nearest to word, the first of equals; NULL when none is near enough to be meant: more
 * than a third of the word's letters wrong, or more than three. A name that begins with word, or
 * the other way round, is near too. */
const char *nearest_name(const char *word, const char *const *names, size_t count);

#endif
