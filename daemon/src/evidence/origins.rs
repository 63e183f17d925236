//! Which origins a log has had: each restore from a backup ends one, and names it (S3).

use std::collections::BTreeMap;

use attestd_core::check::hex;
use attestd_storage::note::{Verifier, key_name};
use serde::Deserialize;

use super::leaf::{Leaf, Type};
use super::tiles::Tiles;

/// The origins of a log, as its records go by.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// The one that the records at hand are written under, once one of them has said so.
    pub now: Option<String>,
    /// Those that ended, by the name that their checkpoints have.
    pub earlier: BTreeMap<String, Earlier>,
}

/// An origin that ended when the log was restored.
#[derive(Debug)]
pub(super) struct Earlier {
    /// What signed its checkpoints.
    pub key: Verifier,
    /// How many of its records were restored: the index of the record that says so.
    pub size: u64,
}

#[derive(Deserialize)]
struct Restored {
    origin: String,
    from: String,
    size: u64,
    root: String,
    key: String,
}

impl Origins {
    /// Takes in the leaf at `index`, which is `text`: a start is under the origin that the records before it have, and a
    /// restore of what the tree says they were.
    pub fn take(
        &mut self,
        index: u64,
        leaf: &Leaf<'_>,
        text: &str,
        tiles: &Tiles,
    ) -> Result<(), String> {
        let other = |now: &str, said: &str| {
            format!("record {index} is of the log {said}, and those before it of {now}")
        };
        match leaf.t {
            Type::Start => {
                let origin = leaf.origin.as_deref();
                let origin = origin.ok_or_else(|| format!("record {index} is of no log"))?;
                match &self.now {
                    Some(now) if now != origin => Err(other(now, origin)),
                    _ => {
                        self.now = Some(origin.to_owned());
                        Ok(())
                    }
                }
            }
            Type::Restored => {
                let restored: Restored =
                    serde_json::from_str(text).map_err(|e| format!("record {index}: {e}"))?;
                match &self.now {
                    Some(now) if *now != restored.from => Err(other(now, &restored.from)),
                    _ => self.restored(index, restored, tiles),
                }
            }
            _ => Ok(()),
        }
    }

    fn restored(&mut self, index: u64, restored: Restored, tiles: &Tiles) -> Result<(), String> {
        let Restored { origin, from, size, root, key } = restored;
        if size != index || tiles.root(size).is_none_or(|found| hex(&found) != root) {
            return Err(format!("record {index} restores other records than those before it"));
        }
        let name = key_name(&from);
        let key: Option<Verifier> = key.parse().ok().filter(|key: &Verifier| key.name == name);
        let key = key.ok_or_else(|| format!("record {index} names no key of the log {from}"))?;
        self.now = Some(origin);
        self.earlier.insert(name, Earlier { key, size });
        Ok(())
    }

    /// Whether the records lead up to this origin.
    pub fn end(&self, origin: &str) -> Result<(), String> {
        match &self.now {
            Some(now) if now != origin => Err(format!(
                "the records are of the log {now}, the checkpoint is of {origin}, and nothing says how one became the other"
            )),
            _ => Ok(()),
        }
    }
}
