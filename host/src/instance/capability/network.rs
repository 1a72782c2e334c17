//! `wasi:sockets` of WASI 0.2 and 0.3: what WASI does, once this has looked whether it may.
//!
//! A name is looked up only if it is granted, and a socket leads to an address of it only if a lookup, of the guest or of the host, has
//! found that address.

use super::super::guest::Guest;
use super::super::outside::Reach;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use wasmhot_appup::settings::Hosts;
use wasmhot_appup::{Capability, SocketGrant, SocketUse};
use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self as network_interface, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, SocketError};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup as concurrent_lookup;
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress as ConcurrentIpAddress;
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSockets, WasiSocketsCtxView, WasiSocketsView};

/// Lets the sockets of a guest lead where its grants say.
pub(crate) fn configure(wasi: &mut WasiCtxBuilder, reach: &Arc<Reach>) {
    // Decided below, where it is known what for: so a denial can say that.
    wasi.allow_tcp(true);
    wasi.allow_udp(true);
    // So is each name, by `Lookup`.
    wasi.allow_ip_name_lookup(true);
    let reach = Arc::clone(reach);
    wasi.socket_addr_check(
        move |address, used| -> Pin<Box<dyn Future<Output = bool> + Send + Sync>> {
            let reach = Arc::clone(&reach);
            // A lookup of the host is a future that may only be sent; this one has to be shared too.
            let (told, answer) = tokio::sync::oneshot::channel();
            let now = decide_at_once(&reach, address, used);
            match now {
                Some(may) => Box::pin(async move { may }),
                None => {
                    tokio::spawn(async move {
                        let _ = told.send(leads_to_name(&reach, address, used).await);
                    });
                    Box::pin(async move { answer.await.unwrap_or(false) })
                }
            }
        },
    );
}

/// What can be said without looking anything up.
fn decide_at_once(reach: &Reach, address: SocketAddr, used: SocketAddrUse) -> Option<bool> {
    let sockets = &reach.grants.sockets;
    let listens = |wanted: SocketUse| sockets.iter().any(|grant| grant.used == wanted);
    let is_any = address.ip().is_unspecified() && address.port() == 0;
    let granted = match used {
        // Every socket that connects or sends is bound first, to whatever address and port there is.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind if is_any => true,
        // Who connects to, or sends to, a socket that listens is not chosen by the guest.
        SocketAddrUse::TcpAccept if listens(SocketUse::TcpListen) => true,
        SocketAddrUse::UdpReceive if listens(SocketUse::UdpListen) => true,
        _ => sockets.iter().any(|grant| grant.allows(wanted(used), address)),
    };
    if granted {
        return Some(may(reach, true, address, used));
    }
    // Nothing that the guest did: whoever it is, he is not heard.
    if matches!(used, SocketAddrUse::TcpAccept) {
        return Some(false);
    }
    let by_name = |grant: &&SocketGrant| grant.is_by_name(wanted(used), address.port());
    let mut by_name = sockets.iter().filter(by_name).peekable();
    if by_name.peek().is_none() || reach.effects_refused().is_some() {
        return Some(may(reach, false, address, used));
    }
    let names = reach.names_of(address.ip());
    let is_known = by_name.any(|grant| names.iter().any(|name| grant.hosts.has_name(name)));
    is_known.then_some(true)
}

/// Whether this is an address of a name that is granted. A guest may have looked it up otherwise, or long ago.
async fn leads_to_name(reach: &Reach, address: SocketAddr, used: SocketAddrUse) -> bool {
    let by_name = |grant: &&SocketGrant| grant.is_by_name(wanted(used), address.port());
    for grant in reach.grants.sockets.iter().filter(by_name) {
        let Hosts::Name(name) = &grant.hosts else {
            continue;
        };
        let Ok(found) = tokio::net::lookup_host((name.as_str(), address.port())).await else {
            continue;
        };
        let found: Vec<IpAddr> = found.map(|found| found.ip()).collect();
        found.iter().for_each(|found| reach.note_address(name, *found));
        if found
            .iter()
            .any(|found| found.to_canonical() == address.ip().to_canonical())
        {
            return may(reach, true, address, used);
        }
    }
    may(reach, false, address, used)
}

