//! A request on its way to the module whose route holds it.

use super::body;
use super::problem::Problem;
use crate::call::invocation::{Body, Exchange, Invocation};
use crate::call::router::Given;
use crate::call::routes::{Route, Routes};
use crate::error::{CallError, CallErrorCode};
use crate::host::Host;
use http::header::HOST;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use wasmhot_appup::HttpSettings;

/// Work where guests run, which ends if nobody waits for it.
pub(super) struct OnGuests<T>(Option<JoinHandle<Result<T, Problem>>>);

impl<T: Send + 'static> OnGuests<T> {
    pub(super) fn start(host: &Host, work: impl Future<Output = Result<T, Problem>> + Send + 'static) -> Self {
        Self(Some(host.guests().spawn(work)))
    }

    pub(super) async fn ended(&mut self) -> Result<T, Problem> {
        let Some(task) = &mut self.0 else {
            return Err(internal("it had ended before"));
        };
        match task.await {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => Err(internal("a fault of wasmhot ended this request; its log says more")),
            Err(_) => Err(internal("the host ends")),
        }
    }

    /// It goes on, whoever waits.
    fn let_go(mut self) {
        self.0.take();
    }
}

impl<T> Drop for OnGuests<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

fn internal(why: &str) -> Problem {
    Problem::from(CallError::unknown(CallErrorCode::Internal, why))
}

/// The response of the module that answers. If this is dropped because the client has gone, a call that has not started is taken out
/// of its queue; one that has started goes on (R10).
pub(super) async fn answer(
    host: &Host,
    settings: &HttpSettings,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let name = host_of(&request)?;
    let (head, body) = request.into_parts();
    let (response, mut answered) = oneshot::channel();
    let exchange = Exchange {
        request: Request::from_parts(head, body::limited(body, settings.body_max())?),
        key: None,
        response,
        response_max: usize::try_from(settings.response_max())
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS),
    };
    let mut work = OnGuests::start(host, give(host.clone(), settings.clone(), name, exchange));
    let ended = tokio::select! {
        biased;
        Ok(response) = &mut answered => {
            // The guest may still write.
            work.let_go();
            return Ok(response);
        }
        ended = work.ended() => ended,
    };
    ended?;
    // A call that has ended well has sent its response before.
    answered
        .try_recv()
        .map_err(|_| internal("the call ended without a response"))
}

/// Gives it to the module whose route holds it, as often as the release changes before it has started.
async fn give(host: Host, settings: HttpSettings, name: String, mut exchange: Exchange) -> Result<(), Problem> {
    host.count_call();
    let mut deadline = None;
    let mut is_whole = false;
    loop {
        host.refuse_if_stopping()?;
        let routes = host.router().routes();
        let (route, key) = find(&routes, &name, &exchange.request)?;
        if route.template.config.kind.keeps_state() && !is_whole {
            // A slow client does not hold a release, let alone an instance.
            drop(routes);
            let (head, body) = exchange.request.into_parts();
            let body = body::whole(body, settings.body_max(), settings.body_timeout()).await?;
            exchange.request = Request::from_parts(head, body);
            is_whole = true;
            continue;
        }
        exchange.key = key;
        let exchange_now = Box::new(exchange);
        match host.router().give_request(&routes, route, exchange_now, deadline).await {
            Given::Done(answer) => return answer.map(drop).map_err(|error| Problem::from(*error)),
            Given::Replaced(Invocation::Exchange(back), origin) => {
                // Time waited at a gate counts (R11).
                deadline = Some(origin.tree.deadline());
                exchange = *back;
            }
            Given::Replaced(Invocation::Function { .. }, _) => return Err(internal("another call came back")),
        }
    }
}

/// The route, and the key in the path if it has one.
fn find<'r>(routes: &'r Routes, name: &str, request: &Request<Body>) -> Result<(&'r Route, Option<String>), Problem> {
    let path = request.uri().path();
    let found = routes.http.find(Some(name), path);
    let found = found.map_err(|bad| Problem::BadRequest(bad.to_string()))?;
    let route = found.and_then(|found| Some((routes.modules.get(found.module)?, found.key)));
    route.ok_or_else(|| Problem::NoRoute {
        what: format!("{} {name}{path}", request.method()),
    })
}

/// Whom the request is for.
fn host_of(request: &Request<Incoming>) -> Result<String, Problem> {
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.as_str().to_owned());
    }
    let mut named = request.headers().get_all(HOST).iter();
    match (named.next().and_then(|name| name.to_str().ok()), named.next()) {
        (Some(name), None) => Ok(name.to_owned()),
        _ => Err(Problem::BadRequest(
            "a request has one header `host`, and it is text".to_owned(),
        )),
    }
}
