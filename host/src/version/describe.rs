//! What `wasmhot inspect` shows.

use super::prepare::{Prepared, prepare};
use super::{EngineKind, NameSource, StateDescription, VersionError};
use serde::Serialize;
use std::sync::Arc;
use wasmhot_appup::interface::{FunctionName, FunctionType, ModuleInterface};
use wasmhot_appup::{Appup, Digest, Kind, ModuleName, ModuleVersion};
use wasmparser::Encoding;

/// All that can be said of a file without compiling it.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// Name of the module.
    pub name: ModuleName,
    /// Its semantic version.
    pub version: semver::Version,
    /// Where these two were found.
    pub name_source: NameSource,
    /// sha256 of the file.
    pub digest: Digest,
    /// Length of the file.
    pub size: u64,
    /// A component, or a core module that the host wraps.
    pub form: CoreOrComponent,
    /// The engine that it will run on.
    pub engine: EngineKind,
    /// Hands its state over.
    pub stateful: bool,
    /// Can be asked whether it is well.
    pub has_health: bool,
    /// The kind it asks for, else the default for what it is.
    pub kind: Kind,
    /// How it describes its state.
    pub state: Option<StateDescription>,
    /// The appup that it carries (section `wasmhot:appup`).
    pub appup: Option<Appup>,
    /// What it exports.
    pub exports: Vec<DescribedFunction>,
    /// What it wants of other modules.
    pub imports: Vec<DescribedFunction>,
    /// What it wants of the host.
    pub capabilities: Vec<String>,
    /// What was left out or renamed, in words.
    pub notes: Vec<String>,
}

/// A function of a [`Description`].
#[derive(Clone, Debug, Serialize)]
pub struct DescribedFunction {
    /// Its name.
    #[serde(flatten)]
    pub name: FunctionName,
    /// Its signature.
    #[serde(rename = "type")]
    pub ty: FunctionType,
    /// The signature as text, as in WIT.
    pub text: String,
    /// False if resources or streams stand in it: it exists, but values cannot be passed.
    pub callable: bool,
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoreOrComponent {
    /// A plain core module.
    Core,
    /// A component.
    Component,
}

/// What is known of a file without compiling it, for those who plan with it.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "cli"),
    allow(dead_code, reason = "most of it is for what needs no host")
)]
pub(crate) struct Facts {
    /// Name, semver and digest.
    pub(crate) id: ModuleVersion,
    /// What it exports and imports.
    pub(crate) interface: Arc<ModuleInterface>,
    /// The kind it asks for.
    pub(crate) kind_hint: Option<Kind>,
    /// Name and version come from the file's name.
    pub(crate) is_named_by_file: bool,
    /// How it describes its state.
    pub(crate) state: Option<StateDescription>,
    /// The appup that it carries, as text.
    pub(crate) appup: Option<String>,
}

/// The facts of a file. Fails as [`describe`] does.
pub(crate) fn facts(file_stem: &str, bytes: &[u8]) -> Result<Facts, VersionError> {
    let Prepared { labelled, contract, .. } = prepare(file_stem, bytes)?;
    Ok(Facts {
        id: labelled.id,
        interface: Arc::new(contract.interface),
        kind_hint: labelled.identity.kind_hint,
        is_named_by_file: labelled.identity.source == NameSource::FileName,
        state: labelled.state,
        appup: labelled.appup,
    })
}

/// Describes a file, or says why it would be refused. Fails for all that [`compile`](super::compile()) fails for, except what
/// only the compiler sees: faults inside function bodies.
pub fn describe(file_stem: &str, bytes: &[u8]) -> Result<Description, VersionError> {
    let Prepared {
        labelled,
        encoding,
        contract,
        engine,
        mut notes,
        ..
    } = prepare(file_stem, bytes)?;
    let appup = labelled.appup.map(|text| Appup::parse(super::APPUP, &text));
    let appup = appup.transpose().unwrap_or_else(|faults| {
        let note = format!(
            "its section {} cannot be read, so nothing is planned with it:\n{faults}",
            super::APPUP
        );
        notes.push(note);
        None
    });
    let interface = &contract.interface;
    let form = match encoding {
        Encoding::Module => CoreOrComponent::Core,
        Encoding::Component => CoreOrComponent::Component,
    };
    Ok(Description {
        name: labelled.id.name.clone(),
        version: labelled.id.version.clone(),
        name_source: labelled.identity.source,
        digest: labelled.id.digest,
        size: bytes.len() as u64,
        form,
        engine,
        stateful: interface.stateful,
        has_health: interface.has_health,
        kind: labelled
            .identity
            .kind_hint
            .unwrap_or_else(|| Kind::default_for(interface.stateful)),
        exports: interface.exports.iter().map(described).collect(),
        imports: interface.imports.iter().map(described).collect(),
        capabilities: interface.capabilities.iter().cloned().collect(),
        state: labelled.state,
        appup,
        notes,
    })
}

fn described((name, ty): (&FunctionName, &FunctionType)) -> DescribedFunction {
    DescribedFunction {
        name: name.clone(),
        ty: ty.clone(),
        text: ty.to_string(),
        callable: !ty.cannot_cross(),
    }
}
