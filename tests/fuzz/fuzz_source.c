/* Where an artifact comes from: no text may get past its parser with a name that leads out. */
#include "nodeagent/fetch/source.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct arena *a = arena_new(1u << 20);
    struct source s;
    struct reason why;
    char *text = arena_alloc(a, size + 1);
    memcpy(text, data, size);
    if (source_parse(a, text, NULL, &s, &why) == OK) {
        must(strchr(s.file_name, '/') == NULL && strcmp(s.file_name, "..") != 0);
        must(strncmp(s.subdir, "../", 3) != 0 && strstr(s.subdir, "/../") == NULL);
        must((s.digest == NULL) == (s.checksum == NULL));
    }
    arena_free(a);
    return 0;
}
