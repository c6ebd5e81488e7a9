/* Errors: the code is for the program, the reason is for the human. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

enum err {
    OK,
    ERR_INVALID, /* the caller's input is wrong */
    ERR_NOT_FOUND,
    ERR_EXISTS,
    ERR_STALE, /* decided on a state that has changed */
    ERR_NOT_LEADER,
    ERR_BUSY, /* a bounded queue is full */
    ERR_TIMEOUT,
    ERR_UNAVAILABLE, /* cannot serve now */
    ERR_DENIED,
    ERR_NO_SPACE, /* disk or map full */
    ERR_IO,
    ERR_CORRUPT,
    ERR_AGAIN, /* it is under way: who said so tells when to ask again */
};

const char *err_name(enum err e); /* "not found" */

/* The sentence for a person. Outer context comes first: "jobstore cannot open its state: open /x:
 * permission denied". */
struct reason {
    char text[512];
};

/* Sets the text and returns e, so that `return reason_set(why, ERR_INVALID, "...")` reads in one
 * line. why may be NULL. */
enum err reason_set(struct reason *why, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As reason_set, with ": " and the text of errno appended. */
enum err reason_errno(struct reason *why, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts context before what is there, with ": " between, and returns e. */
enum err reason_add(struct reason *why, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A bug: says where and aborts, in release builds too. */
#define must(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__))
_Noreturn void must_failed(const char *cond, const char *file, int line);

/* Never return NULL: out of memory aborts. */
void *xmalloc(size_t size);
void *xcalloc(unsigned long count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
