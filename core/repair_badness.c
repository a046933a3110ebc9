/* Does a text look as if it had been decoded with the wrong code page? The heuristic is
 * that of ftfy 6.3.1 (badness.py; Apache 2.0, Robyn Speer): the few hundred characters that
 * such mistakes produce fall into kinds, and certain neighbours are next to never meant.
 * ftfy searches with one regular expression; here each of its alternatives is a row (but
 * for two that others imply). */
#include "repair_internal.h"

#include <uchar.h>

typedef enum kind {
    COMMON = 1 << 0, /* many uses: no sign by itself */
    C1 = 1 << 1,
    BAD = 1 << 2, /* next to never meant */
    LAW = 1 << 3,
    CURRENCY = 1 << 4,
    OPENING = 1 << 5, /* punctuation before a word */
    CLOSING = 1 << 6,
    NUMERIC = 1 << 7,
    KAOMOJI = 1 << 8, /* letters that draw faces, and so stand anywhere */
    UPPER = 1 << 9,   /* accented capitals */
    LOWER = 1 << 10,
    UPPER_COMMON = 1 << 11, /* capitals that often end words */
    LOWER_COMMON = 1 << 12,
    BOX = 1 << 13,
    ASCII_UPPER = 1 << 14,
    ASCII_LOWER = 1 << 15,
    NO_ASCII_LETTER = 1 << 16,
    STOP = 1 << 17,
    SPACE = 1 << 18, /* \s of Python, with U+001C to U+001F */
    WORD = 1 << 19,  /* \w */
    NO_LINE_END = 1 << 20,
} kind;

#define ACCENTED (LOWER | UPPER)
#define ASCII_LETTER (ASCII_LOWER | ASCII_UPPER)
#define QUOTING (OPENING | CLOSING)
#define SOLID (ACCENTED | BOX | QUOTING | CURRENCY | NUMERIC | LAW)
#define LEFTOVER (C1 | BAD | QUOTING | CURRENCY)
#define ARABIC_TAIL                                                                        \
    { COMMON | CURRENCY | BAD | NUMERIC | OPENING, u"ŸŠ®°µ»" }

/* One rune of a row: of these kinds, or in the list; neither: the row ends. */
typedef struct step {
    uint32_t kinds;
    const char16_t *list;
} step;

#define STEPS_MAX 7
#define K(kinds)                                                                           \
    { kinds, NULL }
#define L(list)                                                                            \
    { 0, list }

/* clang-format off */
static const step rows[][STEPS_MAX + 1] = {
    {K(C1)},
    {K(SOLID | BAD), K(BAD)},
    {K(BAD), K(SOLID)},
    {K(ASCII_LETTER), K(LOWER_COMMON | UPPER_COMMON), K(BAD)},
    {K(LOWER | LOWER_COMMON | BOX | CLOSING | CURRENCY | NUMERIC), K(UPPER)},
    {K(BOX | CLOSING | CURRENCY | NUMERIC), K(LOWER)},
    {K(LOWER | BOX | CLOSING), K(CURRENCY)},
    {K(SPACE), K(UPPER), K(CURRENCY)},
    {K(UPPER | BOX), K(NUMERIC | LAW)},
    {K(ACCENTED | BOX | CURRENCY | CLOSING), K(OPENING), K(NUMERIC)},
    {K(ACCENTED | CURRENCY | NUMERIC | BOX | LAW), K(CLOSING), K(OPENING)},
    {K(CURRENCY | NUMERIC | BOX), K(OPENING)},
    {K(ASCII_LOWER), K(UPPER), K(OPENING | CURRENCY)},
    {K(BOX), K(KAOMOJI)},
    {K(ACCENTED | CURRENCY | NUMERIC | QUOTING | LAW), K(BOX)},
    {K(BOX), K(CLOSING)},
    {K(ACCENTED), K(QUOTING), K(WORD)},
    {L(u"Œœ"), K(NO_ASCII_LETTER)},
    {K(UPPER), L(u"°")},
    /* Windows-1252: two characters that the kinds do not tell */
    {L(u"ÂÃÎÐ"), {QUOTING, u"€œŠš¢£Ÿž\u00a0\u00ad®©°·»–—´"}},
    {L(u"×"), L(u"²³")},
    /* Arabic: its second halves are common, so that it takes two letters */
    {L(u"ØÙ"), ARABIC_TAIL, L(u"ØÙ"), ARABIC_TAIL},
    /* South Asian scripts */
    {L(u"à"), L(u"²µ¹¼½¾")},
    /* Mac OS Roman */
    {L(u"√"), L(u"±∂†≠®™´≤≥¥µø")},
    {L(u"≈"), L(u"°¢")},
    {L(u"‚"), L(u"Ä"), L(u"ìîïòôúùû†°¢π")},
    {L(u"‚"), L(u"âó"), L(u"àä°ê")},
    /* Windows-1251: what lies at U+2000, Latin-1 and Cyrillic, and a curly apostrophe that
     * went wrong twice */
    {L(u"в"), L(u"Ђ")},
    {L(u"ВГРС"), {LEFTOVER, u"°µ"}, L(u"ВГРС")},
    {L(u"Г"), L(u"ў"), L(u"В"), L(u"Ђ"), L(u"В"), K(NO_LINE_END),
     {ASCII_LETTER, u" "}},
    /* a-grave and the no-break space, whose A0 became a space */
    {K(ASCII_LOWER), L(u"ÃÂ"), L(u" ")},
    {K(ASCII_LOWER), K(SPACE), L(u"ÃÂ"), L(u" ")},
    {K(ASCII_LOWER | STOP | CLOSING), L(u"Â"), {QUOTING, u" "}},
    /* Windows-1253 */
    {L(u"β"), L(u"€"), L(u"™\u00a0Ά\u00ad®°")},
    {L(u"ΒΓΞΟ"), {LEFTOVER, u"°"}, L(u"ΒΓΞΟ")},
};
static const step at_start[] = {L(u"ÃÂ"), L(u" "), K(0)};

