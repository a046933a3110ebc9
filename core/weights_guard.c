/* The handler is told the address (si_addr), puts pages of zeros there and returns: the
 * read is tried again and goes on. It takes no lock: guards are never freed but used again,
 * so that the list only grows, and its fields are atomic. */
#include "weights_guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct ce_guard {
    atomic_uintptr_t begin, end; /* whole pages; end 0: not in use */
    atomic_bool tripped;
    ce_guard *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all but the handler */
static ce_guard *_Atomic guards;
static size_t in_use;
static bool installed;
static struct sigaction before;
static uintptr_t page;

/* From the fault to the end: what lies behind a file's end is gone too. */
static bool patch(uintptr_t at) {
    for (ce_guard *g = atomic_load(&guards); g; g = g->next) {
        uintptr_t end = atomic_load(&g->end);
        if (at >= end || at < atomic_load(&g->begin))
            continue;
        at -= at % page;
        atomic_store(&g->tripped,
                     true); /* first: another thread may read the zeros at once */
        if (mmap((void *)at, end - at, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                 -1, 0) == MAP_FAILED)
            return false;
        return true;
    }
    return false;
}

/* What would have happened without us. The default action comes once this returns: the
 * read faults again, and a signal that was sent is sent again. */
static void pass_on(int number, siginfo_t *info, void *context) {
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else if (before.sa_handler == SIG_DFL || info->si_code > 0) {
        signal(number, SIG_DFL);
        if (info->si_code <= 0)
            raise(number);
    }
}

static void on_fault(int number, siginfo_t *info, void *context) {
    int saved = errno;
    if (info->si_code != BUS_ADRERR || !patch((uintptr_t)info->si_addr))
        pass_on(number, info, context);
    errno = saved;
}

static bool is_ours(const struct sigaction *a) {
    return (a->sa_flags & SA_SIGINFO) && a->sa_sigaction == on_fault;
}

static void install(void) {
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    page = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigemptyset(&action.sa_mask);
    if (!installed)
        installed =
            sigaction(SIGBUS, NULL, &before) == 0 && sigaction(SIGBUS, &action, NULL) == 0;
}

/* Another that has taken our place since may pass on to us: then we stay what we are. */
static void uninstall(void) {
    struct sigaction now;
    if (installed && sigaction(SIGBUS, NULL, &now) == 0 && is_ours(&now))
        installed = sigaction(SIGBUS, &before, NULL) != 0;
}

/* One that is not in use, or a new one, in the list. */
static ce_guard *spare(void) {
    ce_guard *g = atomic_load(&guards);
    while (g && atomic_load(&g->end))
        g = g->next;
    if (!g && (g = calloc(1, sizeof *g))) {
        g->next = atomic_load(&guards);
        atomic_store(&guards, g);
    }
    return g;
}

ce_guard *ce_guard_new(const void *map, size_t size) {
    pthread_mutex_lock(&lock);
    ce_guard *g = spare();
    if (g) {
        if (in_use++ == 0)
            install();
        atomic_store(&g->tripped, false);
        atomic_store(&g->begin, (uintptr_t)map);
        atomic_store(&g->end, ((uintptr_t)map + size + page - 1) / page * page);
    }
    pthread_mutex_unlock(&lock);
    return g;
}

void ce_guard_free(ce_guard *g) {
    if (!g)
        return;
    pthread_mutex_lock(&lock);
    atomic_store(&g->end, 0);
    if (--in_use == 0)
        uninstall();
    pthread_mutex_unlock(&lock);
}

bool ce_guard_tripped(const ce_guard *g) {
    return g && atomic_load_explicit(&g->tripped, memory_order_relaxed);
}
