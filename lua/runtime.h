/* The Lua half of the program: a state with the standard libraries, the module "clipeval",
 * and the table `arg`; one verb runs in it.
 *
 *     ce_setting settings[] = {{"limit", CE_SETTING_INTEGER, NULL, 100}};
 *     ce_command command = {"run", "fashion_mnist.lua", settings, 1};
 *     return ce_runtime_main(&command);
 */
#ifndef CE_RUNTIME_H
#define CE_RUNTIME_H

#include <stddef.h>

enum { /* of the program */
       CE_EXIT_DONE = 0,
       CE_EXIT_CHECK = 1,   /* done, and a check that the user asked for failed */
       CE_EXIT_USAGE = 2,   /* the command line is wrong */
       CE_EXIT_FAULT = 3,   /* a model, a file or a script is at fault */
       CE_EXIT_SIGNAL = 128 /* + the number of the signal that ended it */
};

typedef enum ce_setting_kind {
    CE_SETTING_FLAG,
    CE_SETTING_TEXT,
    CE_SETTING_INTEGER
} ce_setting_kind;

typedef struct ce_setting { /* becomes arg.key */
    const char *key;
    ce_setting_kind kind;
    const char *text;
    long long number;
} ce_setting;

typedef struct ce_command {
    const char *verb;            /* a function of lua/clipeval/program.lua */
    const char *const *operands; /* become arg[0], arg[1], ... */
    size_t operand_count;
    const ce_setting *settings;
    size_t count;
} ce_command;

/* Returns an exit code; faults are told on stderr. */
int ce_runtime_main(const ce_command *command);

/* Where eval/, datasets/, prompts/ and models/ lie: $CLIPEVAL_SHARE, else beside the
 * installed program, else the source tree. Borrowed, constant. */
const char *ce_share_directory(void);

#endif
