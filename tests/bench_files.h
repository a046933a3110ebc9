/* What ./dev bench measures with: checkpoints of random weights and a JPEG, in a directory
 * of their own under /tmp.
 *
 *     files_setup();                            // made here, removed at exit
 *     size_t bytes = files_write_vit();         // directory
 *     files_write_resnet();                     // in_directory("resnet")
 */
#ifndef BENCH_FILES_H
#define BENCH_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64] = "/tmp/clipeval-bench-XXXXXX";

static inline void die(const char *what) {
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static inline const char *in_directory(const char *name) {
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static inline void clean_up(void) {
    static const char *const names[] = {"config.json",
                                        "preprocessor_config.json",
                                        "model.safetensors",
                                        "a.jpg",
                                        "list.txt",
                                        "out.safetensors",
                                        "resnet/open_clip_config.json",
                                        "resnet/open_clip_model.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_directory(names[i]));
    rmdir(in_directory("resnet"));
    rmdir(directory);
}

static inline void stop(int signal_number) {
    (void)signal_number;
    clean_up(); /* unlink and rmdir are async-signal-safe, and so is a path of our own */
    _exit(130);
}

static inline void files_setup(void) {
    if (!mkdtemp(directory) || mkdir(in_directory("resnet"), 0700) != 0)
        die("cannot write to /tmp");
    atexit(clean_up);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
}

static inline void write_text(const char *name, const char *text) {
    FILE *f = fopen(in_directory(name), "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        die("cannot write to /tmp");
}

/* ---- a checkpoint: its tensors are gone through twice, for the header and the values */

typedef struct writer {
    FILE *f;
    size_t offset; /* of the next tensor */
    bool first, values;
    char prefix[64];
} writer;

/* Uniform in +-0.025; a variance lies about 0.5. */
static inline void write_values(FILE *f, size_t n, bool variance) {
    enum { NOISE = 1 << 14 };
    static float noise[2][NOISE];
    uint32_t state = 1;
    for (size_t i = 0; i < NOISE && noise[1][NOISE - 1] == 0; i++) {
        state = state * 1664525u + 1013904223u;
        noise[0][i] = ((float)(state >> 8) / (1 << 24) - 0.5f) * 0.05f;
        noise[1][i] = noise[0][i] + 0.5f;
    }
    for (size_t part; n > 0; n -= part) {
        part = n < NOISE ? n : NOISE;
        if (fwrite(noise[variance], sizeof(float), part, f) != part)
            die("cannot write to /tmp, which needs 605 MB");
    }
}

/* [a], or [a, b], or with a kernel [a, b, kernel, kernel]; b and kernel may be 0. */
static inline void tensor(writer *w, const char *name, size_t a, size_t b, size_t kernel) {
    size_t n = a * (b ? b : 1) * (kernel ? kernel * kernel : 1);
    if (w->values) {
        write_values(w->f, n, strstr(name, "running_var"));
        return;
    }
    fprintf(w->f, "%s\"%s%s\":{\"dtype\":\"F32\",\"shape\":[", w->first ? "{" : ",",
            w->prefix, name);
    if (strcmp(name, "logit_scale") != 0)
        fprintf(w->f, "%zu", a);
    if (b)
        fprintf(w->f, ",%zu", b);
    if (kernel)
        fprintf(w->f, ",%zu,%zu", kernel, kernel);
    fprintf(w->f, "],\"data_offsets\":[%zu,%zu]}", w->offset, w->offset + n * 4);
    w->offset += n * 4;
    w->first = false;
}

static inline size_t write_checkpoint(const char *path, void (*tensors)(writer *w)) {
    writer w = {.f = fopen(path, "w+"), .first = true};
    if (!w.f || fseek(w.f, 8, SEEK_SET) != 0)
        die("cannot write to /tmp");
    tensors(&w);
    fputc('}', w.f);
    uint64_t length = (uint64_t)ftell(w.f) - 8;
    w.values = true;
    tensors(&w);
    rewind(w.f);
    if (fwrite(&length, 8, 1, w.f) != 1 || fclose(w.f) != 0)
        die("cannot write to /tmp");
    return w.offset;
}

/* NAME.weight and NAME.bias */
static inline void layer(writer *w, const char *name, size_t out, size_t in) {
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    tensor(w, full, out, in, 0);
    snprintf(full, sizeof full, "%s.bias", name);
    tensor(w, full, out, 0, 0);
}

static inline void prefix(writer *w, const char *text, size_t number) {
    snprintf(w->prefix, sizeof w->prefix, "%s.%zu.", text, number);
}

/* ---- ViT-B/32, transformers' names, 605 MB ---- */

static inline void vit_block(writer *w, size_t width) {
    layer(w, "self_attn.q_proj", width, width);
    layer(w, "self_attn.k_proj", width, width);
    layer(w, "self_attn.v_proj", width, width);
    layer(w, "self_attn.out_proj", width, width);
    layer(w, "layer_norm1", width, 0);
    layer(w, "layer_norm2", width, 0);
    layer(w, "mlp.fc1", 4 * width, width);
    layer(w, "mlp.fc2", width, 4 * width);
}

static inline void vit_tensors(writer *w) {
    *w->prefix = '\0';
    tensor(w, "logit_scale", 1, 0, 0);
    tensor(w, "text_projection.weight", 512, 512, 0);
    tensor(w, "visual_projection.weight", 512, 768, 0);
    tensor(w, "text_model.embeddings.token_embedding.weight", 49408, 512, 0);
    tensor(w, "text_model.embeddings.position_embedding.weight", 77, 512, 0);
    layer(w, "text_model.final_layer_norm", 512, 0);
    tensor(w, "vision_model.embeddings.class_embedding", 768, 0, 0);
    tensor(w, "vision_model.embeddings.patch_embedding.weight", 768, 3, 32);
    tensor(w, "vision_model.embeddings.position_embedding.weight", 50, 768, 0);
    layer(w, "vision_model.pre_layrnorm", 768, 0);
    layer(w, "vision_model.post_layernorm", 768, 0);
    for (size_t i = 0; i < 12; i++) {
        prefix(w, "text_model.encoder.layers", i);
        vit_block(w, 512);
        prefix(w, "vision_model.encoder.layers", i);
        vit_block(w, 768);
    }
}

static inline size_t files_write_vit(void) {
    write_text("config.json",
               "{\"model_type\":\"clip\",\"projection_dim\":512,"
               "\"text_config\":{\"hidden_act\":\"quick_gelu\",\"eos_token_id\":49407},"
               "\"vision_config\":{\"hidden_act\":\"quick_gelu\"}}");
    write_text("preprocessor_config.json", "{\"size\":224,\"crop_size\":224}");
    return write_checkpoint(in_directory("model.safetensors"), vit_tensors);
}

/* ---- one narrow layer a tower, 512 dimensions: all but the embedding costs, 13 MB ---- */

static inline void small_tensors(writer *w) {
    enum { WIDTH_OF_BOTH = 64 };
    *w->prefix = '\0';
    tensor(w, "logit_scale", 1, 0, 0);
    tensor(w, "text_projection.weight", 512, WIDTH_OF_BOTH, 0);
    tensor(w, "visual_projection.weight", 512, WIDTH_OF_BOTH, 0);
    tensor(w, "text_model.embeddings.token_embedding.weight", 49408, WIDTH_OF_BOTH, 0);
    tensor(w, "text_model.embeddings.position_embedding.weight", 77, WIDTH_OF_BOTH, 0);
    layer(w, "text_model.final_layer_norm", WIDTH_OF_BOTH, 0);
    tensor(w, "vision_model.embeddings.class_embedding", WIDTH_OF_BOTH, 0, 0);
    tensor(w, "vision_model.embeddings.patch_embedding.weight", WIDTH_OF_BOTH, 3, 16);
    tensor(w, "vision_model.embeddings.position_embedding.weight", 5, WIDTH_OF_BOTH, 0);
    layer(w, "vision_model.pre_layrnorm", WIDTH_OF_BOTH, 0);
    layer(w, "vision_model.post_layernorm", WIDTH_OF_BOTH, 0);
    prefix(w, "text_model.encoder.layers", 0);
    vit_block(w, WIDTH_OF_BOTH);
    prefix(w, "vision_model.encoder.layers", 0);
    vit_block(w, WIDTH_OF_BOTH);
}

static inline void files_write_small(void) {
    static const char sizes[] = "\"hidden_act\":\"quick_gelu\",\"hidden_size\":64,"
                                "\"intermediate_size\":256,\"num_hidden_layers\":1,"
                                "\"num_attention_heads\":1";
    char config[512];
    snprintf(config, sizeof config,
             "{\"model_type\":\"clip\",\"projection_dim\":512,"
             "\"text_config\":{%s,\"eos_token_id\":49407},"
             "\"vision_config\":{%s,\"image_size\":32,\"patch_size\":16}}",
             sizes, sizes);
    write_text("config.json", config);
    write_text("preprocessor_config.json", "{\"size\":32,\"crop_size\":32}");
    write_checkpoint(in_directory("model.safetensors"), small_tensors);
}

/* ---- RN50, OpenAI's names, 166 MB: the text tower is a stub ---- */

static inline void text_stub_tensors(writer *w) {
    *w->prefix = '\0';
    tensor(w, "logit_scale", 1, 0, 0);
    tensor(w, "token_embedding.weight", 49408, 64, 0);
    tensor(w, "positional_embedding", 77, 64, 0);
    tensor(w, "text_projection", 64, 1024, 0);
    layer(w, "ln_final", 64, 0);
    prefix(w, "transformer.resblocks", 0);
    layer(w, "ln_1", 64, 0);
    layer(w, "ln_2", 64, 0);
    tensor(w, "attn.in_proj_weight", 192, 64, 0);
    tensor(w, "attn.in_proj_bias", 192, 0, 0);
    layer(w, "attn.out_proj", 64, 64);
    layer(w, "mlp.c_fc", 256, 64);
    layer(w, "mlp.c_proj", 64, 256);
}

/* A convolution and the batch norm behind it. */
static inline void convolution(writer *w, const char *conv, const char *norm, size_t out,
                               size_t in, size_t kernel) {
    char name[96];
    snprintf(name, sizeof name, "%s.weight", conv);
    tensor(w, name, out, in, kernel);
    layer(w, norm, out, 0);
    snprintf(name, sizeof name, "%s.running_mean", norm);
    tensor(w, name, out, 0, 0);
    snprintf(name, sizeof name, "%s.running_var", norm);
    tensor(w, name, out, 0, 0);
}

static const size_t resnet_blocks[4] = {3, 4, 6, 3};

static inline void resnet_tensors(writer *w) {
    text_stub_tensors(w);
    snprintf(w->prefix, sizeof w->prefix, "visual.");
    convolution(w, "conv1", "bn1", 32, 3, 3);
    convolution(w, "conv2", "bn2", 32, 32, 3);
    convolution(w, "conv3", "bn3", 64, 32, 3);
    tensor(w, "attnpool.positional_embedding", 50, 2048, 0);
    layer(w, "attnpool.q_proj", 2048, 2048);
    layer(w, "attnpool.k_proj", 2048, 2048);
    layer(w, "attnpool.v_proj", 2048, 2048);
    layer(w, "attnpool.c_proj", 1024, 2048);
    for (size_t stage = 0, in = 64; stage < 4; stage++)
        for (size_t i = 0; i < resnet_blocks[stage]; i++) {
            char name[32];
            size_t planes = (size_t)64 << stage;
            snprintf(name, sizeof name, "visual.layer%zu", stage + 1);
            prefix(w, name, i);
            convolution(w, "conv1", "bn1", planes, in, 1);
            convolution(w, "conv2", "bn2", planes, planes, 3);
            convolution(w, "conv3", "bn3", planes * 4, planes, 1);
            if (i == 0)
                convolution(w, "downsample.0", "downsample.1", planes * 4, in, 1);
            in = planes * 4;
        }
}

static inline void files_write_resnet(void) {
    write_text("resnet/open_clip_config.json",
               "{\"model_cfg\":{\"embed_dim\":1024,\"vision_cfg\":{\"image_size\":224,"
               "\"layers\":[3,4,6,3],\"width\":64,\"patch_size\":null},\"text_cfg\":{"
               "\"context_length\":77,\"vocab_size\":49408,\"width\":64,\"heads\":1,"
               "\"layers\":1}},\"preprocess_cfg\":{}}");
    write_checkpoint(in_directory("resnet/open_clip_model.safetensors"), resnet_tensors);
}

/* ---- a 500 x 375 JPEG of smooth colours and noise ---- */

static inline void files_write_jpeg(const char *name) {
    enum { W = 500, H = 375 };
    FILE *f = fopen(in_directory(name), "wb");
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    if (!f)
        die("cannot write to /tmp");
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = W;
    c.image_height = H;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 90, TRUE);
    jpeg_start_compress(&c, TRUE);
    static JSAMPLE row[W * 3];
    uint32_t state = 7;
    for (unsigned y = 0; y < H; y++) {
        for (unsigned x = 0; x < W * 3; x++) {
            state = state * 1664525u + 1013904223u;
            row[x] = (JSAMPLE)((x / 8 + y / 2 + (state >> 28)) & 255);
        }
        JSAMPROW rows[] = {row};
        jpeg_write_scanlines(&c, rows, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    fclose(f);
}

#endif
