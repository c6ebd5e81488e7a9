/* Where an artifact comes from, as job files write it: "https://host/x.tar.gz//inner?checksum=...",
 * "git::https://host/repo?ref=v1", "file:///srv/x.zip". Pure. */
#ifndef NODEAGENT_FETCH_SOURCE_H
#define NODEAGENT_FETCH_SOURCE_H

#include "base/arena.h"
#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>

enum source_kind { SOURCE_HTTP, SOURCE_FILE, SOURCE_GIT };
enum source_archive {
    ARCHIVE_NONE,
    ARCHIVE_TREE,  /* tar in any dress, or zip */
    ARCHIVE_SINGLE /* one compressed file */
};

struct source {
    enum source_kind kind;
    const char *url;    /* without what is meant for us; of a file its path */
    const char *subdir; /* only this of a tree; "": all */
    const char *file_name;
    enum source_archive archive;
    const char *digest; /* "sha256", with its hex; NULL: unchecked */
    const char *checksum;
    const char *ref, *ssh_key; /* of git; NULL: none */
    unsigned depth;            /* 0: everything */
};

/* options: an object of texts that count as if they stood in the URL's query. ERR_INVALID names
 * what is wrong and what would be right. Texts live in a. */
enum err source_parse(struct arena *a, const char *text, const json_t *options, struct source *out,
                      struct reason *why);

/* Whether what comes can be nothing else than what the job names: a checksum, or the whole id of a
 * commit. */
bool source_is_pinned(const struct source *s);

#endif
