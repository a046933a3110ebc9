/* The one error type. A function that can fail returns 0 or a negative CE_E...,
 * takes a caller-owned `ce_error *` last (NULL is allowed), and sets the message
 * once, where the fault is detected; the message names the file, the tensor or
 * the line.
 *
 *     ce_error err;
 *     if (ce_image_load(&image, "cat.jpg", CE_ALPHA_DROP, &err) < 0)
 *         fprintf(stderr, "%s\n", err.message);
 */
#ifndef CE_ERROR_H
#define CE_ERROR_H

enum {
    CE_OK = 0,
    CE_EINVAL = -1,       /* a caller's argument is out of range */
    CE_EIO = -2,          /* the system refused: open, read, write, map */
    CE_EFORMAT = -3,      /* a file is broken or contradicts itself */
    CE_EUNSUPPORTED = -4, /* a file is sound, but of a kind we do not implement */
    CE_ENOMEM = -5,
    CE_ECANCELLED = -6 /* the caller's cancel flag was raised */
};

typedef struct ce_error {
    int code;           /* CE_E... */
    char message[4608]; /* one line of UTF-8, no newline at the end; holds a whole path */
} ce_error;

/* Sets `err` (where it is not NULL) and returns `code`, so that a fault is
 * `return ce_fail(err, CE_EFORMAT, "%s: ...", path);`. Control characters in
 * the formatted message (file names can hold them) become '?'. Of a message that is too
 * long the middle goes, because what is wrong stands at its end. */
int ce_fail(ce_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
