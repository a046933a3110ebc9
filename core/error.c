#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Cuts the middle out of `text` so that its ends fit. */
static void shorten(ce_error *err, const char *text, size_t length) {
    const size_t half = sizeof err->message / 2 - 4;
    const char *tail = text + length - half;
    while (((unsigned char)*tail & 0xc0) == 0x80) /* not inside a character */
        tail++;
    size_t head = half;
    while (head > 0 && ((unsigned char)text[head] & 0xc0) == 0x80)
        head--;
    snprintf(err->message, sizeof err->message, "%.*s...%s", (int)head, text, tail);
}

int ce_fail(ce_error *err, int code, const char *format, ...) {
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    err->code = code;
    int length = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    char *whole = length >= (int)sizeof err->message ? malloc((size_t)length + 1) : NULL;
    if (whole) {
        va_start(args, format);
        vsnprintf(whole, (size_t)length + 1, format, args);
        va_end(args);
        shorten(err, whole, (size_t)length);
        free(whole);
    }
    for (unsigned char *p = (unsigned char *)err->message; *p; p++)
        if (*p < 32 || *p == 127)
            *p = '?';
    return code;
}
