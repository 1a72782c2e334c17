//! Sockets, as `std` has them.

use crate::said;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

pub(crate) fn resolve(name: &str) -> Result<Vec<String>, String> {
    let found = (name, 0).to_socket_addrs().map_err(said)?;
    Ok(found.map(|address| address.ip().to_string()).collect())
}

pub(crate) fn connect(host: &str, port: u16) -> Result<String, String> {
    let stream = TcpStream::connect((host, port)).map_err(said)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(said)?;
    Ok(line.trim_end().to_owned())
}

pub(crate) fn listen(address: &str) -> Result<(), String> {
    TcpListener::bind(address).map(drop).map_err(said)
}

pub(crate) fn ask(address: &str, text: &str) -> Result<String, String> {
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(said)?;
    socket.send_to(text.as_bytes(), address).map_err(said)?;
    let mut answer = [0; 1024];
    let (length, _) = socket.recv_from(&mut answer).map_err(said)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}
