#include "net/tls_module.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#pragma weak norn_tls_module

/* Beside the programs, as in a build, or where packages put libraries. */
static const char *const places[] = {"norn-tls.so", "../lib/norn/norn-tls.so"};

static bool directory_of_program(char *out, size_t room)
{
    ssize_t len = readlink("/proc/self/exe", out, room - 1);
    if (len <= 0)
        return false;
    out[len] = '\0';
    char *slash = strrchr(out, '/');
    if (slash != NULL)
        slash[1] = '\0';
    return slash != NULL;
}

/* It is never unloaded: nng keeps the engine for as long as the process lives. */
const struct tls_module *tls_module_load(struct reason *why)
{
    char directory[2048], path[2200] = "";
    void *library = NULL;
    if (&norn_tls_module != NULL)
        return &norn_tls_module;
    if (!directory_of_program(directory, sizeof(directory)))
        directory[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(places) && library == NULL; i++) {
        snprintf(path, sizeof(path), "%s%s", directory, places[i]);
        if (access(path, R_OK) == 0 && (library = dlopen(path, RTLD_NOW | RTLD_LOCAL)) == NULL) {
            reason_set(why, ERR_UNAVAILABLE, "TLS: load %s", dlerror());
            return NULL;
        }
    }
    const struct tls_module *module = library != NULL ? dlsym(library, "norn_tls_module") : NULL;
    if (module == NULL)
        reason_set(why, ERR_NOT_FOUND,
                   "TLS needs norn-tls.so, which is neither in %s nor in "
                   "%s../lib/norn/: install it beside the programs",
                   directory, directory);
    else if (module->version != TLS_MODULE_VERSION)
        reason_set(why, ERR_INVALID, "%s is of another version of Norn: install both anew", path);
    return module != NULL && module->version == TLS_MODULE_VERSION ? module : NULL;
}
