/* Runs a fuzz target without libFuzzer: every file of a corpus, then seeded mutations of them. With
 * clang's -fsanitize=fuzzer the same targets are linked without this file.
 *
 * usage: TARGET [--runs N] [--seed S] FILE...   A failure prints the seed of the input that did it.
 */
#include "base/prng.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#define INPUT_MAX  (1u << 16)
#define CORPUS_MAX 256

struct input {
    unsigned char *data;
    size_t size;
};

static volatile sig_atomic_t in_mutations;
static unsigned long current_seed;

static void on_crash(int signal_number)
{
    char line[64];
    int n = snprintf(line, sizeof(line), "crashed by --seed %lu --runs 1\n", current_seed);
    if (in_mutations && n > 0 && write(2, line, (size_t)n) < 0)
        _exit(3);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void fail(const char *what, const char *path)
{
    fprintf(stderr, "%s: %s\n", what, path);
    exit(2);
}

static struct input read_file(const char *path)
{
    struct input in = {malloc(INPUT_MAX), 0};
    FILE *f = fopen(path, "rb");
    if (f == NULL || in.data == NULL)
        fail("cannot read", path);
    in.size = fread(in.data, 1, INPUT_MAX, f);
    fclose(f);
    return in;
}

/* Copies, cuts, flips, inserts digits and punctuation, splices with another input. */
static size_t mutate(struct prng *p, const struct input *corpus, size_t count, unsigned char *out)
{
    static const char tokens[] = "{}[]\",:\\0-9eE.%/+&=?";
    const struct input *from = &corpus[prng_below(p, count)];
    size_t n = from->size;
    memcpy(out, from->data, n);
    for (uint64_t i = 1 + prng_below(p, 8); i > 0; i--) {
        size_t at = n == 0 ? 0 : prng_below(p, n);
        switch (prng_below(p, 6)) {
        case 0:
            n = at;
            break;
        case 1:
            if (n > 0)
                out[at] ^= (unsigned char)(1u << prng_below(p, 8));
            break;
        case 2:
            if (n > 0)
                out[at] = (unsigned char)tokens[prng_below(p, sizeof(tokens) - 1)];
            break;
        case 3:
            if (n + 1 < INPUT_MAX) {
                memmove(out + at + 1, out + at, n - at);
                out[at] = (unsigned char)tokens[prng_below(p, sizeof(tokens) - 1)];
                n++;
            }
            break;
        case 4: {
            const struct input *other = &corpus[prng_below(p, count)];
            size_t start = other->size == 0 ? 0 : prng_below(p, other->size);
            size_t len = other->size - start;
            if (len > INPUT_MAX - at)
                len = INPUT_MAX - at;
            memcpy(out + at, other->data + start, len);
            n = at + len;
            break;
        }
        default: {
            size_t len = n - at < 64 ? n - at : 64;
            if (len > 0 && n + len < INPUT_MAX) {
                memmove(out + at + len, out + at, n - at);
                n += len;
            }
        }
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    static struct input corpus[CORPUS_MAX];
    size_t count = 0;
    unsigned long runs = 20000, seed = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
            runs = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoul(argv[++i], NULL, 10);
        else if (count < CORPUS_MAX)
            corpus[count++] = read_file(argv[i]);
    }
    if (count == 0)
        corpus[count++] = (struct input){(unsigned char *)strdup("{}"), 2};
    for (size_t i = 0; i < count; i++)
        LLVMFuzzerTestOneInput(corpus[i].data, corpus[i].size);
    unsigned char *out = malloc(INPUT_MAX);
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    in_mutations = 1;
    for (unsigned long i = 0; i < runs; i++) {
        struct prng p;
        prng_seed(&p, seed + i);
        size_t n = mutate(&p, corpus, count, out);
        /* an exact block, so that a sanitizer sees one byte too many */
        unsigned char *exact = malloc(n > 0 ? n : 1);
        memcpy(exact, out, n);
        current_seed = seed + i;
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    free(out);
    for (size_t i = 0; i < count; i++)
        free(corpus[i].data);
    printf("%lu inputs from seed %lu\n", runs, seed);
    return 0;
}
