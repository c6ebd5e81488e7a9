/* A visit: a command run beside a task that lives, in its namespaces, root and cgroups, as its user
 * and confined like it. `taskshim --visit PID START tty|pipes` is the parent of the command, and
 * outside itself. The specification (SHIM_FD_SPEC) is the task's own but for the command;
 * SHIM_FD_LISTEN is the agent's end, which hears three messages at most: SHIM_STREAMS, with the
 * master of a terminal or with standard input, output and error; then SHIM_START_FAILED (text says
 * what, error why), or SHIM_STARTED and, when all of the command's processes are dead, SHIM_EXITED.
 *
 * The command dies with all it started when the agent closes its end, when the task's first process
 * ends (by HUP, and soon after by KILL), or when its own first process does. libc only. */
#ifndef NODEAGENT_SHIM_VISIT_H
#define NODEAGENT_SHIM_VISIT_H

#include "shim.h"

enum { VISIT_FD_AGENT = SHIM_FD_LISTEN, VISIT_STREAMS_MOST = 3 };

int visit_main(int argc, char **argv);

#endif
