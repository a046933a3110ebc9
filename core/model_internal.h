/* What core/model, which opens a checkpoint, and core/model_encode share. */
#ifndef CE_MODEL_INTERNAL_H
#define CE_MODEL_INTERNAL_H

#include "config.h"
#include "model.h"
#include "text_tower.h"

#include <pthread.h>

struct ce_model {
    ce_checkpoint files;
    ce_config config;
    ce_notes notes;
    ce_model_info info;
    char *path, *name;
    char end_of_text[32];
    char sha256[65];
    ce_tokenizer *tokenizer;
    char vision_summary[160], text_summary[160];
    pthread_mutex_t lock; /* of what follows, while towers are being loaded */
    ce_weights *weights;  /* unmapped once both towers are loaded */
    ce_vision *vision;    /* NULL until it is asked for */
    ce_text_tower *text;
};

struct ce_scratch {
    ce_tower tower;
    float *arena;
    ce_text_rows rows; /* text tower: the block in hand */
    float *embeds;     /* and what it becomes, [max_rows, embed_dim] */
};

/* Loads a tower at the first call for it; the file is unmapped once both are in. */
int ce_model_need_tower(ce_model *m, ce_tower tower, ce_error *err);

#endif
