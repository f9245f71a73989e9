/* libev for src/peers/c_loops.rs. */

#include "c_loop.h"
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct watcher {
    ev_io io; /* the first, so that a pointer to it is one to all */
    ready_fn ready;
    void *arg;
};

static const char *version(void) {
    static char text[16];
    snprintf(text, sizeof text, "%d.%d", ev_version_major(), ev_version_minor());
    return text;
}

static void *open_loop(const char *method) {
    unsigned flag = strcmp(method, "epoll") == 0  ? EVBACKEND_EPOLL
                    : strcmp(method, "poll") == 0 ? EVBACKEND_POLL
                                                  : EVBACKEND_SELECT;
    struct ev_loop *loop = ev_loop_new(flag | EVFLAG_NOENV);
    if (loop && ev_backend(loop) != flag) {
        ev_loop_destroy(loop);
        return NULL;
    }
    return loop;
}

static void close_loop(void *loop) { ev_loop_destroy(loop); }

static void on_ready(struct ev_loop *loop, ev_io *io, int events) {
    struct watcher *watcher = (struct watcher *)io;
    (void)loop;
    if (events & EV_READ) watcher->ready(watcher->arg);
}

static void *watch(void *loop, int fd, ready_fn ready, void *arg) {
    struct watcher *watcher = calloc(1, sizeof *watcher);
    (void)loop;
    if (!watcher) return NULL;
    ev_io_init(&watcher->io, on_ready, fd, EV_READ);
    watcher->ready = ready;
    watcher->arg = arg;
    return watcher;
}

static int set(void *loop, void *arg, int before, int after) {
    struct watcher *watcher = arg;
    int events = (after & READ ? EV_READ : 0) | (after & WRITE ? EV_WRITE : 0);
    if (before & (READ | WRITE)) ev_io_stop(loop, &watcher->io);
    if (events) {
        ev_io_set(&watcher->io, watcher->io.fd, events);
        ev_io_start(loop, &watcher->io);
    }
    return 0;
}

static void unwatch(void *loop, void *watcher, int before) {
    set(loop, watcher, before, 0);
    free(watcher);
}

static int pass(void *loop, int probe) {
    ev_run(loop, probe ? EVRUN_NOWAIT : EVRUN_ONCE);
    return 0;
}

const struct c_loop libev_loop = {
    version, open_loop, close_loop, watch, set, unwatch, pass,
};
