#include "mock.h"
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct mock {
    long run_for_ms, kill_after_ms, repeat, repeat_ms, exit_code, exit_signal;
    const char *output;
};

static void read_arguments(struct mock *m, int argc, char **argv)
{
    const struct {
        const char *key;
        long *to;
    } numbers[] = {
        {"run_for_ms=", &m->run_for_ms}, {"kill_after_ms=", &m->kill_after_ms},
        {"repeat=", &m->repeat},         {"repeat_ms=", &m->repeat_ms},
        {"exit_code=", &m->exit_code},   {"exit_signal=", &m->exit_signal},
    };
    for (int i = 0; i < argc; i++) {
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
            size_t len = strlen(numbers[k].key);
            if (strncmp(argv[i], numbers[k].key, len) == 0)
                *numbers[k].to = strtol(argv[i] + len, NULL, 10);
        }
        if (strncmp(argv[i], "output=", 7) == 0)
            m->output = argv[i] + 7;
    }
}

static void print(const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

/* True: a signal that asks us to end came before ms were over. */
static bool wait_ms(const sigset_t *signals, long ms)
{
    struct timespec start, now, left;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        long passed = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
        if (passed >= ms)
            return false;
        left.tv_sec = (ms - passed) / 1000;
        left.tv_nsec = (ms - passed) % 1000 * 1000000;
        if (sigtimedwait(signals, NULL, &left) > 0)
            return true;
    }
}

int mock_main(int argc, char **argv)
{
    struct mock m = {.repeat = 0};
    read_arguments(&m, argc, argv);
    prctl(PR_SET_NAME, "mock");
    sigset_t ends, none;
    sigemptyset(&none);
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGQUIT);
    sigaddset(&ends, SIGHUP);
    sigaddset(&ends, SIGUSR1);
    sigaddset(&ends, SIGUSR2);
    sigprocmask(SIG_SETMASK, &ends, NULL);

    if (m.output != NULL)
        print(m.output);
    long waited = 0;
    bool asked = false;
    for (; m.output != NULL && m.repeat > 0 && !asked && waited < m.run_for_ms; m.repeat--) {
        asked = wait_ms(&ends, m.repeat_ms);
        waited += m.repeat_ms;
        if (!asked)
            print(m.output);
    }
    if (!asked)
        asked = wait_ms(&ends, m.run_for_ms - waited);
    if (asked) {
        struct timespec rest = {m.kill_after_ms / 1000, m.kill_after_ms % 1000 * 1000000};
        nanosleep(&rest, NULL);
        return 0;
    }
    if (m.exit_signal > 0 && m.exit_signal < 65) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal((int)m.exit_signal, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        raise((int)m.exit_signal);
    }
    return (int)m.exit_code;
}
