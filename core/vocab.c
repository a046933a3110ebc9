#include "vocab.h"

#include <stdlib.h>
#include <string.h>

int ce_vocab_init(ce_vocab *v, size_t count, size_t bytes, ce_error *err) {
    *v = (ce_vocab){.count = count, .capacity = bytes, .key = ce_hash_key_draw()};
    size_t slots = 16;
    while (slots < 2 * count && slots <= SIZE_MAX / 8)
        slots *= 2;
    v->mask = slots - 1;
    if (count < INT32_MAX / 2) {
        v->texts = calloc(count + 1, sizeof *v->texts);
        v->slots = calloc(slots, sizeof *v->slots);
        v->bytes = malloc(bytes + 1);
    }
    if (v->texts && v->slots && v->bytes)
        return 0;
    ce_vocab_free(v);
    return ce_fail(err, CE_ENOMEM, "out of memory for a vocabulary of %zu tokens", count);
}

void ce_vocab_free(ce_vocab *v) {
    free(v->texts);
    free(v->slots);
    free(v->bytes);
    *v = (ce_vocab){0};
}

static uint64_t hash_joined(const ce_vocab *v, ce_token_text a, ce_token_text b) {
    uint64_t h = ce_hash_more(&v->key, 0, a.at, a.size);
    return ce_hash_end(&v->key, ce_hash_more(&v->key, h, b.at, b.size));
}

/* The slot that holds a + b, or the empty one where it belongs. The table is at most half
 * full. */
static ce_vocab_slot *slot_of(const ce_vocab *v, ce_token_text a, ce_token_text b,
                              uint64_t h) {
    for (size_t i = (size_t)h & v->mask;; i = (i + 1) & v->mask) {
        ce_vocab_slot *slot = &v->slots[i];
        if (slot->id == 0)
            return slot;
        if (slot->tag != (uint32_t)(h >> 32))
            continue;
        ce_token_text t = v->texts[slot->id - 1];
        if (t.size == a.size + b.size && memcmp(t.at, a.at, a.size) == 0 &&
            memcmp(t.at + a.size, b.at, b.size) == 0)
            return slot;
    }
}

int32_t ce_vocab_find_joined(const ce_vocab *v, ce_token_text a, ce_token_text b) {
    return (int32_t)slot_of(v, a, b, hash_joined(v, a, b))->id - 1;
}

int32_t ce_vocab_find(const ce_vocab *v, const char *text, size_t size) {
    return ce_vocab_find_joined(v, (ce_token_text){text, size}, (ce_token_text){"", 0});
}

int ce_vocab_put(ce_vocab *v, int64_t id, const char *text, size_t size, const char *name,
                 ce_error *err) {
    int shown = ce_vocab_quote(text, size);
    if (id < 0)
        return ce_fail(err, CE_EFORMAT, "%s: token \"%.*s\" has a negative id", name, shown,
                       text);
    if ((uint64_t)id >= v->count)
        return ce_fail(err, CE_EFORMAT,
                       "%s: token \"%.*s\" has id %lld, but there are only %zu tokens",
                       name, shown, text, (long long)id, v->count);
    ce_token_text *t = &v->texts[id];
    if (t->at)
        return ce_fail(err, CE_EFORMAT,
                       "%s: tokens \"%.*s\" and \"%.*s\" both have id %lld", name,
                       ce_vocab_quote(t->at, t->size), t->at, shown, text, (long long)id);
    ce_token_text token = {text, size}, nothing = {"", 0};
    uint64_t h = hash_joined(v, token, nothing);
    ce_vocab_slot *slot = slot_of(v, token, nothing, h);
    if (slot->id)
        return ce_fail(err, CE_EFORMAT, "%s: token \"%.*s\" has two ids, %lu and %lld",
                       name, shown, text, (unsigned long)slot->id - 1, (long long)id);
    if (size > v->capacity - v->used)
        return ce_fail(err, CE_EINVAL, "%s: the vocabulary grew while it was read", name);
    memcpy(v->bytes + v->used, text, size);
    *t = (ce_token_text){v->bytes + v->used, size};
    v->used += size;
    *slot = (ce_vocab_slot){(uint32_t)id + 1, (uint32_t)(h >> 32)};
    return 0;
}

int ce_vocab_quote(const char *text, size_t size) {
    size_t n = size < 60 ? size : 60;
    while (n < size && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    return (int)n;
}
