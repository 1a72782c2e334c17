//! The socket file: what is made, what is removed, what is left alone.

use super::protocol::Exit;
use super::socket::{BoundSocket, PATH_LENGTH_MAX};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

fn refused(path: &Path) -> (String, Exit) {
    let failure = BoundSocket::bind(path).expect_err("is refused");
    assert!(failure.message.contains("--socket"), "{failure}");
    (failure.code, failure.exit)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("is there").permissions().mode() & 0o777
}

#[test]
fn directory_and_socket_are_for_their_owner_alone() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let path = temp.path().join("a/b/host.sock");
    let socket = BoundSocket::bind(&path).expect("is bound");
    assert_eq!(
        [
            mode(&temp.path().join("a")),
            mode(&temp.path().join("a/b")),
            mode(&path)
        ],
        [0o700, 0o700, 0o600]
    );
    drop(socket);
    assert!(!path.exists());
}

#[test]
fn a_living_host_keeps_its_socket() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let path = temp.path().join("host.sock");
    let _socket = BoundSocket::bind(&path).expect("is bound");
    assert_eq!(refused(&path), ("already-running".to_owned(), Exit::Busy));
    assert!(path.exists());
}

#[test]
fn a_socket_without_a_host_is_replaced() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let path = temp.path().join("host.sock");
    // As a killed host leaves it.
    drop(UnixListener::bind(&path).expect("is bound"));
    assert!(path.exists());
    let socket = BoundSocket::bind(&path).expect("is bound again");
    // And what is no longer ours is not removed.
    fs::remove_file(&path).expect("is removed");
    let _other = BoundSocket::bind(&path).expect("is bound by another");
    drop(socket);
    assert!(path.exists());
}

#[test]
fn what_is_no_socket_stays() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let (file, dir, link) = (
        temp.path().join("file"),
        temp.path().join("dir"),
        temp.path().join("link"),
    );
    fs::write(&file, "mine").expect("is written");
    fs::create_dir(&dir).expect("is made");
    symlink(&file, &link).expect("is made");
    for path in [&file, &dir, &link] {
        assert_eq!(refused(path), ("socket-unusable".to_owned(), Exit::Failed));
        assert!(fs::symlink_metadata(path).is_ok());
    }
    assert_eq!(fs::read_to_string(&file).expect("is there"), "mine");
}

#[test]
fn a_directory_that_others_write_in_is_refused() {
    let temp = tempfile::tempdir().expect("temporary directory");
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(mode)).expect("is changed");
        assert_eq!(refused(&temp.path().join("host.sock")).0, "socket-unusable");
    }
}

#[test]
fn a_path_that_is_too_long_is_said_to_be() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let fill = |length: usize| temp.path().join("x".repeat(length - temp.path().as_os_str().len() - 1));
    assert_eq!(
        refused(&fill(PATH_LENGTH_MAX + 1)),
        ("socket-path-too-long".to_owned(), Exit::Usage)
    );
    drop(BoundSocket::bind(&fill(PATH_LENGTH_MAX)).expect("the longest one is bound"));
}
