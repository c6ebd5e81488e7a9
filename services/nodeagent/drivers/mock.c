/* mock: does nothing, as told. For trying out jobs and for tests. It runs as a real process under a
 * real taskshim, so that everything around it is what other tasks get. */
#include "driver.h"
#include <string.h>

static const char *const keys[] = {
    "run_for",
    "exit_code",
    "exit_signal",
    "exit_err_msg",
    "start_error",
    "start_error_recoverable",
    "start_block_for",
    "kill_after",
    "signal_error",
    "output",
    "stdout_string",
    "stdout_repeat",
    "stdout_repeat_duration",
    NULL,
};

struct mock {
    int64_t run_for_ms, exit_code, exit_signal, start_block_ms, kill_after_ms, repeat, repeat_ms;
    const char *start_error, *output, *ignored;
    bool recoverable;
};

static enum err read_config(const struct driver_ask *ask, struct mock *m, struct reason *why)
{
    enum err e = config_duration_ms(ask, "run_for", &m->run_for_ms, why);
    const struct {
        const char *key;
        int64_t *to;
        enum err (*read)(const struct driver_ask *, const char *, int64_t *, struct reason *);
    } numbers[] = {
        {"exit_code", &m->exit_code, config_number},
        {"exit_signal", &m->exit_signal, config_number},
        {"stdout_repeat", &m->repeat, config_number},
        {"start_block_for", &m->start_block_ms, config_duration_ms},
        {"kill_after", &m->kill_after_ms, config_duration_ms},
        {"stdout_repeat_duration", &m->repeat_ms, config_duration_ms},
    };
    const struct {
        const char *key;
        const char **to;
    } texts[] = {
        {"start_error", &m->start_error}, {"stdout_string", &m->output}, {"output", &m->output},
        {"exit_err_msg", &m->ignored}, /* a real process has nothing to say beside its code */
        {"signal_error", &m->ignored},
    };
    for (size_t i = 0; e == OK && i < COUNT_OF(numbers); i++)
        e = numbers[i].read(ask, numbers[i].key, numbers[i].to, why);
    for (size_t i = 0; e == OK && i < COUNT_OF(texts); i++)
        e = config_text(ask, texts[i].key, texts[i].to, why);
    if (e == OK)
        e = config_bool(ask, "start_error_recoverable", &m->recoverable, why);
    if (e == OK && (m->exit_code < 0 || m->exit_code > 255))
        e = reason_set(why, ERR_INVALID, "config key \"exit_code\" must be 0 to 255");
    if (e == OK && (m->exit_signal < 0 || m->exit_signal > 64))
        e = reason_set(why, ERR_INVALID, "config key \"exit_signal\" must be 0 to 64");
    return e;
}

static enum err plan(const struct driver_ask *ask, struct driver_plan *out, struct reason *why)
{
    struct mock m = {.run_for_ms = 0};
    enum err e = read_config(ask, &m, why);
    if (e != OK)
        return e;
    out->recoverable = m.recoverable;
    if (m.start_error != NULL && *m.start_error != '\0')
        return reason_set(why, ERR_UNAVAILABLE, "%s", m.start_error);
    struct arena *a = ask->arena;
    out->program = ask->host->shim;
    out->start_delay_ms = (uint32_t)m.start_block_ms;
    out->argv = arena_array(a, char *, 12);
    out->argv[out->argc++] = arena_strdup(a, ask->host->shim);
    out->argv[out->argc++] = arena_strdup(a, "--mock");
    out->argv[out->argc++] = arena_printf(a, "run_for_ms=%lld", (long long)m.run_for_ms);
    out->argv[out->argc++] = arena_printf(a, "exit_code=%lld", (long long)m.exit_code);
    out->argv[out->argc++] = arena_printf(a, "exit_signal=%lld", (long long)m.exit_signal);
    out->argv[out->argc++] = arena_printf(a, "kill_after_ms=%lld", (long long)m.kill_after_ms);
    out->argv[out->argc++] = arena_printf(a, "repeat=%lld", (long long)m.repeat);
    out->argv[out->argc++] = arena_printf(a, "repeat_ms=%lld", (long long)m.repeat_ms);
    if (m.output != NULL)
        out->argv[out->argc++] = arena_printf(a, "output=%s", m.output);
    return OK;
}

extern const struct driver driver_mock;
const struct driver driver_mock = {.name = "mock", .keys = keys, .plan = plan};
