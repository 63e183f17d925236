//! One frame of the log (S2): u32 length, CRC-32C of the length's four bytes and the bytes, then the bytes; both
//! numbers little-endian.

use attestd_core::record::RECORD_MAX;

/// Length and CRC.
pub(crate) const HEADER: usize = 8;
/// How many bytes a search for a later good frame may checksum. A torn tail is at most one group commit, which
/// needs a few of its own lengths; what needs more is not a torn tail.
pub(crate) const SEARCH_MAX: usize = 1 << 30;

/// What a search among bytes that begin with a bad frame found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// A good frame begins this far on: what is before it is damage.
    Good(usize),
    /// No good frame at all: a torn tail.
    None,
    /// Too much looked like frames to tell; to be safe, damage.
    GaveUp,
}

/// Adds the frame of `bytes`, 1 to 65,535 of them, to `into`.
pub(crate) fn encode(bytes: &[u8], into: &mut Vec<u8>) {
    let length = u32::try_from(bytes.len()).expect("a record is at most 65,535 bytes");
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&checksum(bytes).to_le_bytes());
    into.extend_from_slice(bytes);
}

/// The length and CRC that a header states, where the length is one that a record can have.
pub(crate) fn header(header: [u8; HEADER]) -> Option<(usize, u32)> {
    let [a, b, c, d, e, f, g, h] = header;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    (1..=RECORD_MAX).contains(&length).then_some((length, u32::from_le_bytes([e, f, g, h])))
}

/// The CRC-32C of the length and the bytes, at most 65,535 of them.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let length = bytes.len() as u32;
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), bytes)
}

/// Whether `bytes` are what the header's CRC was made of.
pub(crate) fn is_good(bytes: &[u8], stated: u32) -> bool {
    checksum(bytes) == stated
}

/// The bytes of the frame at the start of `buffer`, if it is good.
pub(crate) fn decode(buffer: &[u8]) -> Option<&[u8]> {
    let (start, rest) = buffer.split_first_chunk::<HEADER>()?;
    let (length, stated) = header(*start)?;
    let bytes = rest.get(..length)?;
    is_good(bytes, stated).then_some(bytes)
}

/// Looks in `rest`, which begins with a bad frame, for a good one.
pub(crate) fn search(rest: &[u8]) -> Search {
    let mut work = 0;
    for offset in 1..rest.len().saturating_sub(HEADER) {
        let here = &rest[offset..];
        let Some((length, _)) = here.first_chunk::<HEADER>().copied().and_then(header) else {
            continue;
        };
        if length > here.len() - HEADER {
            continue;
        }
        work += length;
        if work > SEARCH_MAX {
            return Search::GaveUp;
        }
        if decode(here).is_some() {
            return Search::Good(offset);
        }
    }
    Search::None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(bytes: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        encode(bytes, &mut frame);
        frame
    }

    #[test]
    fn a_frame_is_laid_out_as_documented() {
        let frame = framed(b"{}");
        assert_eq!(frame[..4], [2, 0, 0, 0], "the length, little-endian");
        let crc = crc32c::crc32c(&[2, 0, 0, 0, b'{', b'}']);
        assert_eq!(frame[4..8], crc.to_le_bytes(), "the CRC-32C of length and bytes");
        assert_eq!(&frame[8..], b"{}", "the bytes");
    }

    #[test]
    fn what_is_no_frame_is_bad() {
        let good = framed(b"{}");
        for (bytes, why) in [
            (vec![], "nothing"),
            (good[..9].to_vec(), "a byte short"),
            (vec![0; 64], "zeros, as a file system may leave behind after a power cut"),
            (vec![0xff; 64], "a length beyond any record"),
        ] {
            assert_eq!(decode(&bytes), None, "{why}");
        }
    }

    #[test]
    fn the_search_tells_a_torn_tail_from_damage() {
        let good = framed(br#"{"t":"stopped"}"#);
        let torn = &good[..good.len() - 1];
        let damaged = |cut: usize| [&good[..cut], &good[..]].concat();
        for (rest, expected, why) in [
            (torn.to_vec(), Search::None, "the last frame, a byte short"),
            (vec![0; 4096], Search::None, "zeros"),
            (damaged(3), Search::Good(3), "a good frame after a stump of three bytes"),
            (damaged(20), Search::Good(20), "a good frame after most of another"),
        ] {
            assert_eq!(search(&rest), expected, "{why}");
        }
    }

    proptest! {
        #[test]
        fn what_was_framed_is_read_back(bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
            let frame = framed(&bytes);
            prop_assert_eq!(decode(&frame), Some(&bytes[..]));
        }

        #[test]
        fn a_flipped_byte_is_noticed(
            bytes in prop::collection::vec(any::<u8>(), 1..300), at in any::<usize>(), flip in 1u8..,
        ) {
            let mut frame = framed(&bytes);
            let at = at % frame.len();
            frame[at] ^= flip;
            prop_assert_ne!(decode(&frame), Some(&bytes[..]));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
            let _ = search(&bytes);
        }
    }
}
