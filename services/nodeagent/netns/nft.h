/* Runs commands of nft through its library. */
#ifndef NODEAGENT_NETNS_NFT_H
#define NODEAGENT_NETNS_NFT_H

#include "base/err.h"

/* All of them in one transaction, or none. */
enum err nft_run(const char *commands, struct reason *why);

#endif
