/* The jobstores of one region, as processes on loopback, and what a test does with them. */
#ifndef TESTS_REGION_H
#define TESTS_REGION_H

#include "store_process.h"

#define REGION_MOST 7u

struct region {
    unsigned count;
    struct store_process *servers[REGION_MOST];
    char raft[REGION_MOST][160];   /* addresses of listen_raft */
    char peers[REGION_MOST * 256]; /* the setting */
    char names[REGION_MOST][16], expect[16];
};

/* count servers that know one another; the first `expect` of them form the cluster. Nothing runs
 * yet. extra: more options for each, ends with NULL; may be NULL. */
struct region *region_new(unsigned count, unsigned expect, const char *const *extra);
void region_free(struct region *r);
void region_spawn(struct region *r, unsigned i);
void region_start(struct region *r); /* all of them */
/* The one that leads; aborts the test if none stands within the time. */
unsigned region_leader(struct region *r, unsigned within_ms);
/* By its own word; NULL: it does not answer. Lives in its arena. */
const Pb__JobstoreStatus *region_status(struct region *r, unsigned i, bool digest);
/* Everybody who runs has applied as much, and has the same state; aborts the test if not. */
void region_expect_equal(struct region *r, unsigned within_ms);
/* Registers a job with whoever leads, until it is answered. */
void region_register(struct region *r, const char *job, unsigned within_ms);
/* New servers vote after so long. */
void region_stabilize(struct region *r, unsigned ms);
/* Empties the data directory of a server that does not run. */
void region_empty(struct region *r, unsigned i);
/* Waits for a line of the server's log that holds this text. */
void region_expect_log(struct region *r, unsigned i, const char *text, unsigned within_ms);
/* Waits until the leader has so many members that vote, and no more that do not. */
void region_expect_voters(struct region *r, unsigned voters, unsigned others, unsigned within_ms);
/* Waits until server i knows all members by name: then the state has them. */
void region_expect_named(struct region *r, unsigned i, unsigned within_ms);
/* Asks a member whether the job is there. */
bool region_has(struct region *r, unsigned i, const char *job, bool consistent);

#endif
