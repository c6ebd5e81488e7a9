#include "fetch.h"
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum err verify(int fd, const struct source *s, struct reason *why)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    char data[65536], hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned len = 0;
    ssize_t n;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    must(c != NULL && EVP_DigestInit_ex(c, EVP_get_digestbyname(s->digest), NULL) == 1);
    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, data, sizeof data)) > 0)
        must(EVP_DigestUpdate(c, data, (size_t)n) == 1);
    must(EVP_DigestFinal_ex(c, sum, &len) == 1);
    EVP_MD_CTX_free(c);
    for (unsigned i = 0; i < len; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", sum[i]);
    if (n < 0)
        return reason_errno(why, ERR_IO, "read back");
    if (strcasecmp(hex, s->checksum) != 0)
        return reason_set(why, ERR_INVALID, "checksums did not match: expected %s, got %s",
                          s->checksum, hex);
    return OK;
}
