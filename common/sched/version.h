/* Versions and what is demanded of them: ">= 1.2, < 2", "~> 1.2.3". */
#ifndef SCHED_VERSION_H
#define SCHED_VERSION_H

#include <stdbool.h>

/* Whether version meets every one of the comma separated demands (operators = != < <= > >= ~>;
 * none means =). strict: both sides must be complete semantic versions (semver.org 2.0.0), "~>" is
 * unknown, and a pre-release is ordered as there; else a leading "v" and missing parts are
 * tolerated, and a pre-release meets only a demand that names a pre-release of the same numbers.
 * False also where something cannot be read. */
bool version_satisfies(const char *version, const char *demands, bool strict);

#endif
