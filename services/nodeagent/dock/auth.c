#include "auth.h"
#include "base/base64.h"
#include "base/err.h"
#include "credentials.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCKER_HUB  "https://index.docker.io/v1/"
#define SECRET_MOST 16384

const char *image_tag(const char *image)
{
    const char *slash = strrchr(image, '/'), *digest = strchr(image, '@');
    const char *colon = strchr(slash == NULL ? image : slash, ':');
    if (digest != NULL)
        return digest + 1;
    return colon == NULL ? NULL : colon + 1;
}

/* The part before the first slash is a registry if it looks like a name of a machine. */
void image_registry(const char *image, char out[256])
{
    size_t len = strcspn(image, "/");
    snprintf(out, 256, "%.*s", (int)(len < 255 ? len : 255), image);
    bool named = image[len] == '/' && (strpbrk(out, ".:") != NULL || strcmp(out, "localhost") == 0);
    if (!named || strcmp(out, "docker.io") == 0 || strcmp(out, "index.docker.io") == 0)
        snprintf(out, 256, DOCKER_HUB);
}

/* ---- base64 */

/* The engine's header takes the letters that are safe in an address. */
static char *encode(const char *text)
{
    struct strbuf b = STRBUF_INIT;
    base64_encode(&b, text, strlen(text), BASE64_URL);
    return strbuf_take(&b);
}

/* NULL: it is none. */
static char *decode(const char *text)
{
    size_t len = strlen(text), n = 0, bad;
    uint8_t *out = len > SECRET_MOST ? NULL : xcalloc(1, len + 1);
    if (out != NULL && !base64_decode(out, &n, text, len, BASE64, &bad) &&
        !base64_decode(out, &n, text, len, BASE64_URL, &bad)) {
        free(out);
        return NULL;
    }
    if (out != NULL)
        out[n] = '\0';
    return (char *)out;
}

/* ---- a file as docker login writes it: {"auths": {REGISTRY: {"auth": base64 of NAME:PASSWORD}},
 * "credHelpers": {REGISTRY: HELPER}, "credsStore": HELPER for all others} */

/* "https://HOST/v1/" and "HOST" are the same. */
static bool is_for(const char *key, const char *registry)
{
    const char *scheme = strstr(key, "://");
    if (strcmp(key, registry) == 0)
        return true;
    key = scheme == NULL ? key : scheme + 3;
    return strcspn(key, "/") == strlen(registry) && strncmp(key, registry, strlen(registry)) == 0;
}

static json_t *credentials(const char *name, const char *password, const char *registry)
{
    return json_pack("{ss,ss,ss}", "username", name, "password", password, "serveraddress",
                     registry);
}

json_t *auth_in_file(const json_t *file, const char *registry)
{
    json_t *auths = json_object_get(file, "auths"), *entry, *found = NULL;
    const char *key;
    json_object_foreach(auths, key, entry)
    {
        const char *text = json_string_value(json_object_get(entry, "auth"));
        const char *name = json_string_value(json_object_get(entry, "username"));
        const char *password = json_string_value(json_object_get(entry, "password"));
        char *both = text == NULL || found != NULL || !is_for(key, registry) ? NULL : decode(text);
        char *colon = both == NULL ? NULL : strchr(both, ':');
        if (colon != NULL) {
            *colon = '\0';
            found = credentials(both, colon + 1, registry);
        } else if (found == NULL && name != NULL && password != NULL && is_for(key, registry)) {
            found = credentials(name, password, registry);
        }
        auth_free(both);
    }
    return found;
}

const char *auth_helper(const json_t *file, const char *registry)
{
    const char *key, *store = json_string_value(json_object_get(file, "credsStore"));
    json_t *name;
    json_object_foreach(json_object_get(file, "credHelpers"), key, name)
    {
        if (is_for(key, registry))
            return json_string_value(name);
    }
    return store;
}

/* What a helper does not know may still be in the file. */
static enum err look_up(const json_t *file, const char *registry, json_t **out, struct reason *why)
{
    const char *helper = auth_helper(file, registry);
    enum err e = OK;
    if (helper != NULL && *helper != '\0')
        e = credentials_ask(helper, registry, out, why);
    if (e == OK && *out == NULL)
        *out = auth_in_file(file, registry);
    return e;
}

static enum err read_file(const char *path, const char *image, json_t **out, struct reason *why)
{
    char registry[256];
    json_error_t error;
    json_t *file = json_load_file(path, 0, &error);
    if (file == NULL)
        return reason_set(why, ERR_UNAVAILABLE, "docker_auth_config %s: %s", path, error.text);
    image_registry(image, registry);
    enum err e = look_up(file, registry, out, why);
    json_decref(file);
    return e == OK ? OK : reason_add(why, ERR_UNAVAILABLE, "docker_auth_config %s", path);
}

enum err auth_of(const json_t *spec, const char *image, char **out, struct reason *why)
{
    json_t *auth = json_incref(json_object_get(spec, "auth"));
    const char *path = json_string_value(json_object_get(spec, "config"));
    enum err e = OK;
    *out = NULL;
    if (auth == NULL && path != NULL)
        e = read_file(path, image, &auth, why);
    char *text = auth == NULL ? NULL : json_dumps(auth, JSON_COMPACT);
    if (text != NULL)
        *out = encode(text);
    auth_free(text);
    json_decref(auth);
    return e;
}

void auth_free(char *auth)
{
    if (auth != NULL)
        explicit_bzero(auth, strlen(auth));
    free(auth);
}
