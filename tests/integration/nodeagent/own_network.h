/* For tests of networks: a network and a mount namespace of the test's own, so that nothing of the
 * host's is touched, and what a test leaves ends with it. */
#ifndef TESTS_NODEAGENT_OWN_NETWORK_H
#define TESTS_NODEAGENT_OWN_NETWORK_H

#include "fake_gateway.h"

/* Skips the test where namespaces cannot be made. */
void own_network_enter(void);
void own_network_skip(const char *why);
/* Gives the job's group a network of that mode. */
Pb__Network *own_network_of(struct fake *f, Pb__Job *job, const char *mode);
/* What the agent keeps of an allocation's network: below = "" or "/net". */
const char *own_network_space(struct fake *f, int i, const char *below);
void own_network_await_gone(struct fake *f, int i);

#endif
