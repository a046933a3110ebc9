#include "checkpoint.h"

#include "fs.h"
#include "weights.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* In the order in which transformers looks. */
static const char *const hugging_face_weights[] = {
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json", NULL};

/* In the order in which open_clip looks in a "local-dir:" (factory.py): its own names, then
 * those that it shares. */
static const char *const open_clip_weights[] = {
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth", NULL};
static const char *const shared_weights[] = {"model.safetensors", "pytorch_model.bin",
                                             "pytorch_model.pth", "model.pth", NULL};

const char *ce_format_name(ce_format format) {
    static const char *const names[] = {"hugging-face", "open-clip", "openai"};
    return names[format];
}

static bool ends_in(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Whether the directory holds the regular file; its path into `out`. A link that leads
 * nowhere is noted: in the cache of the hub it is a download that was cut short. */
static bool has(char out[PATH_MAX], ce_checkpoint *c, const char *name) {
    struct stat st;
    int n = snprintf(out, PATH_MAX, "%s/%s", c->directory, name);
    if (n < PATH_MAX && stat(out, &st) == 0)
        return S_ISREG(st.st_mode);
    if (n < PATH_MAX && !*c->dangling && lstat(out, &st) == 0)
        strcpy(c->dangling, out);
    return false;
}

static bool has_any(char out[PATH_MAX], ce_checkpoint *c, const char *const *names) {
    for (size_t i = 0; names[i]; i++)
        if (has(out, c, names[i]))
            return true;
    out[0] = '\0';
    return false;
}

/* An architecture's name, "openai", or the path of a model configuration. */
static int set_arch(ce_checkpoint *c, const char *arch, ce_error *err) {
    if (strcasecmp(arch, "openai") == 0) {
        c->format = CE_FORMAT_OPENAI;
        strcpy(c->arch, "openai");
        return CE_OK;
    }
    c->format = CE_FORMAT_OPEN_CLIP;
    bool is_path = ends_in(arch, ".json");
    size_t room = is_path ? sizeof c->config : sizeof c->arch;
    if (!*arch || strlen(arch) >= room)
        return ce_fail(err, CE_EINVAL, "\"%.200s\" is no architecture that open_clip knows",
                       arch);
    strcpy(is_path ? c->config : c->arch, arch);
    return CE_OK;
}

/* Whether the file may be weights whose name nobody agreed on. */
static bool is_candidate(const char *name) {
    static const char *const of_training[] = {"training_args.bin", "optimizer.pt",
                                              "optimizer.bin",     "scheduler.pt",
                                              "scaler.pt",         "rng_state.pth"};
    for (size_t i = 0; i < sizeof of_training / sizeof *of_training; i++)
        if (strcmp(name, of_training[i]) == 0)
            return false;
    return name[0] != '.' &&
           (ends_in(name, ".pt") || ends_in(name, ".pth") || ends_in(name, ".ckpt") ||
            ends_in(name, ".bin") || ends_in(name, ".safetensors"));
}

/* Every CLIP has a temperature; optimiser states and other tensors have none. */
static int is_clip(bool *out, const char *path, ce_error *err) {
    ce_weights *w;
    int result = ce_weights_open(&w, path, err);
    if (result < 0)
        return result;
    *out = ce_weights_find(w, "logit_scale") != NULL;
    ce_weights_free(w);
    return CE_OK;
}

typedef struct candidates {
    size_t count;
    char names[256]; /* for people */
    char path[PATH_MAX];
} candidates;

static void add_candidate(candidates *found, const char *name, const char *path) {
    size_t used = strlen(found->names), room = sizeof found->names - used;
    if (strlen(name) + 3 < room)
        snprintf(found->names + used, room, "%s%s", found->count ? ", " : "", name);
    if (found->count++ == 0)
        strcpy(found->path, path);
}

/* The weights files that could be meant; with `clips_only` those that hold a CLIP. */
static int list_candidates(candidates *found, ce_checkpoint *c, bool clips_only,
                           ce_error *err) {
    ce_listing listing;
    char path[PATH_MAX];
    *found = (candidates){0};
    int result = ce_list_directory(&listing, c->directory, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < listing.count && result == CE_OK; i++) {
        bool fits = is_candidate(listing.names[i]) && has(path, c, listing.names[i]);
        if (fits && clips_only)
            result = is_clip(&fits, path, err);
        if (result == CE_OK && fits)
            add_candidate(found, listing.names[i], path);
    }
    ce_listing_free(&listing);
    return result;
}

/* The one file in the directory that can be meant. */
static int find_candidate(ce_checkpoint *c, ce_error *err) {
    candidates found, clips;
    int result = list_candidates(&found, c, false, err);
    if (result == CE_OK && found.count > 1) {
        result = list_candidates(&clips, c, true, err);
        if (result == CE_OK && clips.count == 0)
            return ce_fail(err, CE_EFORMAT,
                           "%s: none of its weights files holds a CLIP (%s)", c->directory,
                           found.names);
        found = clips;
    }
    if (result == CE_OK && found.count > 1)
        return ce_fail(err, CE_EFORMAT, "%s: holds %zu models; name one of the files (%s)",
                       c->directory, found.count, found.names);
    strcpy(c->weights, found.path);
    return result;
}

/* A directory with a configuration in it, but without the weights to it. */
static int no_weights(ce_checkpoint *c, const char *config, ce_error *err) {
    static const char *const others[] = {"tf_model.h5", "flax_model.msgpack", "model.onnx"};
    char path[PATH_MAX];
    candidates found;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (has(path, c, others[i]))
            return ce_fail(err, CE_EUNSUPPORTED,
                           "%s: no model.safetensors and no pytorch_model.bin, and %s, "
                           "which is there, is not implemented",
                           c->directory, others[i]);
    bool listed = list_candidates(&found, c, false, NULL) == CE_OK && found.count;
    if (listed && strstr(found.names, "-00001-of-"))
        return ce_fail(err, CE_EFORMAT,
                       "%s: holds shards (%s) without their index, "
                       "model.safetensors.index.json or pytorch_model.bin.index.json",
                       c->directory, found.names);
    if (listed)
        return ce_fail(err, CE_EFORMAT,
                       "%s: no model.safetensors and no pytorch_model.bin; if one of those "
                       "that are there is meant, name it (%s)",
                       c->directory, found.names);
    return ce_fail(err, CE_EFORMAT,
                   "%s: %s is there, but no weights: no model.safetensors, "
                   "pytorch_model.bin or open_clip_model.safetensors",
                   c->directory, config);
}

static int no_model(const ce_checkpoint *c, ce_error *err) {
    char path[PATH_MAX];
    struct stat st;
    if (snprintf(path, sizeof path, "%s/snapshots", c->directory) < PATH_MAX &&
        stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return ce_fail(err, CE_EFORMAT,
                       "%s: an entry of the Hugging Face cache; the model is one of the "
                       "directories in its snapshots/",
                       c->directory);
    return ce_fail(
        err, CE_EFORMAT,
        "%s: no model: no config.json (Hugging Face), no open_clip_config.json "
        "(open_clip) and no weights file (*.pt, *.pth, *.ckpt, *.bin, *.safetensors)",
        c->directory);
}

/* A directory whose architecture is given; how pictures are prepared, its own file says. */
static int find_weights(ce_checkpoint *c, ce_error *err) {
    char config[PATH_MAX];
    if (*c->arch && c->format == CE_FORMAT_OPEN_CLIP &&
        has(config, c, "open_clip_config.json"))
        strcpy(c->config, config);
    if (has_any(c->weights, c, open_clip_weights) || has_any(c->weights, c, shared_weights))
        return CE_OK;
    int result = find_candidate(c, err);
    return result < 0 || *c->weights ? result : no_model(c, err);
}

/* Hub downloads often hold a model twice: open_clip's files go first where they are whole.
 */
static int find_in_directory(ce_checkpoint *c, const char *arch, ce_error *err) {
    char open_clip[PATH_MAX], hugging_face[PATH_MAX];
    if (arch)
        return find_weights(c, err);
    bool has_open_clip = has(open_clip, c, "open_clip_config.json");
    bool has_hugging_face = has(hugging_face, c, "config.json");
    c->format = CE_FORMAT_OPEN_CLIP;
    strcpy(c->config, open_clip);
    if (has_open_clip && has_any(c->weights, c, open_clip_weights))
        return CE_OK;
    if (has_hugging_face && has_any(c->weights, c, hugging_face_weights)) {
        c->format = CE_FORMAT_HUGGING_FACE;
        strcpy(c->config, hugging_face);
        return CE_OK;
    }
    if (has_open_clip && has_any(c->weights, c, shared_weights))
        return CE_OK;
    if (has_hugging_face && !has_open_clip)
        return no_weights(c, "config.json", err);
    int result = find_candidate(c, err);
    if (result < 0 || (has_open_clip && *c->weights))
        return result;
    if (has_open_clip)
        return no_weights(c, "open_clip_config.json", err);
    c->format = CE_FORMAT_OPENAI;
    c->config[0] = '\0';
    return *c->weights ? CE_OK : no_model(c, err);
}

/* A configuration beside the file counts where it is of the library that names tensors as
 * the file does. A TorchScript archive says all by itself. */
static int find_beside(ce_checkpoint *c, ce_error *err) {
    char open_clip[PATH_MAX], hugging_face[PATH_MAX];
    bool has_open_clip = has(open_clip, c, "open_clip_config.json");
    bool has_hugging_face = has(hugging_face, c, "config.json");
    ce_weights *w;
    c->format = CE_FORMAT_OPENAI;
    if (!has_open_clip && !has_hugging_face)
        return CE_OK;
    int result = ce_weights_open(&w, c->weights, err);
    if (result < 0)
        return result;
    bool is_hugging_face =
        ce_weights_find(w, "vision_model.embeddings.patch_embedding.weight") != NULL;
    if (is_hugging_face && has_hugging_face) {
        c->format = CE_FORMAT_HUGGING_FACE;
        strcpy(c->config, hugging_face);
    } else if (!is_hugging_face && has_open_clip && !ce_weights_is_torchscript(w)) {
        c->format = CE_FORMAT_OPEN_CLIP;
        strcpy(c->config, open_clip);
    }
    ce_weights_free(w);
    return CE_OK;
}

static int find_of_file(ce_checkpoint *c, const char *path, const char *arch,
                        ce_error *err) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t n = slash ? (size_t)(slash - path) : 0;
    strcpy(c->weights, path);
    snprintf(c->directory, sizeof c->directory, "%.*s", slash && n ? (int)n : 1,
             slash ? path : ".");
    if (ends_in(name, ".json") && !ends_in(name, ".index.json"))
        return ce_fail(err, CE_EFORMAT,
                       "%s: a configuration is not the model; its directory is (%s)", path,
                       c->directory);
    return arch ? CE_OK : find_beside(c, err);
}

int ce_checkpoint_find(ce_checkpoint *out, const char *path, const char *arch,
                       ce_error *err) {
    struct stat st;
    size_t n = strlen(path);
    *out = (ce_checkpoint){0};
    if (n + 300 > PATH_MAX) /* with the longest name behind it */
        return ce_fail(err, CE_EINVAL, "%.200s...: the path is too long", path);
    if (stat(path, &st) < 0)
        return ce_fail(err, CE_EIO, "%s: no such model%s%s", path,
                       errno == ENOENT ? "" : ": ", errno == ENOENT ? "" : strerror(errno));
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return ce_fail(err, CE_EIO, "%s: neither a file nor a directory", path);
    int result = arch ? set_arch(out, arch, err) : CE_OK;
    if (result < 0)
        return result;
    if (S_ISREG(st.st_mode))
        return find_of_file(out, path, arch, err);
    while (n > 1 && path[n - 1] == '/')
        n--;
    snprintf(out->directory, sizeof out->directory, "%.*s", (int)n, path);
    result = find_in_directory(out, arch, err);
    return *out->dangling
               ? ce_fail(err, CE_EIO,
                         "%s: a link that leads nowhere (an interrupted download?)",
                         out->dangling)
               : result;
}
