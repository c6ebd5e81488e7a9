/* In the place of Criterion where it cannot be: it does not start under the thread sanitizer. The
 * same names for what our tests use of it; lib/t/runner.c runs each test in a process of its own,
 * as Criterion does. */
#ifndef T_CRITERION_H
#define T_CRITERION_H

#include <stdbool.h>
#include <string.h>

struct t_options {
    bool unused;    /* so that there may be none of the others */
    double timeout; /* s */
    void (*init)(void);
    void (*fini)(void);
};

struct t_case {
    const char *suite, *name;
    void (*run)(void);
    struct t_options options;
    struct t_case *next;
};

void t_add(struct t_case *c);
/* Ends the test. */
_Noreturn void t_failed(const char *file, int line, const char *what, const char *format, ...);

#define Test(suite_, name_, ...)                                                                   \
    static void suite_##_##name_##_run(void);                                                      \
    __attribute__((constructor)) static void suite_##_##name_##_add(void)                          \
    {                                                                                              \
        static struct t_case c = {.suite = #suite_,                                                \
                                  .name = #name_,                                                  \
                                  .run = suite_##_##name_##_run,                                   \
                                  .options = {.unused = false, __VA_ARGS__}};                      \
        t_add(&c);                                                                                 \
    }                                                                                              \
    static void suite_##_##name_##_run(void)

#define t_check(cond, what, ...)                                                                   \
    ((cond) ? (void)0 : t_failed(__FILE__, __LINE__, what, "" __VA_ARGS__))

#define cr_assert(cond, ...)         t_check(cond, #cond, __VA_ARGS__)
#define cr_assert_not(cond, ...)     t_check(!(cond), "not " #cond, __VA_ARGS__)
#define cr_assert_null(p, ...)       t_check((p) == NULL, #p " is null", __VA_ARGS__)
#define cr_assert_not_null(p, ...)   t_check((p) != NULL, #p " is not null", __VA_ARGS__)
#define cr_assert_eq(a, b, ...)      t_check((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)     t_check((a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)      t_check((a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)     t_check((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)      t_check((a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)     t_check((a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)  t_check(strcmp(a, b) == 0, #a " is " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) t_check(strcmp(a, b) != 0, #a " is not " #b, __VA_ARGS__)
#define cr_assert_fail(...)          t_failed(__FILE__, __LINE__, "this point is reached", "" __VA_ARGS__)

#endif
