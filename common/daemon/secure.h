/* What every daemon takes to speak between hosts: the settings of the group tls, shared by all
 * daemons of a file, and what becomes of them. */
#ifndef DAEMON_SECURE_H
#define DAEMON_SECURE_H

#include "daemon/settings.h"
#include "loop/loop.h"
#include "net/tls.h"

struct secure_settings {
    const char *tls_ca_file, *tls_cert_file, *tls_key_file;
    bool tls_allow_plain_tcp;
};
/* Rows of a table of settings for a struct that begins with this one. */
#define SECURE_SETTINGS                                                                            \
    SETTING(secure_settings, tls_ca_file, PATH, "",                                                \
            "certificate of the CA of all hosts (PEM); tls+tcp:// needs it"),                      \
        SETTING(secure_settings, tls_cert_file, PATH, "",                                          \
                "this host's certificate, made by nctl tls cert create; read again on HUP"),       \
        SETTING(secure_settings, tls_key_file, PATH, "",                                           \
                "the certificate's key, which others than the daemon's user may not read"),        \
        SETTING(secure_settings, tls_allow_plain_tcp, BOOL, "false",                               \
                "takes tcp:// beyond this host, too, where anybody may read and command")

struct secure {
    struct tls *tls;
    struct net_security security;
};
/* Before any socket is opened. */
enum err secure_open(struct secure *s, struct loop *l, const struct secure_settings *settings,
                     struct reason *why);
/* On HUP; logs what came of it. */
void secure_reload(const struct secure *s, const struct secure_settings *settings);

#endif
