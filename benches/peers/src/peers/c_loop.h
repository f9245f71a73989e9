/* What src/peers/c_loops.rs needs of a C library: what macros and struct layouts keep from Rust. */

typedef void (*ready_fn)(void *arg);

/* What a descriptor is watched for. ONCE: for one readiness. */
enum { READ = 1, WRITE = 2, ONCE = 4 };

struct c_loop {
    const char *(*version)(void);
    /* NULL if the method is not what comes of it. */
    void *(*open)(const char *method);
    void (*close)(void *loop);
    /* For nothing yet; `ready(arg)` is called when `fd` can be read. NULL without memory. */
    void *(*watch)(void *loop, int fd, ready_fn ready, void *arg);
    /* From what it was to what it is to be; 0 on success. */
    int (*set)(void *loop, void *watcher, int before, int after);
    void (*unwatch)(void *loop, void *watcher, int before);
    /* One pass; `probe`: without waiting. 0 on success. */
    int (*pass)(void *loop, int probe);
};
