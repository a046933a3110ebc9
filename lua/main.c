/* clipeval: verbs and options. What a verb does is lua/clipeval/program.lua. */
#include "blas.h"
#include "image.h"
#include "linear.h"
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <lua.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RUN = 1,
    ENCODE = 2,
    LIST = 4,
    DOCTOR = 8,
    COMPARE = 16,
    CACHE = 32,
    REPORT = 64,
    HISTORY = 128,
    BENCH = 256,
    EVERY = 511
};

typedef struct verb {
    const char *name;
    unsigned bit;
    const char *operand; /* what is missing where there are fewer than `least` */
    size_t least, most;  /* operands */
    const char *synopsis, *what;
} verb;

static const verb VERBS[] = {
    {"run", RUN, "SCRIPT", 1, 1, "clipeval run SCRIPT [options]",
     "evaluate: runs a Lua script and writes its report\n\n"
     "SCRIPT is a file, or the name of one in eval/ (see clipeval list evals)."},
    {"encode", ENCODE, NULL, 0, 0,
     "clipeval encode --model M [options] -o FILE.safetensors",
     "pictures and texts to embeddings\n\n"
     "LIST is a text file with one path or text a line; of a .jsonl file each line is a\n"
     "JSON string; - is standard input. A picture that cannot be read is a row of NaN."},
    {"doctor", DOCTOR, "MODEL", 1, 1, "clipeval doctor MODEL [--json]",
     "what was resolved, and what looks wrong\n\n"
     "Shows which file says what, looks at every value of the weights, and encodes a few\n"
     "built-in texts and pictures. Exit code 1: something looks wrong; 3: no such model."},
    {"bench", BENCH, NULL, 0, 0, "clipeval bench [--model M] [options]",
     "this machine, this model, every precision\n\n"
     "How near the kernels come to this CPU's own limit, what the model does a second, "
     "and\n"
     "what stands in the way. Takes some seconds; nothing else should run meanwhile."},
    {"list", LIST, "WHAT", 1, 1, "clipeval list models|datasets|prompts|evals",
     "what is there, and models in the local cache"},
    {"compare", COMPARE, "BASE NEW", 0, 2, "clipeval compare BASE NEW [options]",
     "what got worse, and is it more than chance?\n\n"
     "BASE and NEW are run directories, or their report.csv. Each metric's difference "
     "gets\n"
     "a paired 95 % interval and a paired test; p is adjusted over all metrics (Holm).\n"
     "A regression, and exit code 1, is what --max-drop and --alpha say: with both, a "
     "drop\n"
     "that is larger than the one and, where it can be tested, more than chance by the\n"
     "other; with neither, nothing."},
    {"report", REPORT, "RUN", 1, SIZE_MAX, "clipeval report RUN... -o FILE.html",
     "one page of figures, for reading and sending\n\n"
     "RUN is a run directory; the first of several is what the others are compared with. "
     "The\n"
     "page is one file of at most some 4 MB and asks for nothing else. Pictures are looked "
     "for\n"
     "where the run found them, or where --data says."},
    {"history", HISTORY, "DIR", 1, 1, "clipeval history DIR [--format table|csv]",
     "the runs found below a directory\n\n"
     "Oldest first: what was evaluated and how well. With -o FILE.html a page that plots "
     "each\n"
     "dataset's metric over them. A run that cannot be read is told, and is not the end."},
    {"cache", CACHE, "WHAT", 1, 1, "clipeval cache stats|gc|verify",
     "the embeddings that runs have kept"},
};
enum { VERB_COUNT = sizeof VERBS / sizeof *VERBS };

typedef enum option_kind { FLAG, TEXT, INTEGER, PAIR } option_kind;

typedef struct option {
    const char *name; /* NULL: only the letter */
    char letter;
    unsigned verbs;
    option_kind kind;
    const char *key, *value, *help;
    long long min, max;
} option;

