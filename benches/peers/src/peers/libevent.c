/* libevent for src/peers/c_loops.rs. */

#include "c_loop.h"
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

/* One event for each direction: the events of one cannot be changed while it is added. */
struct watcher {
    struct event reader, writer;
    ready_fn ready;
    void *arg;
    int fd;
};

static void *open_base(const char *method) {
    static const char *const methods[] = {"epoll", "poll", "select"};
    struct event_config *config = event_config_new();
    for (size_t i = 0; i < 3; i++)
        if (strcmp(methods[i], method) != 0) event_config_avoid_method(config, methods[i]);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    if (base && strcmp(event_base_get_method(base), method) != 0) {
        event_base_free(base);
        return NULL;
    }
    return base;
}

static void close_base(void *base) { event_base_free(base); }

static void on_readable(evutil_socket_t fd, short events, void *arg) {
    struct watcher *watcher = arg;
    (void)fd, (void)events;
    watcher->ready(watcher->arg);
}

static void on_writable(evutil_socket_t fd, short events, void *arg) {
    (void)fd, (void)events, (void)arg;
}

static void *watch(void *base, int fd, ready_fn ready, void *arg) {
    struct watcher *watcher = calloc(1, sizeof *watcher);
    if (!watcher) return NULL;
    watcher->ready = ready;
    watcher->arg = arg;
    watcher->fd = fd;
    event_assign(&watcher->reader, base, fd, EV_READ | EV_PERSIST, on_readable, watcher);
    event_assign(&watcher->writer, base, fd, EV_WRITE | EV_PERSIST, on_writable, watcher);
    return watcher;
}

static int set(void *base, void *arg, int before, int after) {
    struct watcher *watcher = arg;
    int failed = 0;
    if (after & ONCE)
        event_assign(&watcher->reader, base, watcher->fd, EV_READ, on_readable, watcher);
    if (after & READ && !(before & READ)) failed |= event_add(&watcher->reader, NULL);
    if (before & READ && !(after & READ)) failed |= event_del(&watcher->reader);
    if (after & WRITE && !(before & WRITE)) failed |= event_add(&watcher->writer, NULL);
    if (before & WRITE && !(after & WRITE)) failed |= event_del(&watcher->writer);
    return failed;
}

static void unwatch(void *base, void *watcher, int before) {
    set(base, watcher, before, 0);
    free(watcher);
}

static int pass(void *base, int probe) {
    return event_base_loop(base, EVLOOP_ONCE | (probe ? EVLOOP_NONBLOCK : 0)) < 0;
}

const struct c_loop libevent_loop = {
    event_get_version, open_base, close_base, watch, set, unwatch, pass,
};
