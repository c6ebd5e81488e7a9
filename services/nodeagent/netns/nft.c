#include "nft.h"
#include <nftables/libnftables.h>
#include <string.h>

enum err nft_run(const char *commands, struct reason *why)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    enum err e = OK;
    if (nft == NULL)
        return reason_set(why, ERR_UNAVAILABLE, "nft cannot be used");
    nft_ctx_buffer_error(nft);
    nft_ctx_buffer_output(nft);
    if (nft_run_cmd_from_buffer(nft, commands) != 0) {
        const char *said = nft_ctx_get_error_buffer(nft);
        e = reason_set(why, ERR_UNAVAILABLE, "nft: %.*s", (int)strcspn(said, "\n"), said);
    }
    nft_ctx_free(nft);
    return e;
}
