//! The way of a state to a version that cannot read it itself: through versions in between (R28).

use super::States;
use crate::call::lane::Live;
use crate::instance::{Change, InstanceError};
use wasmhot_appup::{Known, Limits, ModuleVersion, is_between};

/// Versions between two others, each with the `extra` of the change to it.
pub(crate) type Chain = Vec<(ModuleVersion, serde_json::Value)>;

impl States {
    /// The versions through which a state of this version goes to the live one (R28), each with its `extra`: those that the upgrade has
    /// named, else those that the descriptions lead through. None in it: the live version reads it itself, or tries to.
    pub(crate) async fn way(&self, from: &ModuleVersion, live: &Live) -> Chain {
        let to = &live.template.version.id;
        if from.digest == to.digest {
            return Vec::new();
        }
        if let Some((first, _)) = live.via.first().filter(|(first, _)| is_between(first, from, to)) {
            let known = Known {
                states: self.versions.described(vec![first.clone(), from.clone()]).await,
                ..Known::default()
            };
            if known.reads(first, from) {
                return live.via.clone();
            }
        }
        let way = self.versions.way(from, to).await.unwrap_or_default();
        let extra_of = |id: &ModuleVersion| {
            let named = live.via.iter().find(|(named, _)| named == id);
            named.map_or(&live.extra, |(_, extra)| extra).clone()
        };
        way.into_iter().map(|id| (id.clone(), extra_of(&id))).collect()
    }

    /// The same, where that version has to read the bytes itself first.
    pub(super) async fn way_behind(&self, holder: &ModuleVersion, live: &Live) -> Chain {
        let mut chain = vec![(holder.clone(), serde_json::Value::Null)];
        chain.extend(self.way(holder, live).await);
        chain
    }

    /// Passes a state through throw-away instances of these versions; `change` is the one that the bytes were saved with. Gives the
    /// last of them, and what it has saved for the live version.
    pub(crate) async fn through(
        &self,
        live: &Live,
        change: Change,
        bytes: Vec<u8>,
        chain: &[(ModuleVersion, serde_json::Value)],
        limits: &Limits,
    ) -> Result<(ModuleVersion, Vec<u8>), InstanceError> {
        let to = &live.template.version.id;
        let (mut change, mut bytes, mut last) = (change, bytes, to.clone());
        for (place, (step, _)) in chain.iter().enumerate() {
            let template = self.throw_away(step, &live.template).await?;
            let mut instance = template.start_within(live.revision, limits.start_timeout).await?;
            instance.migrate(&change, &bytes, limits.migrate_timeout).await?;
            change = match chain.get(place + 1) {
                Some((next, extra)) => Change::between(&step.version, &next.version, extra),
                None => Change::between(&step.version, &to.version, &live.extra),
            };
            bytes = instance.save(&change, limits.save_timeout).await?.bytes;
            last = step.clone();
        }
        Ok((last, bytes))
    }
}

/// What the version that reads first is told.
pub(super) fn first_change(from: &ModuleVersion, chain: &[(ModuleVersion, serde_json::Value)], live: &Live) -> Change {
    match chain.first() {
        Some((first, extra)) => Change::of_versions(from, first, extra),
        None => Change::of_versions(from, &live.template.version.id, &live.extra),
    }
}
