#include "runtime.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char share[PATH_MAX];

static bool is_share(const char *path) {
    char probe[PATH_MAX + 16];
    struct stat st;
    snprintf(probe, sizeof probe, "%s/datasets", path);
    if (stat(probe, &st) != 0 || !S_ISDIR(st.st_mode))
        return false;
    snprintf(probe, sizeof probe, "%s/eval", path);
    return stat(probe, &st) == 0 && S_ISDIR(st.st_mode);
}

/* `share` becomes DIRECTORY-OF-THE-PROGRAM/suffix where that is a share directory. */
static bool beside_program(const char *suffix) {
    char program[PATH_MAX], path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0)
        return false;
    program[n] = '\0';
    char *slash = strrchr(program, '/');
    if (!slash)
        return false;
    *slash = '\0';
    int size = snprintf(path, sizeof path, "%s/%s", program, suffix);
    return size > 0 && (size_t)size < sizeof path && is_share(path) &&
           realpath(path, share);
}

const char *ce_share_directory(void) {
    const char *user = getenv("CLIPEVAL_SHARE");
    if (share[0])
        return share;
    if (user && *user)
        snprintf(share, sizeof share, "%s", user);
    else if (!beside_program("../share/clipeval") && !beside_program(".."))
        snprintf(share, sizeof share, "%s", CE_SOURCE_DIR);
    return share;
}