fn wanted(used: SocketAddrUse) -> SocketUse {
    match used {
        SocketAddrUse::TcpConnect => SocketUse::Tcp,
        SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => SocketUse::Udp,
        SocketAddrUse::TcpBind | SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => SocketUse::TcpListen,
        SocketAddrUse::UdpBind => SocketUse::UdpListen,
    }
}

fn may(reach: &Reach, is_granted: bool, address: SocketAddr, used: SocketAddrUse) -> bool {
    // What a stranger sends is not the guest's doing: it is dropped, and nothing is said.
    if matches!(used, SocketAddrUse::UdpReceive) {
        return is_granted && reach.effects_refused().is_none();
    }
    let wanted = wanted(used);
    let what = match wanted {
        SocketUse::Tcp => "a connection to",
        SocketUse::Udp => "datagrams to and from",
        SocketUse::TcpListen => "listening on",
        SocketUse::UdpListen => "binding to",
    };
    let target = || format!("{what} {}://{address}", wanted.word());
    let grant = || format!("sockets = [\"{}://{address}\"]", wanted.word());
    reach.may(Capability::Sockets, is_granted, target, grant).is_ok()
}

/// `wasi:sockets/ip-name-lookup` of one instance.
pub(crate) struct Lookup<'a> {
    pub(crate) reach: &'a Arc<Reach>,
    /// Which stream gives the addresses of which name.
    pub(crate) names: &'a mut std::collections::HashMap<u32, String>,
    pub(crate) sockets: WasiSocketsCtxView<'a>,
}

struct HasLookup;

impl HasData for HasLookup {
    type Data<'a> = Lookup<'a>;
}

fn may_look_up(reach: &Reach, name: &str) -> bool {
    // An address in the form of a name asks nobody anything.
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_granted = is_address || reach.grants.sockets.iter().any(|grant| grant.needs_name(name));
    let shown = name.escape_debug().to_string();
    let (target, grant) = (
        || format!("looking up the name {shown}"),
        || format!("sockets = [\"tcp://{shown}:*\"]"),
    );
    reach.may(Capability::Sockets, is_granted, target, grant).is_ok()
}

impl ip_name_lookup::Host for Lookup<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        if !may_look_up(self.reach, &name) {
            return Err(network_interface::ErrorCode::AccessDenied.into());
        }
        let stream = self.sockets.resolve_addresses(network, name.clone())?;
        self.names.insert(stream.rep(), name);
        Ok(stream)
    }
}

impl ip_name_lookup::HostResolveAddressStream for Lookup<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let name = self.names.get(&stream.rep());
        let found = self.sockets.resolve_next_address(stream)?;
        if let (Some(found), Some(name)) = (&found, name) {
            self.reach.note_address(name, address_of(found));
        }
        Ok(found)
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.sockets.subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.names.remove(&stream.rep());
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.sockets, stream)
    }
}

impl concurrent_lookup::Host for Lookup<'_> {}

impl concurrent_lookup::HostWithStore<Guest> for HasLookup {
    async fn resolve_addresses(
        store: &Accessor<Guest, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<ConcurrentIpAddress>, concurrent_lookup::ErrorCode>> {
        let reach = store.with(|mut store| Arc::clone(store.get().reach));
        if !may_look_up(&reach, &name) {
            return Ok(Err(concurrent_lookup::ErrorCode::AccessDenied));
        }
        let wasi = store.with_getter::<WasiSockets>(Guest::sockets);
        let found =
            <WasiSockets as concurrent_lookup::HostWithStore<Guest>>::resolve_addresses(&wasi, name.clone()).await?;
        for found in found.iter().flatten() {
            reach.note_address(&name, IpAddr::from(*found));
        }
        Ok(found)
    }
}

/// The errors of the interface are those of WASI.
impl network_interface::Host for Lookup<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<network_interface::ErrorCode> {
        self.sockets.convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<network_interface::ErrorCode>> {
        self.sockets.network_error_code(error)
    }
}

impl network_interface::HostNetwork for Lookup<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network_interface::HostNetwork::drop(&mut self.sockets, network)
    }
}

fn address_of(found: &IpAddress) -> IpAddr {
    match *found {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    ip_name_lookup::add_to_linker::<Guest, HasLookup>(linker, Guest::lookup)
}

/// The same for WASI 0.3.
pub(super) fn add_concurrent_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    concurrent_lookup::add_to_linker::<Guest, HasLookup>(linker, Guest::lookup)
}
