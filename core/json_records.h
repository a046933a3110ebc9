/* The elements of one large array or object of a JSON file, one at a time: a tree of all
 * two million answers of VQAv2 would take gigabytes.
 *
 *     ce_json_records *r;
 *     const char *key;
 *     json_t *value;
 *     ce_json_records_open(&r, "captions_val2014.json", "annotations", &err);
 *     while ((more = ce_json_records_next(r, &key, &value, &err)) > 0)
 *         ...; json_decref(value);
 *     ce_json_records_close(r);                        // more < 0: the file is broken
 */
#ifndef CE_JSON_RECORDS_H
#define CE_JSON_RECORDS_H

#include "error.h"

#include <jansson.h>

typedef struct ce_json_records ce_json_records;

/* `member`: of the object that the file is; NULL: the whole file is the array or object.
 * CE_EFORMAT where there is no such member, or it is neither, or the file is not UTF-8. */
int ce_json_records_open(ce_json_records **out, const char *path, const char *member,
                         ce_error *err);

/* JSON text in memory, where each line is a value of its own (JSON Lines); blank lines are
 * left out. */
int ce_json_lines_open(ce_json_records **out, const char *path, ce_error *err);

/* 1: `*value` is a new reference, and `*key` its key (NULL in an array), valid until the
 * next call; 0: that was all, and what follows in the file is closed properly (other
 * members are only skipped); else CE_EFORMAT, with the line. */
int ce_json_records_next(ce_json_records *r, const char **key, json_t **value,
                         ce_error *err);

/* The line in the file where the last element began, from 1. */
size_t ce_json_records_line(const ce_json_records *r);
void ce_json_records_close(ce_json_records *r);

#endif
