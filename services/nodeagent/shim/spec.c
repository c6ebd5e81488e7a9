#include "spec.h"
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* The string at *at, which moves behind it; NULL: there is no end of one before `end`. */
static const char *next_string(const char **at, const char *end)
{
    const char *s = *at;
    const char *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;
    *at = nul == NULL ? end : nul + 1;
    return nul == NULL ? NULL : s;
}

bool spec_map(struct spec_view *v, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(struct shim_spec) ||
        st.st_size > SHIM_MAX_SPEC)
        return false;
    v->map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (v->map == MAP_FAILED)
        return false;
    v->head = v->map;
    if (v->head->magic != SHIM_MAGIC || v->head->version != SHIM_VERSION ||
        v->head->size != st.st_size || v->head->group_count > SHIM_MAX_GROUPS ||
        v->head->mount_count > SHIM_MAX_MOUNTS || v->head->ulimit_count > SHIM_MAX_ULIMITS)
        return false;
    const char *at = (const char *)v->map + sizeof *v->head;
    const char *end = (const char *)v->map + v->head->size;
    const char **fields[] = {&v->dir,       &v->log_dir,      &v->task,        &v->cwd,
                             &v->cgroup,    &v->shims_cgroup, &v->program,     &v->cpus,
                             &v->netns,     &v->hostname,     &v->resolv_conf, &v->relay_socket,
                             &v->relay_head};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if ((*fields[i] = next_string(&at, end)) == NULL)
            return false;
    for (size_t i = 0; i < SHIM_CONTROLLERS; i++)
        if ((v->controllers[i] = next_string(&at, end)) == NULL)
            return false;
    v->mounts = at;
    for (uint32_t i = 0; i < 3 * v->head->mount_count; i++)
        if (next_string(&at, end) == NULL)
            return false;
    v->strings = at;
    for (uint64_t i = 0; i < (uint64_t)v->head->argc + v->head->envc; i++)
        if (next_string(&at, end) == NULL)
            return false;
    return true;
}

void spec_vectors(const struct spec_view *v, char **room)
{
    const char *at = v->strings, *end = (const char *)v->map + v->head->size;
    for (uint32_t i = 0; i < v->head->argc; i++)
        *room++ = (char *)(uintptr_t)next_string(&at, end);
    *room++ = NULL;
    for (uint32_t i = 0; i < v->head->envc; i++)
        *room++ = (char *)(uintptr_t)next_string(&at, end);
    *room = NULL;
}

struct spec_mount spec_next_mount(const struct spec_view *v, const char **at)
{
    const char *end = (const char *)v->map + v->head->size;
    const char *source = next_string(at, end);
    const char *place = next_string(at, end);
    const char *mode = next_string(at, end);
    return (struct spec_mount){source, place + strspn(place, "/"), mode[0] != 'r', mode[0] == 'd'};
}

void spec_unmap(struct spec_view *v)
{
    munmap(v->map, v->head->size);
    v->map = NULL;
}