static const option OPTIONS[] = {
    {"model", 0, RUN | ENCODE | BENCH, TEXT, "model", "M",
     "a directory, a weights file, an embedded model (default: pocket), or a\n"
     "Hugging Face id that lies in the local cache: org/name[@revision]",
     0, 0},
    {"arch", 0, RUN | ENCODE | DOCTOR | BENCH, TEXT, "arch", "ARCH",
     "what the model is, where its file does not say: an architecture of\n"
     "open_clip's (ViT-B-32, ViT-B-32-quickgelu), openai, or the path of a model\n"
     "configuration of open_clip's (*.json)",
     0, 0},
    {"activation", 0, RUN | ENCODE | DOCTOR | BENCH, TEXT, "activation", "A",
     "quick_gelu, gelu or gelu_tanh, where config.json does not state it", 0, 0},
    {"data", 0, RUN | LIST | REPORT, TEXT, "data", "DIR",
     "where the dataset lies, or many do", 0, 0},
    {"out", 0, RUN, TEXT, "out", "DIR",
     "the run directory (default: runs/SCRIPT-MODEL-N); must not exist", 0, 0},
    {"limit", 0, RUN, INTEGER, "limit", "N", "a seeded random sample of N items", 1,
     1LL << 31},
    {"seed", 0, RUN | COMPARE, INTEGER, "seed", "S",
     "of that sample and of intervals (default: 0)", 0, 1LL << 53},
    {"images", 0, ENCODE, TEXT, "images", "LIST", "pictures to encode", 0, 0},
    {"texts", 0, ENCODE, TEXT, "texts", "LIST", "texts to encode", 0, 0},
    {"inputs", 0, ENCODE, FLAG, "inputs", NULL, "write pixel_values and input_ids as well",
     0, 0},
    {"normalize", 0, ENCODE, FLAG, "normalize", NULL, "divide embeddings by their length",
     0, 0},
    {"alpha", 0, ENCODE, TEXT, "alpha", "A",
     "transparency: drop (default), or white (lay over white)", 0, 0},
    {"cache", 0, RUN | CACHE, TEXT, "cache", "DIR",
     "where embeddings are kept (default: $XDG_CACHE_HOME/clipeval)", 0, 0},
    {"no-cache", 0, RUN, FLAG, "no_cache", NULL, "keep none, and use none", 0, 0},
    {"cache-size", 0, RUN | CACHE, TEXT, "cache_size", "SIZE",
     "what it may hold at most, such as 20GB; what was used last stays", 0, 0},
    {"baseline", 0, RUN, TEXT, "baseline", "CSV",
     "compare with it, and write junit.xml into the run directory; exit code 1: a\n"
     "regression, by its column max_drop or by --max-drop and --alpha",
     0, 0},
    {"update-baseline", 0, RUN, FLAG, "update_baseline", NULL, "rewrite that file", 0, 0},
    {"max-drop", 0, RUN | COMPARE, TEXT, "max_drop", "D",
     "a regression is a drop by more: 0.5pp or 0.5% (metrics in percent), or a\n"
     "fraction such as 0.005 (ece and brier as well, where a rise is a drop)",
     0, 0},
    {"alpha", 0, RUN | COMPARE, TEXT, "significance", "P",
     "a regression is a drop with an adjusted p of at most P, such as 0.05", 0, 0},
    {"resamples", 0, COMPARE, INTEGER, "resamples", "N",
     "of the bootstrap and of permutations (default: 10000)", 1, 1LL << 24},
    {"power", 0, COMPARE, TEXT, "power", "D",
     "how many items it takes to see a drop of D, such as 0.5pp, on runs like\n"
     "these two (or, without runs, for a table of shares of items that differ)",
     0, 0},
    {"force", 0, COMPARE, FLAG, "force", NULL, "compare what is not comparable", 0, 0},
    {"format", 0, COMPARE | HISTORY, TEXT, "format", "F",
     "table (default), csv, json, markdown or junit; of a history table or csv", 0, 0},
    {"metric", 0, HISTORY, TEXT, "metric", "NAME",
     "the one to list (default: each evaluation's first)", 0, 0},
    {"output", 'o', REPORT | COMPARE | HISTORY, TEXT, "output", "FILE", "the file to write",
     0, 0},
    {"output", 'o', ENCODE, TEXT, "output", "FILE", "the safetensors file to write", 0, 0},
    {"json", 0, DOCTOR | CACHE | BENCH, FLAG, "json", NULL,
     "one JSON object instead of the screen", 0, 0},
    {"threads", 0, RUN | ENCODE | DOCTOR | BENCH, INTEGER, "threads", "T",
     "workers (default: all cores)", 1, 1024},
    {"precision", 0, RUN | ENCODE | DOCTOR, TEXT, "precision", "P",
     "fp32 (default), int8, bf16, or auto: the fastest that agrees with fp32", 0, 0},
    {"precision", 0, BENCH, TEXT, "precision", "P",
     "fp32, int8, bf16 or auto: only this one (default: each)", 0, 0},
    {"drift", 0, BENCH, FLAG, "drift", NULL,
     "how far int8 and bf16 move the embeddings of built-in pictures and texts", 0, 0},
    {"quiet", 0, RUN | ENCODE, FLAG, "quiet", NULL, "no progress on stderr", 0, 0},
    {NULL, 'o', RUN, PAIR, NULL, "KEY=VALUE", "what the script reads as arg.KEY", 0, 0},
    {"help", 'h', EVERY, FLAG, NULL, NULL, "this text", 0, 0},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

/* ---- help ---- */

static void print_option(const option *o) {
    const char *help = o->help;
    char left[40];
    int n = o->letter ? snprintf(left, sizeof left, "-%c%s", o->letter, o->name ? ", " : "")
                      : 0;
    snprintf(left + n, sizeof left - (size_t)n, "%s%s%s%s", o->name ? "--" : "",
             o->name ? o->name : "", o->value ? " " : "", o->value ? o->value : "");
    for (int size; help; help = help[size] ? help + size + 1 : NULL) {
        size = (int)strcspn(help, "\n");
        printf("  %-20s %.*s\n", help == o->help ? left : "", size, help);
    }
}

static int print_help(const verb *v) {
    if (v) {
        printf("%s\n\n%s\n\n", v->synopsis, v->what);
        for (size_t i = 0; i < OPTION_COUNT; i++)
            if (OPTIONS[i].verbs & v->bit)
                print_option(&OPTIONS[i]);
        return CE_EXIT_DONE;
    }
    puts("clipeval evaluates CLIP models.\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        printf("  %-56s %.*s\n", VERBS[i].synopsis, (int)strcspn(VERBS[i].what, "\n"),
               VERBS[i].what);
    puts("\nclipeval VERB --help tells more; clipeval --version names the build.\n\n"
         "Exit codes: 0 done; 1 done, and a check that was asked for failed; 2 wrong "
         "usage;\n"
         "3 a model, a file or a script is at fault; 130 interrupted (128 + a signal).");
    return CE_EXIT_DONE;
}

static int print_version(void) {
    printf("clipeval %s\n%s\nengine %s\npictures %s\n%s\nshare %s\n", CE_VERSION,
           ce_blas_description(), ce_engine_description(), ce_image_decoders(), LUA_RELEASE,
           ce_share_directory());
    return CE_EXIT_DONE;
}

/* ---- "did you mean" ---- */

static size_t edit_distance(const char *a, const char *b) {
    enum { LONGEST = 32 };
    size_t row[LONGEST + 1], n = strlen(b);
    if (n > LONGEST || strlen(a) > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

static int unknown_option(const verb *v, const char *name) {
    const option *nearest = NULL;
    size_t least = 3; /* farther than that is another word */
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const option *o = &OPTIONS[i];
        size_t distance =
            o->name && (o->verbs & v->bit) ? edit_distance(name, o->name) : 99;
        if (distance < least) {
            least = distance;
            nearest = o;
        }
    }
    fprintf(stderr, "clipeval: %s: unknown option --%s", v->name, name);
    if (nearest)
        fprintf(stderr, " (did you mean --%s?)\n", nearest->name);
    else
        fprintf(stderr, " (see clipeval %s --help)\n", v->name);
    return CE_EXIT_USAGE;
}

/* ---- the command line ---- */

typedef struct parser {
    const verb *verb;
    char **argv; /* what is left, NULL-terminated */
    ce_setting *settings;
    size_t count;
    const char **operands;
    size_t operand_count;
    bool help, only_operands;
} parser;

static int wrong(const parser *p, const char *name, const char *fault) {
    fprintf(stderr, "clipeval: %s: %s %s\n", p->verb->name, name, fault);
    return CE_EXIT_USAGE;
}

/* "key=value", cut in two in place. */
static int add_pair(parser *p, char *pair) {
    char *equals = strchr(pair, '=');
    if (!equals || equals == pair)
        return wrong(p, "-o", "needs KEY=VALUE");
    *equals = '\0';
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (OPTIONS[i].key && (OPTIONS[i].verbs & RUN) && !strcmp(OPTIONS[i].key, pair)) {
            fprintf(stderr, "clipeval: run: -o %s=...: that is the option --%s\n", pair,
                    pair);
            return CE_EXIT_USAGE;
        }
    p->settings[p->count++] = (ce_setting){pair, CE_SETTING_TEXT, equals + 1, 0};
    return CE_EXIT_DONE;
}

static int add_integer(parser *p, const option *o, const char *name, const char *value) {
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (end == value || *end || errno || number < o->min || number > o->max) {
        fprintf(stderr, "clipeval: %s: %s needs an integer from %lld to %lld, not '%s'\n",
                p->verb->name, name, o->min, o->max, value);
        return CE_EXIT_USAGE;
    }
    p->settings[p->count++] = (ce_setting){o->key, CE_SETTING_INTEGER, NULL, number};
    return CE_EXIT_DONE;
}

static int add(parser *p, const option *o, const char *name, char *value) {
    if (o->kind == PAIR)
        return add_pair(p, value);
    if (o->kind == INTEGER)
        return add_integer(p, o, name, value);
    if (!strcmp(o->key, "precision") && strcmp(value, "fp32") != 0 &&
        strcmp(value, "int8") != 0 && strcmp(value, "bf16") != 0 &&
        strcmp(value, "auto") != 0)
        return wrong(p, "--precision", "must be fp32, int8, bf16 or auto");
    if (!strcmp(o->key, "alpha") && strcmp(value, "drop") != 0 &&
        strcmp(value, "white") != 0)
        return wrong(p, "--alpha", "must be drop or white");
    if (!*value)
        return wrong(p, name, "needs a value that is not empty");
    p->settings[p->count++] = (ce_setting){o->key, CE_SETTING_TEXT, value, 0};
    return CE_EXIT_DONE;
}

static const option *find_option(const verb *v, const char *name, size_t size,
                                 char letter) {
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const option *o = &OPTIONS[i];
        if (!(o->verbs & v->bit))
            continue;
        if (letter ? o->letter == letter
                   : o->name && strlen(o->name) == size && !strncmp(o->name, name, size))
            return o;
    }
    return NULL;
}

/* *p->argv is an option: takes it, and its value where that is the next word. */
static int parse_option(parser *p) {
    char *word = *p->argv++, *value = NULL;
    bool is_long = word[1] == '-';
    char *name = word + 1 + is_long;
    size_t size = is_long ? strcspn(name, "=") : 1;
    const option *o = find_option(p->verb, name, size, is_long ? '\0' : *name);
    if (is_long && name[size] == '=') {
        value = name + size + 1;
        name[size] = '\0';
    } else if (!is_long && name[1]) {
        value = name + 1; /* -oFILE */
    }
    if (!o)
        return is_long ? unknown_option(p->verb, name)
                       : wrong(p, word, "is no option (see --help)");
    if (o->kind == FLAG) {
        if (value)
            return wrong(p, word, "takes no value");
        if (o->key)
            p->settings[p->count++] = (ce_setting){o->key, CE_SETTING_FLAG, NULL, 0};
        else
            p->help = true;
        return CE_EXIT_DONE;
    }
    if (!value && !*p->argv)
        return wrong(p, word, "needs a value");
    return add(p, o, is_long ? word : "-o", value ? value : *p->argv++);
}

static int parse(parser *p) {
    int code = CE_EXIT_DONE;
    while (code == CE_EXIT_DONE && *p->argv) {
        char *word = *p->argv;
        if (!p->only_operands && !strcmp(word, "--")) {
            p->only_operands = true;
            p->argv++;
        } else if (!p->only_operands && word[0] == '-' && word[1]) {
            code = parse_option(p);
        } else if (p->operand_count == p->verb->most) {
            fprintf(stderr, "clipeval: %s: one argument too many: '%s'\n", p->verb->name,
                    word);
            code = CE_EXIT_USAGE;
        } else {
            p->operands[p->operand_count++] = word;
            p->argv++;
        }
    }
    if (code == CE_EXIT_DONE && !p->help && p->operand_count < p->verb->least)
        code = wrong(p, p->verb->operand, "is missing (see --help)");
    return code;
}

static const verb *find_verb(const char *name) {
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (!strcmp(VERBS[i].name, name))
            return &VERBS[i];
    return NULL;
}

static int run_verb(const verb *v, int argc, char **argv) {
    parser p = {.verb = v, .argv = argv};
    p.settings = calloc((size_t)argc + 1, sizeof *p.settings);
    p.operands = calloc((size_t)argc + 1, sizeof *p.operands);
    if (!p.settings || !p.operands) {
        fputs("clipeval: no memory\n", stderr);
        return CE_EXIT_FAULT;
    }
    int code = parse(&p);
    if (code == CE_EXIT_DONE && p.help)
        code = print_help(v);
    else if (code == CE_EXIT_DONE)
        code = ce_runtime_main(
            &(ce_command){v->name, p.operands, p.operand_count, p.settings, p.count});
    free(p.operands);
    free(p.settings);
    return code;
}

static int dispatch(int argc, char **argv) {
    const char *first = argc > 1 ? argv[1] : NULL;
    if (first &&
        (!strcmp(first, "--help") || !strcmp(first, "-h") || !strcmp(first, "help")))
        return print_help(NULL);
    if (first && !strcmp(first, "--version"))
        return print_version();
    const verb *v = first ? find_verb(first) : NULL;
    if (v)
        return run_verb(v, argc, argv + 2);
    if (first)
        fprintf(stderr, "clipeval: '%s' is no verb; there are ", first);
    else
        fputs("clipeval: say what to do: ", stderr);
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(stderr, "%s%s", i ? ", " : "", VERBS[i].name);
    fputs(" (see clipeval --help)\n", stderr);
    return CE_EXIT_USAGE;
}

/* Does nothing: write(2) fails with EPIPE. Not SIG_IGN, which programs that a script runs
 * would inherit. */
static void on_broken_pipe(int number) {
    (void)number;
}

/* A standard stream that is closed becomes one that fails: its number must not go to a file
 * that is opened later. */
static void keep_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv) {
    keep_streams();
    signal(SIGPIPE, on_broken_pipe);
    int code = dispatch(argc, argv);
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "clipeval: standard output: %s\n",
                errno ? strerror(errno) : "cannot be written");
        code = code == CE_EXIT_DONE ? CE_EXIT_FAULT : code;
    }
    return code;
}
