/* Templates of real tasks: rendered before the task starts, as a file and as variables. */
#include "fake_gateway.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMPLETE   PB__ALLOC__CLIENT_STATUS__COMPLETE
#define FAILED     PB__ALLOC__CLIENT_STATUS__FAILED
#define SH(script) "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"" script "\"]}"

static struct fake *f;
static void begin(void)
{
    f = fake_new();
    fake_start_agent(f);
}
static void end(void)
{
    fake_free(f);
}
TestSuite(template, .init = begin, .fini = end, .timeout = 60);

static Pb__Job *job_of(const char *driver, const char *config, const char *text, const char *place,
                       bool variables)
{
    Pb__Job *job = fake_job(f, "batch", driver, config);
    Pb__Task *task = job->task_groups[0]->tasks[0];
    Pb__Template *t = arena_alloc(f->arena, sizeof *t);
    pb__template__init(t);
    t->embedded_tmpl = arena_strdup(f->arena, text);
    t->dest_path = arena_strdup(f->arena, place);
    t->perms = arena_strdup(f->arena, "0640");
    t->has_envvars = true;
    t->envvars = variables;
    task->templates = arena_array(f->arena, Pb__Template *, 1);
    task->templates[0] = t;
    task->n_templates = 1;
    return job;
}

Test(template, a_task_finds_its_file_and_its_variables)
{
    int i = fake_place(f, job_of("raw_exec",
                                 SH("cat local/web.conf; stat -c %a local/web.conf; "
                                    "echo $TASK"),
                                 "TASK={{ env \"NOMAD_TASK_NAME\" | toUpper }}\n"
                                 "RACK={{ env \"meta.rack\" }}\n",
                                 "local/web.conf", true));
    cr_assert(fake_await(f, i, COMPLETE, 10000), "%s", fake_events(f, i, "t"));
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "TASK=T\nRACK=r1\n640\nT\n");
}

Test(template, an_isolated_task_finds_it_where_it_looks)
{
    if (fake_attribute(f, "driver.exec.unhealthy") != NULL) {
        fprintf(stderr, "skipped: %s\n", fake_attribute(f, "driver.exec.unhealthy"));
        fake_free(f); /* nobody ends what is skipped */
        cr_skip("it is unhealthy here");
    }
    int i =
        fake_place(f, job_of("exec",
                             SH("cat $NOMAD_SECRETS_DIR/key; id -u; stat -c %u "
                                "/secrets/key"),
                             "{{ env \"NOMAD_JOB_ID\" }}\n", "${NOMAD_SECRETS_DIR}/key", false));
    cr_assert(fake_await(f, i, COMPLETE, 10000), "%s; %s", fake_events(f, i, "t"),
              fake_content(f, i, "alloc/logs/t.stderr.0"));
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"),
                     arena_printf(f->arena, "%s\n65534\n65534\n", f->allocs[i].job->id));
}

Test(template, a_wrong_one_fails_the_task_with_its_line)
{
    int i =
        fake_place(f, job_of("raw_exec", SH("true"), "a\n{{ secret \"x\" }}", "local/x", false));
    int k = fake_place(f, job_of("raw_exec", SH("true"), "a", "../../x", false));
    cr_assert(fake_await(f, i, FAILED, 10000) && fake_await(f, k, FAILED, 10000));
    const char *text = fake_task(f, i, "t")->events[2]->display_message;
    cr_assert(strstr(text, "template: line 2: it needs Consul, Vault") != NULL, "%s", text);
    text = fake_task(f, k, "t")->events[2]->display_message;
    cr_assert(strstr(text, "outside of the task's directories") != NULL, "%s", text);
}

static int place_with_payload(const char *file)
{
    static uint8_t payload[] = {'p', 'a', 'i', 'd'};
    Pb__Job *job = fake_job(f, "batch", "raw_exec", SH("cat local/*"));
    Pb__DispatchPayload *p = arena_alloc(f->arena, sizeof *p);
    pb__dispatch_payload__init(p);
    p->file = arena_strdup(f->arena, file);
    job->task_groups[0]->tasks[0]->dispatch_payload = p;
    job->has_payload = true;
    job->payload = (ProtobufCBinaryData){sizeof payload, payload};
    return fake_place(f, job);
}

Test(template, a_payload_goes_to_the_tasks_directory_and_nowhere_else)
{
    int i = place_with_payload("in"), k = place_with_payload("../../out");
    cr_assert(fake_await(f, i, COMPLETE, 10000) && fake_await(f, k, FAILED, 10000));
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "paid");
    const char *text = fake_task(f, k, "t")->events[2]->display_message;
    cr_assert(strstr(text, "outside of the task's directories") != NULL, "%s", text);
    cr_assert_neq(access(fake_path(f, k, "out"), F_OK), 0);
}

/* A task that goes before has put a link there. */
Test(template, a_file_that_is_a_link_of_a_task_out_of_the_allocation_is_not_read)
{
    const char *secret = arena_printf(f->arena, "%s/secret", f->dir);
    FILE *file = fopen(secret, "we");
    cr_assert(file != NULL && fputs("secret", file) >= 0 && fclose(file) == 0);
    Pb__Job *job = job_of("raw_exec", SH("cat local/out"), "{{ file \"/alloc/data/in\" }}",
                          "local/out", false);
    Pb__Task *before =
        fake_add_task(f, job, "before", "raw_exec",
                      arena_printf(f->arena, SH("ln -s %s ../alloc/data/in"), secret));
    before->lifecycle = arena_alloc(f->arena, sizeof *before->lifecycle);
    pb__lifecycle__init(before->lifecycle);
    before->lifecycle->hook = arena_strdup(f->arena, "prestart");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, FAILED, 10000));
    cr_assert_neq(access(fake_path(f, i, "alloc/data/in"), F_OK), -1, "there is no link");
    cr_assert(strstr(fake_task(f, i, "t")->events[2]->display_message, "escapes") != NULL, "%s",
              fake_task(f, i, "t")->events[2]->display_message);
    cr_assert_eq(remove(secret), 0);
}
