#include "recover.h"
#include "base/id.h"
#include "base/log.h"
#include "replica.h"
#include "store/store.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TEXT 16384u

static enum err parse_line(char *line, unsigned number, struct raft_member *out, bool *any,
                           struct reason *why)
{
    uint8_t id[ID_SIZE];
    char *rest = line, *word;
    *any = false;
    line[strcspn(line, "#\r\n")] = '\0';
    word = strtok_r(rest, " \t", &rest);
    if (word == NULL)
        return OK;
    if (!id_parse(word, id))
        return reason_set(why, ERR_INVALID,
                          "line %u: \"%.60s\" is not the id of a server, as `nctl operator raft "
                          "list-peers -stale` shows it",
                          number, word);
    uint64_t raft_id = u64_load_be(id + 8);
    *out = (struct raft_member){.id = raft_id != 0 ? raft_id : 1, .voter = true};
    *any = true;
    word = strtok_r(rest, " \t", &rest);
    if (word == NULL)
        return OK;
    out->voter = false;
    return strcmp(word, "non_voting") == 0
               ? OK
               : reason_set(why, ERR_INVALID,
                            "line %u: \"%.60s\": only non_voting may follow an id", number, word);
}

enum err recover_parse(const char *text, struct raft_member out[RAFT_MAX_MEMBERS], size_t *count,
                       struct reason *why)
{
    char *copy = xstrdup(text), *rest = copy, *line;
    enum err e = OK;
    size_t voters = 0;
    *count = 0;
    for (unsigned number = 1; e == OK && (line = strsep(&rest, "\n")) != NULL; number++) {
        struct raft_member m = {0};
        bool any;
        e = parse_line(line, number, &m, &any, why);
        if (e != OK || !any)
            continue;
        for (size_t i = 0; e == OK && i < *count; i++)
            if (out[i].id == m.id)
                e = reason_set(why, ERR_INVALID, "line %u: the same server again", number);
        if (e == OK && *count == RAFT_MAX_MEMBERS)
            e = reason_set(why, ERR_INVALID, "more than %d servers", RAFT_MAX_MEMBERS);
        if (e == OK)
            out[(*count)++] = m;
        voters += m.voter;
    }
    free(copy);
    if (e == OK && voters == 0)
        e = reason_set(why, ERR_INVALID, "it names no server that votes");
    return e;
}

enum err recover_maybe(struct replica *r, const char *dir, struct reason *why)
{
    static const char name[] = "recover";
    char path[PATH_MAX], done[PATH_MAX], text[MOST_TEXT];
    struct raft_member members[RAFT_MAX_MEMBERS];
    size_t count;
    bool self = false;
    snprintf(path, sizeof path, "%.4000s/%s", dir, name);
    snprintf(done, sizeof done, "%.4000s/%s.done", dir, name);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return errno == ENOENT ? OK : reason_errno(why, ERR_IO, "open %s", path);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    enum err e = recover_parse(text, members, &count, why);
    if (e != OK)
        return reason_add(why, e, "%s", path);
    for (size_t i = 0; i < count; i++)
        self |= members[i].id == replica_raft_id(r);
    if (!self)
        return reason_set(why, ERR_INVALID,
                          "%s does not name this server: empty its data directory instead, and it "
                          "joins those that go on",
                          path);
    e = replica_recover(r, members, count, why);
    if (e == OK && rename(path, done) != 0)
        e = reason_errno(why, ERR_IO, "rename %s", path);
    if (e == OK)
        log_warn("members_set_by_hand", "servers=%zu file=%s", count, log_quote(done));
    return e;
}
