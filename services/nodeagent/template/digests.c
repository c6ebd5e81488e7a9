/* Texts in other dresses: base64, and SHA-256 as FIPS 180-4 has it. */
#include "base/base64.h"
#include "base/err.h"
#include "functions.h"
#include <stdlib.h>
#include <string.h>

/* ---- base64 */

static enum err encode(struct call *c, enum base64_digits digits)
{
    struct strbuf b = STRBUF_INIT;
    base64_encode(&b, c->args[0].text, c->args[0].len, digits);
    return call_take_text(c, &b);
}

static enum err decode(struct call *c, enum base64_digits digits)
{
    struct strbuf b = STRBUF_INIT;
    const struct value *text = &c->args[0];
    uint8_t *bytes = xmalloc(text->len + 1);
    size_t len, bad;
    bool good = base64_decode(bytes, &len, text->text, text->len, digits, &bad);
    if (good)
        strbuf_add(&b, bytes, len);
    free(bytes);
    if (good)
        return call_take_text(c, &b);
    return reason_set(c->why, ERR_INVALID, "what is to be decoded is no base64, at byte %zu", bad);
}

static enum err f_base64_encode(struct call *c)
{
    return encode(c, BASE64);
}

static enum err f_base64_decode(struct call *c)
{
    return decode(c, BASE64);
}

static enum err f_base64_url_encode(struct call *c)
{
    return encode(c, BASE64_URL);
}

static enum err f_base64_url_decode(struct call *c)
{
    return decode(c, BASE64_URL);
}

/* ---- SHA-256 */

static uint32_t rotated(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void add_block(uint32_t state[8], const unsigned char block[64])
{
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2};
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] +
               (rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (rotated(s[4], 6) ^ rotated(s[4], 11) ^ rotated(s[4], 25)) +
                      ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        uint32_t t2 = (rotated(s[0], 2) ^ rotated(s[0], 13) ^ rotated(s[0], 22)) +
                      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof s[0]);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static enum err f_sha256_hex(struct call *c)
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    struct strbuf hex = STRBUF_INIT;
    const struct value *text = &c->args[0];
    unsigned char rest[128] = {0};
    size_t whole = text->len / 64 * 64, left = text->len - whole;
    size_t padded = left < 56 ? 64 : 128;
    for (size_t i = 0; i < whole; i += 64)
        add_block(state, (const unsigned char *)text->text + i);
    if (left > 0)
        memcpy(rest, text->text + whole, left);
    rest[left] = 0x80;
    for (size_t i = 0; i < 8; i++)
        rest[padded - 1 - i] = (unsigned char)((uint64_t)text->len * 8 >> (8 * i));
    for (size_t i = 0; i < padded; i += 64)
        add_block(state, rest + i);
    for (int i = 0; i < 8; i++)
        strbuf_printf(&hex, "%08x", state[i]);
    return call_take_text(c, &hex);
}

const struct function functions_of_digests[] = {
    {"base64Encode", 1, 1, "t", f_base64_encode},
    {"base64Decode", 1, 1, "t", f_base64_decode},
    {"base64URLEncode", 1, 1, "t", f_base64_url_encode},
    {"base64URLDecode", 1, 1, "t", f_base64_url_decode},
    {"sha256Hex", 1, 1, "t", f_sha256_hex},
    {NULL, 0, 0, NULL, NULL},
};
