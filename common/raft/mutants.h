/* Deliberate faults of the core, to show that the simulator finds them. Only the library that the
 * simulator builds for itself is compiled with RAFT_MUTANTS; in every other build MUTANT(x) is
 * false and nothing of this is left. tests/sim/raft tells what kills each one. */
#ifndef RAFT_MUTANTS_H
#define RAFT_MUTANTS_H

#define RAFT_MUTANT_LIST(X)                                                                        \
    X(READ_WITHOUT_ROUND, "a read is answered without asking the others")                          \
    X(READ_BY_OLD_ROUND, "a read is confirmed by a round that began before it")                    \
    X(READ_BEFORE_OWN_COMMIT, "a new leader answers reads before its first commit")                \
    X(ACK_BEFORE_STORED, "an append is acknowledged before it is stored")                          \
    X(LEADER_COUNTS_UNSTORED, "the leader counts its own log before it is stored")                 \
    X(VOTE_WITHOUT_LOG_CHECK, "a vote is given to a candidate with an older log")                  \
    X(VOTE_BEFORE_STORED, "a vote is sent before it is stored")                                    \
    X(OWN_VOTE_UNSTORED, "the own vote counts before it is stored")                                \
    X(VOTE_TWICE, "a second candidate of the term gets a vote too")                                \
    X(COMMIT_BEYOND_MATCH, "a heartbeat commits entries that were not compared")                   \
    X(BLIND_TRUNCATION, "an append cuts off what follows it though nothing conflicts")             \
    X(APPEND_WITHOUT_CHECK, "an append is taken though the entry before it differs")               \
    X(COMMIT_OLD_TERM, "entries of older terms commit by counting (figure 8)")                     \
    X(CHANGE_BEFORE_OWN_COMMIT, "members change before the term has a commit")                     \
    X(TWO_CHANGES_AT_ONCE, "members change while a change is not committed")                       \
    X(MEMBERS_STAY_AFTER_CUT, "members of an entry that was cut off stay in force")                \
    X(LEARNER_COUNTS, "learners count for commits")                                                \
    X(OUTSIDER_IS_QUIET, "a server outside its uncommitted members does not campaign")             \
    X(LOSS_UNNOTICED, "a lost append is not sent again when a later one is acknowledged")          \
    X(TERM_UNCHECKED, "a message of an earlier term is taken for one of this term")                \
    X(OLD_REPLY_COUNTS, "answers to an earlier term's appends count")                              \
    X(APPLY_UNSTORED, "a committed entry is applied before our disk has it")                       \
    X(LONE_LEADER_GOES_ON, "a leader that had told a new member leads on after a failed write")    \
    X(SNAPSHOT_KEEPS_LOG, "a snapshot leaves the old log on the disk")

#ifdef RAFT_MUTANTS

#define RAFT_MUTANT_NAME(name, text) RAFT_MUTANT_##name,
enum raft_mutant { RAFT_MUTANT_NONE, RAFT_MUTANT_LIST(RAFT_MUTANT_NAME) RAFT_MUTANT_COUNT };
#undef RAFT_MUTANT_NAME
extern enum raft_mutant raft_mutant; /* the simulator's, which defines it */
#define MUTANT(name) (raft_mutant == RAFT_MUTANT_##name)

#else

#define MUTANT(name) false

#endif

#endif
