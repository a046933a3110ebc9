/* CLIP's own merges: core/data/clip_bpe_merges.txt (MIT, openai/CLIP: LICENSE-clip-bpe),
 * in the layout of a merges.txt.
 */
#ifndef CE_CLIP_MERGES_H
#define CE_CLIP_MERGES_H

extern const char ce_clip_merges[];     /* not NUL-terminated */
extern const char ce_clip_merges_end[]; /* one past the last byte */

#endif
