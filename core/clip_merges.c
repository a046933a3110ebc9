#include "clip_merges.h"

/* CE_DATA_DIR comes from the build; the assembler reads the file. */
__asm__(".section .rodata\n"
        ".global ce_clip_merges\n"
        ".global ce_clip_merges_end\n"
        "ce_clip_merges:\n"
        ".incbin \"" CE_DATA_DIR "/clip_bpe_merges.txt\"\n"
        "ce_clip_merges_end:\n"
        ".byte 0\n"
        ".previous\n");
