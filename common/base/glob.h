/* Names with blanks to fill in, as datacenters of jobs are written: "eu-*", "dc?". */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include <stdbool.h>

/* `*` stands for any bytes, also none, `?` for one; all others for themselves. Takes time in
 * proportion to the two lengths multiplied, whatever the pattern. */
bool glob_matches(const char *pattern, const char *text);

#endif
