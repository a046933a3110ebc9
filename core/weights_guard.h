/* A file that is cut short while it is mapped ends the process: to read what is gone is
 * SIGBUS. Under a guard it reads as zeros instead, and the guard tells. So no reader of a
 * mapping needs a check of its own, only whoever uses what was read:
 *
 *     ce_guard *guard = ce_guard_new(map, size);       // NULL: out of memory
 *     ... read of the mapping, on any thread ...
 *     if (ce_guard_tripped(guard))
 *         ... nothing of it may be used ...
 *     ce_guard_free(guard);                            // before munmap
 *
 * While there are guards the process has a handler of SIGBUS. Faults elsewhere and signals
 * that were sent go to the handler that was there before, which the last guard puts back
 * (unless another has taken the place since).
 */
#ifndef CE_WEIGHTS_GUARD_H
#define CE_WEIGHTS_GUARD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ce_guard ce_guard;

/* `map` is where a mapping of the file begins, `size` its bytes. Safe on any thread. */
ce_guard *ce_guard_new(const void *map, size_t size);
void ce_guard_free(ce_guard *g); /* NULL is fine */

/* Whether something was read that was not there: cut off, or a disk that failed. Costs
 * nothing; NULL never is. */
bool ce_guard_tripped(const ce_guard *g);

#endif
