/* Two things that the small files beside a tokenizer say to every family of tokenizers, as
 * transformers 5 reads them.
 *
 *     json_t *extra;
 *     if (ce_tokenizer_extra_specials(&extra, config, "tokenizer_config.json", map,
 *                                     "special_tokens_map.json", &err) == 0)
 *         for (size_t i = 0; i < json_array_size(extra); i++) ...
 *     json_decref(extra);
 */
#ifndef CE_TOKENIZER_SPECIAL_H
#define CE_TOKENIZER_SPECIAL_H

#include "json.h"

/* Special tokens beyond the seven that have names of their own, in the order in which they
 * are numbered: "extra_special_tokens" (a list, or names with tokens), else
 * "additional_special_tokens"; and any "..._token". Each is a string or an object with
 * "content", not empty, and lives as long as the files' JSON, which may be NULL. `*out` is
 * a new array, NULL after an error. */
int ce_tokenizer_extra_specials(json_t **out, const json_t *config, const char *config_path,
                                const json_t *map, const char *map_path, ce_error *err);

/* Settings that change which ids come out, and that we do not follow, are refused: texts
 * that are padded or cut at their left, and special tokens that are split. The sides are
 * tokenizer_config.json's; where it states none, those of a tokenizer.json (`root`, NULL:
 * there is none, or its sides do not count). */
int ce_tokenizer_check_settings(const json_t *config, const char *config_path,
                                const json_t *root, const char *path, ce_error *err);

#endif
