/* sim-raft-mutants: shows that the simulator finds deliberate faults of the core.
 *
 *   sim-raft-mutants --search M      seeds 1 to M for each mutant: prints what killers.txt holds
 *   sim-raft-mutants --killers FILE  runs what FILE says: each mutant must die as it says there
 *   sim-raft-mutants --run NAME --seed N [-v]   one schedule with one mutant
 *   sim-raft-mutants --list
 *
 * Exits 0: all are killed; 1: one lives; 2: bad usage. */
#include "schedule.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum raft_mutant raft_mutant = RAFT_MUTANT_NONE;

#define NAME_OF(name, text) #name,
#define TEXT_OF(name, text) text,
static const char *const names[] = {"NONE", RAFT_MUTANT_LIST(NAME_OF)};
static const char *const texts[] = {"the core as it is", RAFT_MUTANT_LIST(TEXT_OF)};

/* Those of test_scripts.c: each has a case that expects the fault to be seen. */
static const struct {
    enum raft_mutant mutant;
    const char *script;
} scripted[] = {
    {RAFT_MUTANT_COMMIT_OLD_TERM, "figure_8_breaks_a_core_that_counts_copies_of_old_entries"},
    {RAFT_MUTANT_CHANGE_BEFORE_OWN_COMMIT, "an_early_change_of_members_loses_a_committed_entry"},
    {RAFT_MUTANT_OWN_VOTE_UNSTORED,
     "a_lone_vote_that_counts_before_it_is_stored_makes_two_leaders"},
    {RAFT_MUTANT_LONE_LEADER_GOES_ON, "a_lone_leader_that_goes_on_gives_an_index_twice"},
};

static const char *script_of(enum raft_mutant m)
{
    for (size_t i = 0; i < COUNT_OF(scripted); i++)
        if (scripted[i].mutant == m)
            return scripted[i].script;
    return "-";
}

static enum raft_mutant mutant_of(const char *name)
{
    for (int i = 1; i < RAFT_MUTANT_COUNT; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum raft_mutant)i;
    fprintf(stderr, "sim-raft-mutants: there is no mutant \"%s\"; see --list\n", name);
    exit(2);
}

static int list(void)
{
    for (int i = 1; i < RAFT_MUTANT_COUNT; i++)
        printf("%s\t%s\n", names[i], texts[i]);
    return 0;
}

/* name, the first seed that kills it (0: none), the script that does, what was seen, what it is */
static int search(uint64_t most)
{
    int alive = 0;
    for (int i = 1; i < RAFT_MUTANT_COUNT; i++) {
        struct outcome o = {.ok = true};
        uint64_t seed = 0;
        raft_mutant = (enum raft_mutant)i;
        while (o.ok && seed < most)
            o = schedule_run(++seed, SCHEDULE_EVENTS, NULL);
        alive += o.ok && strcmp(script_of(raft_mutant), "-") == 0;
        printf("%s\t%llu\t%s\t%s\t%s\n", names[i], o.ok ? 0 : (unsigned long long)seed,
               script_of(raft_mutant), o.ok ? "-" : o.failure, texts[i]);
        fflush(stdout);
    }
    return alive == 0 ? 0 : 1;
}

/* In a process of its own: some faults break memory, and a sanitizer ends the process. */
static bool dies(uint64_t seed)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "we", stderr) == NULL)
            _exit(0);
        _exit(schedule_run(seed, SCHEDULE_EVENTS, NULL).ok ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static bool line_holds(const char *line)
{
    char name[64] = "", script[128] = "";
    const char *tab = strchr(line, '\t'), *second = tab == NULL ? NULL : strchr(tab + 1, '\t');
    if (second == NULL || sscanf(line, "%63[^\t]", name) != 1 ||
        sscanf(second + 1, "%127[^\t]", script) != 1) {
        fprintf(stderr, "not a line of killers: %s", line);
        return false;
    }
    uint64_t seed = strtoull(tab + 1, NULL, 10);
    raft_mutant = mutant_of(name);
    if (seed == 0)
        return strcmp(script, script_of(raft_mutant)) == 0 && strcmp(script, "-") != 0;
    bool killed = dies(seed);
    if (!killed)
        fprintf(stderr, "%s lives with seed %llu: make the list anew by --search\n", name,
                (unsigned long long)seed);
    return killed;
}

static int killers(const char *path)
{
    char line[1024];
    int lines = 0, alive = 0;
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        fprintf(stderr, "sim-raft-mutants: %s cannot be read\n", path);
        return 2;
    }
    while (fgets(line, sizeof line, f) != NULL) {
        lines++;
        alive += !line_holds(line);
    }
    fclose(f);
    printf("%d of %d mutants are listed, %d of them live\n", lines, RAFT_MUTANT_COUNT - 1, alive);
    return alive == 0 && lines == RAFT_MUTANT_COUNT - 1 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"search", required_argument, NULL, 'n'}, {"killers", required_argument, NULL, 'k'},
        {"run", required_argument, NULL, 'r'},    {"seed", required_argument, NULL, 's'},
        {"list", no_argument, NULL, 'l'},         {NULL, 0, NULL, 0},
    };
    const char *run = NULL;
    uint64_t seed = 1;
    FILE *trace = NULL;
    for (int c; (c = getopt_long(argc, argv, "v", longs, NULL)) != -1;) {
        switch (c) {
        case 'n':
            return search(strtoull(optarg, NULL, 10));
        case 'k':
            return killers(optarg);
        case 'l':
            return list();
        case 'r':
            run = optarg;
            break;
        case 's':
            seed = strtoull(optarg, NULL, 10);
            break;
        case 'v':
            trace = stdout;
            break;
        default:
            return 2;
        }
    }
    if (run == NULL)
        return 2;
    raft_mutant = mutant_of(run);
    struct outcome o = schedule_run(seed, SCHEDULE_EVENTS, trace);
    printf("seed %llu: %s\n", (unsigned long long)seed, o.ok ? "lives" : o.failure);
    return o.ok ? 1 : 0;
}
