/* The two large parts of a tokenizer's JSON, read without building a tree of 100,000 nodes
 * (jansson's takes longer than everything else about opening a tokenizer).
 *
 *     char *rest;                            // `text` with the two parts emptied
 *     size_t n;
 *     ce_json_table table;
 *     ce_json_table_cut(&table, &rest, &n, text, size, "tokenizer.json", &err);
 *     ... table.ids[i].token, table.ids[i].id; table.merges[i].left, .right ...
 *     ce_json_table_free(&table);
 */
#ifndef CE_JSON_TABLE_H
#define CE_JSON_TABLE_H

#include "error.h"
#include "vocab.h"

typedef struct ce_json_id {
    ce_token_text token;
    int64_t id;
} ce_json_id;

typedef struct ce_json_merge {
    ce_token_text left, right;
} ce_json_merge;

typedef struct ce_json_score {
    ce_token_text token;
    double score;
} ce_json_score;

/* The texts lie in the buffer that was read. */
typedef struct ce_json_table {
    ce_json_id *ids;
    size_t id_count;
    ce_json_score *scores; /* of a unigram model: their places are the ids */
    size_t score_count;
    ce_json_merge *merges;
    size_t merge_count;
} ce_json_table;

/* All of `text` is {"token": id, ...}. Escapes in `text` are resolved in place. CE_EFORMAT
 * with the line: bad syntax, not UTF-8, an id that is no integer. A token may still occur
 * twice. */
int ce_json_table_ids(ce_json_table *t, char *text, size_t size, const char *name,
                      ce_error *err);

/* Reads "vocab" (as above, or [["token", score], ...]) and "merges" ([["a", "b"], ...] or
 * ["a b", ...]) of the object "model" in `text`, where they are; `*rest` (malloc'd) is the
 * same text with {} and [] in their places, lines as before, and has not been looked at
 * otherwise. */
int ce_json_table_cut(ce_json_table *t, char **rest, size_t *rest_size, char *text,
                      size_t size, const char *name, ce_error *err);
void ce_json_table_free(ce_json_table *t);

#endif
