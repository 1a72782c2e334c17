//! Sockets by `wasi:sockets`.

use crate::said;
use std::net::{IpAddr, SocketAddr};
use wasip3::sockets::ip_name_lookup;
use wasip3::sockets::types::{
    IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket, UdpSocket,
};
use wasip3::{wit_bindgen::StreamReader, wit_stream};

pub(crate) async fn resolve(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = ip_name_lookup::resolve_addresses(name.to_owned()).await.map_err(said)?;
    Ok(found.into_iter().map(from_wasi).collect())
}

pub(crate) async fn connect(host: &str, port: u16, line: &str) -> Result<String, String> {
    let address = match host.parse() {
        Ok(address) => address,
        Err(_) => *resolve(host).await?.first().ok_or("it has no address")?,
    };
    let address = SocketAddr::new(address, port);
    let socket = TcpSocket::create(family(address)).map_err(said)?;
    socket.connect(to_wasi(address)).await.map_err(said)?;
    say(&socket, line).await?;
    Ok(next_line(&socket).await)
}

/// Those who connect there.
pub(crate) fn listen(address: &str) -> Result<(TcpSocket, StreamReader<TcpSocket>), String> {
    let address: SocketAddr = address.parse().map_err(said)?;
    let socket = TcpSocket::create(family(address)).map_err(said)?;
    socket.bind(to_wasi(address)).map_err(said)?;
    let guests = socket.listen().map_err(said)?;
    Ok((socket, guests))
}

pub(crate) async fn overhear(address: &str, line: &str) -> Result<String, String> {
    let (host, mut guests) = listen(address)?;
    let guest = TcpSocket::create(host.get_address_family()).map_err(said)?;
    let there = host.get_local_address().map_err(said)?;
    guest.connect(there).await.map_err(said)?;
    let accepted = guests.next().await.ok_or("nobody came")?;
    say(&guest, line).await?;
    Ok(next_line(&accepted).await)
}

pub(crate) async fn ask(address: &str, text: &str) -> Result<String, String> {
    let address: SocketAddr = address.parse().map_err(said)?;
    let socket = UdpSocket::create(family(address)).map_err(said)?;
    let sent = socket.send(text.as_bytes().to_vec(), Some(to_wasi(address)));
    sent.await.map_err(said)?;
    let (answer, _) = socket.receive().await.map_err(said)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Says a line, and no more.
async fn say(socket: &TcpSocket, line: &str) -> Result<(), String> {
    let (mut writer, reader) = wit_stream::new();
    let sent = socket.send(reader);
    let rest = writer.write_all(format!("{line}\n").into_bytes()).await;
    drop(writer);
    sent.await.map_err(said)?;
    if rest.is_empty() {
        Ok(())
    } else {
        Err("not all was taken".to_owned())
    }
}

async fn next_line(socket: &TcpSocket) -> String {
    let (mut bytes, _end) = socket.receive();
    let mut line = Vec::new();
    while let Some(byte) = bytes.next().await.filter(|byte| *byte != b'\n') {
        line.push(byte);
    }
    String::from_utf8_lossy(&line).into_owned()
}

fn family(address: SocketAddr) -> IpAddressFamily {
    match address {
        SocketAddr::V4(_) => IpAddressFamily::Ipv4,
        SocketAddr::V6(_) => IpAddressFamily::Ipv6,
    }
}

fn to_wasi(address: SocketAddr) -> IpSocketAddress {
    let port = address.port();
    match address.ip() {
        IpAddr::V4(ip) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port,
            address: ip.octets().into(),
        }),
        IpAddr::V6(ip) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port,
            flow_info: 0,
            address: ip.segments().into(),
            scope_id: 0,
        }),
    }
}

fn from_wasi(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}
