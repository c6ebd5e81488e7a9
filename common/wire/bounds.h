/* How much one command may hold. It bounds a transaction of jobstore's, which refuses more: who
 * proposes commands cuts them. */
#ifndef WIRE_BOUNDS_H
#define WIRE_BOUNDS_H

#define COMMAND_MOST       20000 /* placements, stops, updates ... */
#define COMMAND_MOST_NODES 2000

#endif