/* The kinds that are lists; a-b is a range. */
static const struct {
    kind kind;
    const char16_t *runes;
} lists[] = {
    {COMMON, u"\u00a0\u00ad´·–—―’…"},
    {BAD, u"¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊\ufffd"},
    {LAW, u"§¶"},
    {CURRENCY, u"¢£¥₧€"},
    {OPENING, u"¡©«¿΄΅‘‚“„•‹\uf8ff"},
    {CLOSING, u"®»˝”›™"},
    {NUMERIC, u"±²³µ¹¼½¾×÷⁄№∂∆∏∑√∞∩∫≈≠≡≤≥"},
    {KAOMOJI, u"°Ò-ÖÙ-Üò-öø-üŌŐŪŲ"},
    {UPPER, u"À-ÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"},
    {LOWER, u"ß-ñüāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґ\ufb01\ufb02"},
    {UPPER_COMMON, u"ÞΆΈΉΊΌΎΏΑ-ΫЁ-Я"},
    {LOWER_COMMON, u"ά-ωа-џ"},
    {BOX, u"│┌┐┘├┤┬┼═-╬▀▄█▌▐-▓"},
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool is_listed(const char16_t *list, int32_t rune) {
    for (; *list; list++) {
        if (*list == rune)
            return true;
        if (list[1] == '-' && rune > list[0] && rune <= list[2])
            return true;
    }
    return false;
}

static uint32_t kinds_of_ascii(int32_t rune) {
    if (rune >= 'a' && rune <= 'z')
        return ASCII_LOWER | WORD;
    if (rune >= 'A' && rune <= 'Z')
        return ASCII_UPPER | WORD;
    if ((rune >= '0' && rune <= '9') || rune == '_')
        return WORD;
    if (rune == '.' || rune == ',' || rune == '?' || rune == '!')
        return STOP;
    return (rune >= 9 && rune <= 13) || (rune >= 0x1c && rune <= 0x20) ? SPACE : 0;
}

static uint32_t kinds_of(int32_t rune) {
    uint32_t kinds = rune == '\n' ? 0 : NO_LINE_END;
    if (rune < 0x80)
        kinds |= kinds_of_ascii(rune);
    else if (ce_rune_is_c1(rune))
        kinds |= C1 | (rune == 0x85 ? SPACE : 0);
    else {
        ce_rune_class class = ce_rune_classify(rune);
        if (class == CE_RUNE_SPACE)
            kinds |= SPACE;
        else if (class != CE_RUNE_OTHER)
            kinds |= WORD;
        bool far = rune > 0x25ff && rune < 0xf8ff; /* nothing is listed there */
        for (size_t i = 0; i < COUNT(lists) && !far; i++)
            if (is_listed(lists[i].runes, rune))
                kinds |= lists[i].kind;
    }
    return kinds & ASCII_LETTER ? kinds : kinds | NO_ASCII_LETTER;
}

static bool ends(const step *s) {
    return s->kinds == 0 && !s->list;
}

/* `kinds` of the runes at r, which grow by need: `known` of them stand there. */
typedef struct window {
    const int32_t *r;
    size_t n, known;
    uint32_t kinds[STEPS_MAX];
} window;

static uint32_t kinds_at(window *w, size_t i) {
    while (w->known <= i) {
        w->kinds[w->known] = kinds_of(w->r[w->known]);
        w->known++;
    }
    return w->kinds[i];
}

static void slide(window *w) {
    for (size_t i = 1; i < w->known; i++)
        w->kinds[i - 1] = w->kinds[i];
    w->known -= w->known > 0;
    w->r++;
    w->n--;
}

static bool fits(window *w, const step *row) {
    for (size_t i = 0; !ends(&row[i]); i++) {
        if (i == w->n)
            return false;
        const step *s = &row[i];
        if (!(kinds_at(w, i) & s->kinds) && !(s->list && is_listed(s->list, w->r[i])))
            return false;
    }
    return true;
}

/* Every row begins with one of these. */
#define BEGINNINGS                                                                         \
    (C1 | BAD | SOLID | KAOMOJI | UPPER_COMMON | LOWER_COMMON | ASCII_LETTER | STOP | SPACE)

bool ce_runes_look_garbled(const int32_t *r, size_t n) {
    window w = {.r = r, .n = n};
    if (fits(&w, at_start))
        return true;
    for (; w.n > 0; slide(&w)) {
        if (!(kinds_at(&w, 0) & BEGINNINGS))
            continue;
        for (size_t i = 0; i < COUNT(rows); i++)
            if (fits(&w, rows[i]))
                return true;
    }
    return false;
}
