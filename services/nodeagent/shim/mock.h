/* The process behind the driver "mock": waits, prints, ends as told. A process of its own under a
 * shim of its own, so that a mock task is adopted, killed and logged like any other. */
#ifndef NODEAGENT_SHIM_MOCK_H
#define NODEAGENT_SHIM_MOCK_H

/* Arguments are KEY=VALUE: run_for_ms, exit_code, exit_signal, kill_after_ms, output, repeat,
 * repeat_ms. Without run_for_ms it ends at once. Returns the exit code. */
int mock_main(int argc, char **argv);

#endif
