#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int ce_fail(ce_error *err, int code, const char *format, ...) {
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    err->code = code;
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    for (unsigned char *p = (unsigned char *)err->message; *p; p++)
        if (*p < 32 || *p == 127)
            *p = '?';
    return code;
}
