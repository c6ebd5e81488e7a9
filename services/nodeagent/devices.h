/* The devices of this node, as a file or a program tells them in JSON (docs/devices.md), and what a
 * task gets of those it was given. */
#ifndef NODEAGENT_DEVICES_H
#define NODEAGENT_DEVICES_H

#include "base/arena.h"
#include "base/err.h"
#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>

#define DEVICES_TEXT_MOST (1u << 20)

/* Adds those of the text to node->devices, sorted; they live in a. *node is untouched on error: the
 * text is no such JSON, holds what a node may not list, or what is listed there already. */
enum err devices_add(struct arena *a, const char *text, size_t len, Pb__Node *node,
                     struct reason *why);
bool devices_are_same(const Pb__Node *a, const Pb__Node *b);

/* Of a granted device; NULL: the node no longer lists it. */
const Pb__NodeDevice *devices_find(const Pb__Node *node, const Pb__GrantedDevice *g);
/* The value of one of its attributes; NULL: it has none. */
const char *device_attribute_of(const Pb__NodeDevice *d, const char *key);
/* Calls visit for each path that the attribute `path` names: "/dev/nvidia{id},/dev/nvidiactl", once
 * for each instance given where it holds "{id}"; then for those of `path.ID` of each given. */
void devices_each_path(struct arena *a, const Pb__Node *node, const Pb__GrantedDevice *g,
                       void *self, void (*visit)(void *self, const char *path));

#endif
