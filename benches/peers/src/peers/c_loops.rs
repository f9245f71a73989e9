//! libevent and libev, each behind the same few functions of a C file.

use crate::peer::{Interest, Method, Peer, Shared, Wait, allocated};
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    io,
    marker::PhantomData,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    ptr,
};

/// `struct c_loop` of c_loop.h, which says what each of them does.
#[repr(C)]
pub(crate) struct Functions {
    version: unsafe extern "C" fn() -> *const c_char,
    open: unsafe extern "C" fn(*const c_char) -> *mut c_void,
    close: unsafe extern "C" fn(*mut c_void),
    watch: unsafe extern "C" fn(*mut c_void, c_int, Ready, *const c_void) -> *mut c_void,
    set: unsafe extern "C" fn(*mut c_void, *mut c_void, c_int, c_int) -> c_int,
    unwatch: unsafe extern "C" fn(*mut c_void, *mut c_void, c_int),
    pass: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
}

type Ready = extern "C" fn(*const c_void);

pub(crate) trait Library {
    fn functions() -> &'static Functions;

    fn version() -> String {
        // SAFETY: it returns a string that ends with a zero and is never freed.
        let version = unsafe { CStr::from_ptr((Self::functions().version)()) };
        version.to_string_lossy().into_owned()
    }
}

#[cfg(has_libevent)]
pub(crate) enum Libevent {}

#[cfg(has_libevent)]
impl Library for Libevent {
    fn functions() -> &'static Functions {
        unsafe extern "C" {
            static libevent_loop: Functions;
        }
        // SAFETY: libevent.c defines it, constant and of this layout.
        unsafe { &libevent_loop }
    }
}

#[cfg(has_libev)]
pub(crate) enum Libev {}

#[cfg(has_libev)]
impl Library for Libev {
    fn functions() -> &'static Functions {
        unsafe extern "C" {
            static libev_loop: Functions;
        }
        // SAFETY: libev.c defines it, constant and of this layout.
        unsafe { &libev_loop }
    }
}

pub(crate) struct CLoop<L: Library> {
    work: Shared,
    handle: *mut c_void,
    watched: Vec<Option<Box<Watched>>>,
    library: PhantomData<L>,
}

/// What the callback gets. In a box: C keeps its address.
struct Watched {
    token: usize,
    fd: OwnedFd,
    work: Shared,
    watcher: *mut c_void,
    flags: c_int,
}

extern "C" fn ready(watched: *const c_void) {
    // SAFETY: `add` gave the address of a `Watched`, and `remove` unwatches before it drops it; no
    // callback comes to what is unwatched, and during a pass nothing borrows it mutably.
    let watched = unsafe { &*watched.cast::<Watched>() };
    let mut fd: RawFd = watched.fd.as_raw_fd();
    watched.work.borrow_mut().ready(watched.token, &mut fd);
}

impl<L: Library> Peer for CLoop<L> {
    type Source = OwnedFd;
    const OWN: usize = size_of::<Option<Box<Watched>>>() + allocated::<Watched>();

    fn new(work: Shared, method: Method) -> io::Result<Self> {
        let name = CString::new(method.name())?;
        // SAFETY: the name ends with a zero and outlives the call.
        let handle = unsafe { (L::functions().open)(name.as_ptr()) };
        if handle.is_null() {
            return Err(io::Error::other(format!("the library has no {method}")));
        }
        Ok(Self { work, handle, watched: Vec::new(), library: PhantomData })
    }

    fn source(fd: OwnedFd) -> io::Result<OwnedFd> {
        Ok(fd)
    }

    fn add(&mut self, token: usize, fd: OwnedFd, interest: Interest) -> io::Result<()> {
        let (number, work) = (fd.as_raw_fd(), self.work.clone());
        let mut watched = Box::new(Watched { token, fd, work, watcher: ptr::null_mut(), flags: 0 });
        let address: *const Watched = &*watched;
        // SAFETY: the loop is open, and the address is good until `remove`.
        watched.watcher =
            unsafe { (L::functions().watch)(self.handle, number, ready, address.cast()) };
        if watched.watcher.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if token >= self.watched.len() {
            self.watched.resize_with(token + 1, || None);
        }
        self.watched[token] = Some(watched);
        self.set(token, interest)
    }

    fn set(&mut self, token: usize, interest: Interest) -> io::Result<()> {
        let watched = self.watched[token].as_mut().expect("the token is in use");
        let flags = flags(interest);
        // SAFETY: the watcher is of this loop and was not freed.
        let failed =
            unsafe { (L::functions().set)(self.handle, watched.watcher, watched.flags, flags) };
        watched.flags = flags;
        if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn remove(&mut self, token: usize) -> io::Result<Option<OwnedFd>> {
        let Some(watched) = self.watched[token].take() else { return Ok(None) };
        // SAFETY: the watcher is of this loop, and is forgotten here.
        unsafe { (L::functions().unwatch)(self.handle, watched.watcher, watched.flags) };
        Ok(Some(watched.fd))
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        // SAFETY: the loop is open, and what its watchers point to is alive.
        let failed =
            unsafe { (L::functions().pass)(self.handle, c_int::from(wait == Wait::Probe)) };
        if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl<L: Library> Drop for CLoop<L> {
    fn drop(&mut self) {
        for token in 0..self.watched.len() {
            drop(self.remove(token));
        }
        // SAFETY: nothing is left in it, and it is not used again.
        unsafe { (L::functions().close)(self.handle) };
    }
}

fn flags(interest: Interest) -> c_int {
    match interest {
        Interest::Nothing => 0,
        Interest::Read => 1,
        Interest::ReadWrite => 1 | 2,
        Interest::ReadOnce => 1 | 4,
    }
}
