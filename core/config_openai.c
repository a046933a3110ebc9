#include "config.h"

int ce_config_read_openai(ce_config *out, const ce_checkpoint *files,
                          const ce_weights *weights, ce_notes *notes, ce_error *err) {
    (void)out;
    (void)weights;
    (void)notes;
    return ce_fail(err, CE_EUNSUPPORTED, "%s: not implemented", files->weights);
}
