//! Time stamps in a pack: each is over a checkpoint of this very log. Whether the authority signed it, openssl says.

use std::collections::BTreeMap;
use std::path::Path;

use attestd_storage::note::key_name;
use sha2::{Digest, Sha256};

use super::files::{Bad, SMALL_MAX, bad, read_small};
use super::leaf::{Leaf, Type};
use super::origins::Origins;
use super::table::link;
use super::tiles::Tiles;
use super::verify::checkpoint;
use crate::timestamps::token;

/// The time stamps of a pack, as its records go by.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// How many there are with their token.
    whole: u64,
    /// How many the pack has no token of: it is redacted, or they were erased.
    named: u64,
}

impl Stamps {
    /// Takes in the leaf at `index`: what it says was stamped is this log as it was before, under the origin it had then,
    /// and the token is over it.
    pub fn take(
        &mut self,
        index: u64,
        leaf: &Leaf<'_>,
        (origins, tiles): (&Origins, &Tiles),
        (pack, files): (&Path, &BTreeMap<String, String>),
    ) -> Result<(), Bad> {
        if leaf.t != Type::Stamped {
            return Ok(());
        }
        let wrong = |what: &str| bad(format!("record {index}, a time stamp, {what}"));
        let (Some(note), Some(token)) = (&leaf.note, &leaf.token) else {
            return Err(wrong("names no checkpoint or no token"));
        };
        let of =
            checkpoint(note).map_err(|error| wrong(&format!("is of no checkpoint: {error}")))?;
        let origin = origins.now.as_deref().or(of.origin.get(key_name("").len()..));
        let named = origin.is_some_and(|origin| key_name(origin) == of.origin);
        if !named || of.head.size > index || tiles.root(of.head.size) != Some(of.head.root) {
            return Err(wrong("is of a checkpoint that is none of this log"));
        }
        let token = link(token);
        if !files.contains_key(&token) {
            self.named += 1;
            return Ok(());
        }
        let digest = Sha256::digest(note.as_bytes());
        match token::is_over(&read_small(pack, &token, SMALL_MAX)?, &digest.into()) {
            true => self.whole += 1,
            false => return Err(wrong("has a token that is over something else")),
        }
        Ok(())
    }

    /// What there are, in words; nothing where there are none.
    pub fn say(&self) -> Option<String> {
        let Stamps { whole, named } = self;
        (whole + named > 0).then(|| {
            format!(
                "time stamps: {whole} with their token and {named} without, each of a checkpoint of this log; whether the \
                 authority signed them, `openssl ts -verify` says, as in VERIFY.md"
            )
        })
    }
}
