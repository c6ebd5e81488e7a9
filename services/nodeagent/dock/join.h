/* A container in a network namespace that is there already: podman takes its path; docker knows
 * only the namespaces of its own containers, so one is made that goes into ours, and is let go when
 * the task's has joined it. */
#ifndef NODEAGENT_DOCK_JOIN_H
#define NODEAGENT_DOCK_JOIN_H

#include "dock.h"

/* By spec's "netns", a path; without, nothing. What is to be created is changed accordingly. */
enum err join_begin(const struct dock *d, struct reason *why);
/* The task's container runs, or does not. */
void join_end(const struct dock *d);

#endif
