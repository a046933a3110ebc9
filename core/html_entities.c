#include "html_entities.h"

/* CE_DATA_DIR comes from the build; the assembler reads the file. */
__asm__(".section .rodata\n"
        ".global ce_html_entities\n"
        ".global ce_html_entities_end\n"
        "ce_html_entities:\n"
        ".incbin \"" CE_DATA_DIR "/html5_entities.txt\"\n"
        "ce_html_entities_end:\n"
        ".byte 0\n"
        ".previous\n");
