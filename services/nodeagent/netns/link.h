/* Interfaces, addresses and routes of a network namespace, by the kernel's rtnetlink. */
#ifndef NODEAGENT_NETNS_LINK_H
#define NODEAGENT_NETNS_LINK_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct links; /* of the namespace in which it was opened, wherever we go later */

enum err links_open(struct links **out, struct reason *why);
void links_close(struct links *l);

/* 0: there is none of that name. Names are as if_nametoindex has them. */
enum err links_index(struct links *l, const char *name, unsigned *out, struct reason *why);
/* Keeps what is there already. */
enum err links_make_bridge(struct links *l, const char *name, struct reason *why);
/* One end here, up and in the bridge; the other of the name `inside` in the namespace netns_fd. */
enum err links_make_pair(struct links *l, const char *name, unsigned bridge, const char *inside,
                         int netns_fd, struct reason *why);
enum err links_set_up(struct links *l, unsigned index, struct reason *why);
/* None is there: OK. */
enum err links_delete(struct links *l, const char *name, struct reason *why);
/* Both keep what is there already. */
enum err links_add_address(struct links *l, unsigned index, uint32_t address, unsigned bits,
                           struct reason *why);
enum err links_add_default_route(struct links *l, unsigned index, uint32_t gateway,
                                 struct reason *why);

#endif
