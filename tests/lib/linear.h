/* Is a recorded history of one job linearizable? After Wing and Gong, "Testing and verifying
 * concurrent objects" (1993), with the memory of Lowe, "Testing for linearizability" (2017): the
 * operations are put into some order that fits the times at which they began and ended, and in
 * which every read tells what was last written; configurations that were tried are not tried again.
 *
 * A job is a register that is absent at first, is written with values, and may be stopped: a
 * stopped job keeps its value. An operation without an answer may have happened at any time after
 * it began, or never. */
#ifndef TESTS_LINEAR_H
#define TESTS_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum linear_kind { LINEAR_WRITE, LINEAR_STOP, LINEAR_READ };

#define LINEAR_ABSENT  (-1)       /* a value: there is no such job */
#define LINEAR_UNKNOWN UINT64_MAX /* an end: no answer came */
#define LINEAR_MOST    1024       /* operations in one history */

struct linear_op {
    uint64_t begin, end;
    enum linear_kind kind;
    int64_t value; /* written, or read */
    bool stopped;  /* read */
};

/* Whether some order exists. n is at most LINEAR_MOST. *deepest: how many answered operations the
 * best attempt could order; may be NULL. */
bool linear_check(const struct linear_op *ops, size_t n, size_t *deepest);

#endif
