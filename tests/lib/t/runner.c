/* Runs the tests of a program one after another, each in a process of its own, and speaks TAP. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define USUAL_TIMEOUT_S 60

static struct t_case *cases, **end = &cases;

void t_add(struct t_case *c)
{
    *end = c;
    end = &c->next;
}

void t_failed(const char *file, int line, const char *what, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s:%d: not so: %s: ", file, line, what);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(NULL);
    _exit(1);
}

static _Noreturn void run_here(const struct t_case *c)
{
    /* SIGALRM ends it: a test that hangs has failed. */
    alarm(c->options.timeout > 0 ? (unsigned)c->options.timeout : USUAL_TIMEOUT_S);
    if (c->options.init != NULL)
        c->options.init();
    c->run();
    if (c->options.fini != NULL)
        c->options.fini();
    fflush(NULL);
    _exit(0);
}

/* False: it failed. */
static bool run(const struct t_case *c)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        run_here(c);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    if (WIFSIGNALED(status))
        printf("# %s::%s: signal %d\n", c->suite, c->name, WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A name as its only argument: that test alone. */
int main(int argc, char **argv)
{
    const char *only = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
    int number = 0, failed = 0;
    for (const struct t_case *c = cases; c != NULL; c = c->next) {
        if (only != NULL && strcmp(only, c->name) != 0)
            continue;
        bool good = run(c);
        failed += !good;
        printf("%s %d - %s::%s\n", good ? "ok" : "not ok", ++number, c->suite, c->name);
    }
    printf("1..%d\n", number);
    return failed > 0;
}
