#include "checkpoint.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

const char *ce_format_name(ce_format format) {
    static const char *const names[] = {"hugging-face", "open-clip", "openai"};
    return names[format];
}

static bool has(const char *directory, const char *name) {
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/%s", directory, name) < (int)sizeof path &&
           access(path, F_OK) == 0;
}

int ce_checkpoint_find(ce_checkpoint *out, const char *path, const char *arch,
                       ce_error *err) {
    *out = (ce_checkpoint){0};
    struct stat st;
    (void)arch;
    if (stat(path, &st) < 0)
        return ce_fail(err, CE_EIO, "%s: no such model", path);
    if (!S_ISDIR(st.st_mode))
        return ce_fail(err, CE_EUNSUPPORTED, "%s: not a directory", path);
    if (snprintf(out->directory, sizeof out->directory, "%s", path) + 64 > PATH_MAX)
        return ce_fail(err, CE_EINVAL, "%.200s...: the path is too long", path);
    const char *config, *weights;
    if (has(path, "open_clip_config.json")) {
        out->format = CE_FORMAT_OPEN_CLIP;
        config = "open_clip_config.json";
        weights = "open_clip_model.safetensors";
    } else if (has(path, "config.json")) {
        out->format = CE_FORMAT_HUGGING_FACE;
        config = "config.json";
        weights = "model.safetensors";
    } else {
        return ce_fail(err, CE_EFORMAT,
                       "%s: no config.json (Hugging Face) and no open_clip_config.json "
                       "(open_clip)",
                       path);
    }
    snprintf(out->config, sizeof out->config, "%.*s/%s", PATH_MAX - 64, path, config);
    snprintf(out->weights, sizeof out->weights, "%.*s/%s", PATH_MAX - 64, path, weights);
    return CE_OK;
}
