/* Namespaces: what may be set and deleted, and what a job's namespace must be. The words are
 * Nomad's (recordings/21). */
#include "cluster.h"
#include <criterion/criterion.h>
#include <string.h>

static struct cluster *c;

static void set_up(void)
{
    c = cluster_new();
}

static void tear_down(void)
{
    cluster_free(c);
}

TestSuite(namespace, .init = set_up, .fini = tear_down);

static Pb__Outcome *set(const char *name, const char *description)
{
    Pb__Namespace n = PB__NAMESPACE__INIT;
    Pb__NamespaceSet body = PB__NAMESPACE_SET__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    n.name = arena_strdup(c->arena, name);
    n.description = arena_strdup(c->arena, description);
    body.namespace_ = &n;
    cmd.body_case = PB__COMMAND__BODY_NAMESPACE_SET;
    cmd.namespace_set = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__Outcome *delete (const char *name)
{
    Pb__NamespaceDelete body = PB__NAMESPACE_DELETE__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.name = arena_strdup(c->arena, name);
    cmd.body_case = PB__COMMAND__BODY_NAMESPACE_DELETE;
    cmd.namespace_delete = &body;
    return cluster_apply(c, &cmd, 0);
}

static Pb__Namespace *get(const char *name)
{
    struct view *v = state_read(c->state);
    Pb__Namespace *n = state_namespace(v, c->arena, name);
    view_abort(v);
    return n;
}

static Pb__Outcome *run_in(const char *ns, const char *id)
{
    Pb__Job *job = a_job(c, id, 1);
    job->namespace_ = arena_strdup(c->arena, ns);
    return register_job(c, job);
}

static void refused(const Pb__Outcome *o, const char *reason)
{
    cr_assert_neq(o->code, PB__OUTCOME__CODE__APPLIED);
    cr_assert_str_eq(o->reason, reason);
}

static void applied(const Pb__Outcome *o)
{
    cr_assert_eq(o->code, PB__OUTCOME__CODE__APPLIED, "%s", o->reason);
}

Test(namespace, a_job_needs_one_that_is_there)
{
    refused(run_in("apps", "web"), "job \"web\" is in nonexistent namespace \"apps\"");
    applied(set("apps", ""));
    applied(run_in("apps", "web"));
    applied(run_in("default", "web"));
    applied(run_in("", "api"));
}

Test(namespace, a_change_keeps_where_it_was_made)
{
    applied(set("apps", "one"));
    applied(set("apps", "two"));
    cr_assert_str_eq(get("apps")->description, "two");
    cr_assert_eq(get("apps")->create_index, 1);
    cr_assert_eq(get("apps")->modify_index, 2);
}

Test(namespace, default_may_be_described_but_not_deleted)
{
    refused(delete ("default"), "can not delete default namespace");
    applied(set("default", "ours"));
    cr_assert_eq(get("default")->create_index, 1, "it was there before");
    refused(delete ("default"), "can not delete default namespace");
}

Test(namespace, one_with_a_job_that_may_still_run_stays)
{
    applied(set("apps", ""));
    applied(set("apps-2", ""));
    applied(run_in("apps", "web"));
    refused(delete ("apps"), "namespace \"apps\" has non-terminal jobs");
    applied(delete ("apps-2")); /* the other's jobs are not its own */
    Pb__JobDeregister body = PB__JOB_DEREGISTER__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.namespace_ = arena_strdup(c->arena, "apps");
    body.job_id = arena_strdup(c->arena, "web");
    body.has_purge = body.purge = true;
    cmd.body_case = PB__COMMAND__BODY_JOB_DEREGISTER;
    cmd.job_deregister = &body;
    applied(cluster_apply(c, &cmd, 0));
    applied(delete ("apps"));
    cr_assert_null(get("apps"));
    refused(run_in("apps", "web"), "job \"web\" is in nonexistent namespace \"apps\"");
}

Test(namespace, deleting_what_is_not_there_is_no_error)
{
    applied(delete ("ghost"));
    applied(delete (""));
}

Test(namespace, names_and_descriptions_are_bounded)
{
    char longest[130], text[300];
    memset(longest, 'n', sizeof longest);
    memset(text, 'x', sizeof text);
    longest[129] = text[256] = '\0';
    applied(set("a-B-9", text));
    text[256] = 'x';
    text[257] = '\0';
    refused(set("a b", ""), "Invalid namespace \"a b\": 1 error occurred:\n\t* invalid name \"a "
                            "b\". Must match regex ^[a-zA-Z0-9-]{1,128}$\n\n");
    refused(set("ok", text),
            "Invalid namespace \"ok\": 1 error occurred:\n\t* description longer than 256\n\n");
    refused(set("", text), "Invalid namespace \"\": 2 errors occurred:\n\t* invalid name \"\". "
                           "Must match regex ^[a-zA-Z0-9-]{1,128}$\n\t* description longer than "
                           "256\n\n");
    cr_assert_eq(set(longest, "")->code, PB__OUTCOME__CODE__INVALID);
    longest[128] = '\0';
    applied(set(longest, ""));
    cr_assert_eq(set("t\xc3\xbcr", "")->code, PB__OUTCOME__CODE__INVALID);
}
