/* The files of net/tls.h, read and checked; an OpenSSL context inside. As struct tls_module has it.
 */
#ifndef NET_TLS_CREDENTIALS_H
#define NET_TLS_CREDENTIALS_H

#include "net/tls_module.h"

enum err tls_credentials_load(struct tls_credentials **out, const struct tls_files *files,
                              struct tls_name *own, int64_t *ends, struct reason *why);
void tls_credentials_release(struct tls_credentials *c);
struct tls_session *tls_credentials_start(struct tls_credentials *c); /* an SSL */

#endif
