#include "daemon/secure.h"
#include "base/log.h"
#include <stdio.h>
#include <time.h>

#define NEARLY_OVER_S (14 * 86400)

static void on_refused(void *owner, const char *why, unsigned suppressed)
{
    if (suppressed > 0)
        log_warn("peer_refused", "why=%s suppressed=%u", log_quote(why), suppressed);
    else
        log_warn("peer_refused", "why=%s", log_quote(why));
}

static void log_own(struct tls *t, const char *event)
{
    struct tls_name own;
    int64_t ends;
    char name[TLS_NAME_SIZE], until[40];
    struct tm tm;
    tls_own(t, &own, &ends);
    tls_name_print(&own, name);
    time_t when = (time_t)ends;
    gmtime_r(&when, &tm);
    strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", &tm);
    log_info(event, "name=%s until=%s", name, until);
    if (ends - time(NULL) < NEARLY_OVER_S)
        log_warn("certificate_ends_soon", "name=%s until=%s cure=%s", name, until,
                 log_quote("make a new one with 'nctl tls cert create -force', then send HUP"));
}

static struct tls_files files_of(const struct secure_settings *s)
{
    return (struct tls_files){
        .ca = s->tls_ca_file, .cert = s->tls_cert_file, .key = s->tls_key_file};
}

/* None of the files, or all of them. */
static enum err check(const struct secure_settings *s, bool *wanted, struct reason *why)
{
    const struct {
        const char *name, *value;
    } files[] = {{"ca_file", s->tls_ca_file},
                 {"cert_file", s->tls_cert_file},
                 {"key_file", s->tls_key_file}};
    const char *missing = NULL;
    *wanted = false;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (files[i].value[0] != '\0')
            *wanted = true;
        else
            missing = files[i].name;
    if (*wanted && missing != NULL)
        return reason_set(why, ERR_INVALID,
                          "group tls: %s is missing: ca_file, cert_file and key_file go together",
                          missing);
    return OK;
}

enum err secure_open(struct secure *s, struct loop *l, const struct secure_settings *settings,
                     struct reason *why)
{
    bool wanted;
    enum err e = check(settings, &wanted, why);
    if (e == OK && wanted) {
        e = tls_open(&s->tls, l,
                     &(struct tls_options){.files = files_of(settings), .refused = on_refused},
                     why);
        if (e != OK)
            return reason_add(why, ERR_INVALID, "group tls");
        log_own(s->tls, "certificate");
    }
    s->security =
        (struct net_security){.tls = s->tls, .allow_plain = settings->tls_allow_plain_tcp};
    net_secure(l, &s->security);
    return e;
}

void secure_reload(const struct secure *s, const struct secure_settings *settings)
{
    struct reason why;
    bool wanted;
    enum err e = check(settings, &wanted, &why);
    if (e == OK && wanted != (s->tls != NULL))
        e = reason_set(&why, ERR_INVALID,
                       "group tls: to begin or end with TLS the daemon must be started again");
    if (e == OK && s->tls != NULL) {
        struct tls_files files = files_of(settings);
        e = tls_reload(s->tls, &files, &why);
    }
    if (e != OK)
        log_error("certificate_refused", "why=%s kept=%s", log_quote(why.text),
                  log_quote("the old one, until a good one is there and HUP comes again"));
    else if (s->tls != NULL)
        log_own(s->tls, "certificate_reloaded");
}
