/* The few typed look-ups that config files need, on top of jansson. Each names the file
 * and the key in its error. A key that is absent (or null) leaves `*out` as it was and
 * succeeds, so that defaults are written before the call; use ce_json_require to insist.
 *
 *     json_t *config;
 *     int width = 512;
 *     ce_json_load(&config, "model/config.json", &err);
 *     ce_json_int(config, "hidden_size", &width, 1, 65536, "model/config.json", &err);
 *     json_decref(config);
 */
#ifndef CE_JSON_H
#define CE_JSON_H

#include "error.h"

#include <jansson.h>
#include <stdbool.h>

/* Reads a whole JSON object. Duplicate keys are an error; `**out` is a new reference. */
int ce_json_load(json_t **out, const char *path, ce_error *err);
int ce_json_parse(json_t **out, const char *text, size_t size, const char *name,
                  ce_error *err);

/* Integers in [min, max]; a real with no fraction is accepted. */
int ce_json_int(const json_t *object, const char *key, int *out, int min, int max,
                const char *name, ce_error *err);
int ce_json_double(const json_t *object, const char *key, double *out, const char *name,
                   ce_error *err);
int ce_json_bool(const json_t *object, const char *key, bool *out, const char *name,
                 ce_error *err);
/* Borrowed string, valid as long as `object`. */
int ce_json_string(const json_t *object, const char *key, const char **out,
                   const char *name, ce_error *err);
/* `n` numbers. */
int ce_json_doubles(const json_t *object, const char *key, double *out, size_t n,
                    const char *name, ce_error *err);
/* Borrowed sub-object; `*out` is NULL where absent. */
int ce_json_object(const json_t *object, const char *key, const json_t **out,
                   const char *name, ce_error *err);
/* Fails where `key` is absent or null. */
int ce_json_require(const json_t *object, const char *key, const char *name, ce_error *err);

#endif
