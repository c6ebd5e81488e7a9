#include "net/tls.h"
#include <stdio.h>
#include <string.h>

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static size_t label_length(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && is_label_char(text[i]))
        i++;
    return i;
}

/* Labels with dots between. */
static bool is_domain(const char *text, size_t len)
{
    for (;;) {
        size_t label = label_length(text, len);
        if (label == 0)
            return false;
        if (label == len)
            return true;
        if (text[label] != '.')
            return false;
        text += label + 1;
        len -= label + 1;
    }
}

static bool skip(const char **text, size_t *len, const char *word)
{
    size_t length = strlen(word);
    if (*len < length || memcmp(*text, word, length) != 0)
        return false;
    *text += length;
    *len -= length;
    return true;
}

bool tls_name_parse(struct tls_name *out, const char *text, size_t len)
{
    struct tls_name n = {0};
    if (skip(&text, &len, "server."))
        n.role = TLS_SERVER;
    else if (skip(&text, &len, "client."))
        n.role = TLS_CLIENT;
    else
        return false;
    size_t region = label_length(text, len);
    if (region == 0 || region >= sizeof(n.region) || region == len || text[region] != '.')
        return false;
    memcpy(n.region, text, region);
    text += region + 1;
    len -= region + 1;
    if (len >= sizeof(n.domain) || !is_domain(text, len))
        return false;
    memcpy(n.domain, text, len);
    *out = n;
    return true;
}

void tls_name_print(const struct tls_name *n, char out[TLS_NAME_SIZE])
{
    snprintf(out, TLS_NAME_SIZE, "%s.%s.%s", n->role == TLS_SERVER ? "server" : "client", n->region,
             n->domain);
}

bool tls_region_valid(const char *region)
{
    size_t len = strlen(region);
    return len > 0 && len < sizeof(((struct tls_name *)NULL)->region) &&
           label_length(region, len) == len;
}

unsigned tls_peer_kind(const struct tls_name *own, const struct tls_name *peer)
{
    if (strcmp(own->domain, peer->domain) != 0)
        return 0;
    bool ours = strcmp(own->region, peer->region) == 0;
    if (peer->role == TLS_SERVER)
        return ours ? PEER_SERVER : PEER_FOREIGN_SERVER;
    return ours ? PEER_CLIENT : 0;
}
