//! Any text, path or name as an address: what it says comes back from text and from the kernel, or
//! is refused with an error.
#![no_main]

use asyncore::{Address, Channel, Family, ToAddress, Type};
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use std::{
    ffi::OsStr,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::LazyLock,
};

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Text(&'a str),
    /// The last component of a path.
    File(&'a [u8]),
    Path(&'a [u8]),
    Abstract(&'a [u8]),
    Loopback([u8; 3], u16),
    Inet(IpAddr, u16),
    Inet6 {
        ip: Ipv6Addr,
        port: u16,
        flow: u32,
        scope: u32,
    },
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Text(text) => parses(text),
        Input::File(name) => {
            if !name.contains(&b'/') {
                let path = DIRECTORY.path().join(OsStr::from_bytes(name));
                kernel_keeps(&Address::Unix(path.clone()));
                let _ = std::fs::remove_file(path);
            }
        }
        // Not given to the kernel, which might make it, or find it, anywhere in the file system.
        Input::Path(path) => {
            let path = Path::new(OsStr::from_bytes(path));
            assert_eq!(path.to_address().unwrap(), Address::Unix(path.to_owned()));
            let _ = Address::Unix(path.to_owned()).to_string();
        }
        Input::Abstract(name) => kernel_keeps(&Address::Abstract(name.to_vec())),
        Input::Loopback([b, c, d], port) => {
            kernel_keeps(&Address::Inet((Ipv4Addr::new(127, b, c, d), port).into()));
        }
        Input::Inet(ip, port) => {
            let address = (ip, port).to_address().unwrap();
            assert_eq!(address.as_inet(), Some((ip, port).into()));
            assert_eq!(address.to_string().to_address().unwrap(), address);
        }
        Input::Inet6 { ip, port, flow, scope } => {
            let full = std::net::SocketAddrV6::new(ip, port, flow, scope);
            let text = Address::Inet(full.into()).to_string();
            // Text has no place for a flow.
            let expected = std::net::SocketAddrV6::new(ip, port, 0, scope);
            assert_eq!(text.to_address().unwrap(), Address::Inet(expected.into()));
        }
    }
});

/// What is bound here goes with it.
static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fn parses(text: &str) {
    match text.to_address() {
        Ok(Address::Unix(path)) => {
            assert!(text.contains('/'));
            assert_eq!(path, Path::new(text));
            assert_eq!(Address::Unix(path).to_string(), text);
        }
        Ok(address) => {
            let inet = address.as_inet().unwrap();
            assert_eq!(text.parse::<SocketAddr>().unwrap(), inet);
            assert_eq!(address.to_string().to_address().unwrap(), address);
            assert_eq!(String::from(text).to_address().unwrap(), address);
        }
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(!text.contains('/') && text.parse::<SocketAddr>().is_err());
        }
    }
}

/// What is bound is what the kernel says is bound, and what a receiver sees as the sender.
fn kernel_keeps(address: &Address) {
    let family = Family::of(address);
    let socket = Channel::create_socket(family, Type::Datagram).unwrap();
    if let Err(error) = socket.bind(address) {
        assert_eq!(socket.local_addr().unwrap().as_inet().map_or(0, |inet| inet.port()), 0);
        assert!(refusable(&error), "{address:?}: {error}");
        return;
    }
    let found = socket.local_addr().unwrap();
    match (&found, address) {
        (Address::Inet(found), Address::Inet(wanted)) if wanted.port() == 0 => {
            assert_eq!(found.ip(), wanted.ip());
            assert_ne!(found.port(), 0);
        }
        _ => assert_eq!(found, *address),
    }
    let text = found.to_string();
    if let Address::Inet(_) = found {
        assert_eq!(text.to_address().unwrap(), found);
    }
    // It sends to itself, unless that is a broadcast.
    match socket.send_to(b"!", &found) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
        sent => assert_eq!(sent.unwrap(), 1),
    }
    let (count, sender) = socket.recv_from(&mut [0; 2]).unwrap();
    assert_eq!((count, sender), (1, found));
}

/// Too long, not a name, taken, a port of the privileged.
fn refusable(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, InvalidInput, PermissionDenied};
    let kinds = [AddrInUse, AddrNotAvailable, InvalidInput, PermissionDenied];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(nix::libc::ENAMETOOLONG)
}
