#include "diffview.h"
#include "show.h"
#include "table.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *mark_of(const json_t *part)
{
    const char *type = text_at(part, "Type");
    return strcmp(type, "Added") == 0     ? "+ "
           : strcmp(type, "Deleted") == 0 ? "- "
           : strcmp(type, "Edited") == 0  ? "+/- "
                                          : "";
}

static int longest(const json_t *list, const char *(*text)(const json_t *))
{
    size_t i, most = 0;
    const json_t *one;
    json_array_foreach((json_t *)(uintptr_t)list, i, one) if (strlen(text(one)) > most) most =
        strlen(text(one));
    return (int)most;
}

static const char *name_of(const json_t *part)
{
    return text_at(part, "Name");
}

/* " (forces create)" */
static void print_annotations(const json_t *part)
{
    const json_t *notes = value_at(part, "Annotations");
    size_t i;
    const json_t *note;
    json_array_foreach((json_t *)(uintptr_t)notes, i, note)
        printf("%s%s", i == 0 ? " (" : ", ", json_string_value(note));
    if (json_array_size(notes) > 0)
        putchar(')');
}

static void print_text(const char *text)
{
    putchar('"');
    print_clean(stdout, text);
    putchar('"');
}

static void print_fields(const json_t *fields, int indent, int marks)
{
    int names = longest(fields, name_of);
    size_t i;
    const json_t *f;
    json_array_foreach((json_t *)(uintptr_t)fields, i, f)
    {
        const char *type = text_at(f, "Type");
        printf("%*s%-*s", indent, "", marks, mark_of(f));
        print_clean(stdout, name_of(f));
        printf(":%*s ", names - (int)strlen(name_of(f)), "");
        print_text(text_at(f, strcmp(type, "Added") == 0 ? "New" : "Old"));
        if (strcmp(type, "Edited") == 0) {
            printf(" => ");
            print_text(text_at(f, "New"));
        }
        print_annotations(f);
        putchar('\n');
    }
}

/* As wide as the marks of a part's fields and objects. */
static int marks_of(const json_t *part)
{
    int fields = longest(value_at(part, "Fields"), mark_of),
        objects = longest(value_at(part, "Objects"), mark_of);
    return fields > objects ? fields : objects;
}

static void print_parts(const json_t *part, int indent);

/* Objects hold objects: as deep as a job file is, which is bounded where it is read. */
static void print_object(const json_t *object, int indent, int marks)
{
    printf("%*s%-*s", indent, "", marks, mark_of(object));
    print_clean(stdout, name_of(object));
    printf(" {\n");
    print_parts(object, indent + 2);
    printf("%*s}\n", indent + marks, "");
}

static void print_parts(const json_t *part, int indent)
{
    int marks = marks_of(part);
    size_t i;
    const json_t *object;
    print_fields(value_at(part, "Fields"), indent, marks);
    json_array_foreach(value_at(part, "Objects"), i, object) print_object(object, indent, marks);
}

/* Of what is new or gone as a whole the head says it. */
static bool tells_more(const json_t *part, bool all)
{
    return all || strcmp(text_at(part, "Type"), "Edited") == 0;
}

/* marks: of what the part lies in. */
static void print_head(const json_t *part, const char *noun, const char *name, int indent,
                       int marks)
{
    printf("%*s%-*s%s: ", indent, "", mark_of(part)[0] == '\0' ? marks : 0, mark_of(part), noun);
    print_text(name);
}

static void print_updates(const json_t *group)
{
    size_t count;
    const json_t *updates = value_at(group, "Updates");
    const char **kinds = sorted_keys(updates, &count);
    for (size_t i = 0; i < count; i++)
        printf("%s%lld %s", i == 0 ? " (" : ", ", (long long)number_at(updates, kinds[i]),
               kinds[i]);
    if (count > 0)
        putchar(')');
    free(kinds);
}

static void print_group(const json_t *group, bool all, int marks)
{
    size_t i;
    const json_t *task;
    print_head(group, "Task Group", name_of(group), 0, marks);
    print_updates(group);
    putchar('\n');
    if (tells_more(group, all))
        print_parts(group, 2);
    json_array_foreach(value_at(group, "Tasks"), i, task)
    {
        print_head(task, "Task", name_of(task), 2, marks_of(group));
        print_annotations(task);
        putchar('\n');
        if (tells_more(task, all))
            print_parts(task, 4);
    }
}

void print_job_diff(const json_t *diff, bool all)
{
    size_t i;
    const json_t *group;
    print_head(diff, "Job", text_at(diff, "ID"), 0, 0);
    putchar('\n');
    if (tells_more(diff, all))
        print_parts(diff, 0);
    json_array_foreach(value_at(diff, "TaskGroups"), i, group)
        print_group(group, all, marks_of(diff));
}
