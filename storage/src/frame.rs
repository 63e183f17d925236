//! One frame of the log (S2): u32 length, CRC-32C of the length's four bytes and the bytes, then the bytes; both
//! numbers little-endian. The length's highest bit says that the frame was written together with the one before: of
//! what is written together any part may be missing after a power cut, and only what begins a group shows that
//! everything before it was on disk.

use attestd_core::record::RECORD_MAX;

/// Length and CRC.
pub(crate) const HEADER: usize = 8;
/// In a length: written together with the frame before.
const GOES_ON: u32 = 1 << 31;
/// How many bytes a search for a later good frame may checksum. A torn tail is at most one group commit, which
/// needs a few of its own lengths; what needs more is not a torn tail.
pub(crate) const SEARCH_MAX: usize = 1 << 30;

/// What a search among bytes that begin with a bad frame found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// A good frame that begins a group is this far on: what is before it is damage.
    Good(usize),
    /// None, or only frames of the same group: a torn tail.
    None,
    /// Too much looked like frames to tell; to be safe, damage.
    GaveUp,
}

/// What a frame's first bytes state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// How many bytes follow.
    pub length: usize,
    goes_on: bool,
    crc: u32,
}

/// Adds the frame of `bytes`, 1 to 65,535 of them, to `into`; `goes_on` where it is not the first of its group.
pub(crate) fn encode(bytes: &[u8], goes_on: bool, into: &mut Vec<u8>) {
    let length = stated(bytes, goes_on);
    into.extend_from_slice(&length);
    into.extend_from_slice(&sum(length, bytes).to_le_bytes());
    into.extend_from_slice(bytes);
}

/// What a header states, where the length is one that a record can have.
pub(crate) fn header(header: [u8; HEADER]) -> Option<Header> {
    let [a, b, c, d, e, f, g, h] = header;
    let stated = u32::from_le_bytes([a, b, c, d]);
    let length = usize::try_from(stated & !GOES_ON).ok()?;
    let (goes_on, crc) = (stated & GOES_ON != 0, u32::from_le_bytes([e, f, g, h]));
    (1..=RECORD_MAX).contains(&length).then_some(Header { length, goes_on, crc })
}

/// What a record's bytes, at most 65,535 of them, are known by: the CRC-32C of the length and the bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    sum(stated(bytes, false), bytes)
}

/// Whether `bytes` are what the header's CRC was made of.
pub(crate) fn is_good(bytes: &[u8], header: Header) -> bool {
    bytes.len() == header.length && sum(stated(bytes, header.goes_on), bytes) == header.crc
}

/// The bytes of the frame at the start of `buffer`, if it is good.
pub(crate) fn decode(buffer: &[u8]) -> Option<&[u8]> {
    Some(decode_with_header(buffer)?.1)
}

fn decode_with_header(buffer: &[u8]) -> Option<(Header, &[u8])> {
    let (start, rest) = buffer.split_first_chunk::<HEADER>()?;
    let header = header(*start)?;
    let bytes = rest.get(..header.length)?;
    is_good(bytes, header).then_some((header, bytes))
}

/// Looks in `rest`, which begins with a bad frame, for a good one that begins a group.
pub(crate) fn search(rest: &[u8]) -> Search {
    let (mut work, mut offset) = (0, 1);
    while offset + HEADER < rest.len() {
        let here = &rest[offset..];
        let stated = here.first_chunk::<HEADER>().copied().and_then(header);
        let Some(stated) = stated.filter(|stated| stated.length <= here.len() - HEADER) else {
            offset += 1;
            continue;
        };
        work += stated.length;
        if work > SEARCH_MAX {
            return Search::GaveUp;
        }
        offset += match decode_with_header(here) {
            Some((Header { goes_on: false, .. }, _)) => return Search::Good(offset),
            Some((Header { length, .. }, _)) => HEADER + length,
            None => 1,
        };
    }
    Search::None
}

/// The four bytes that state a length, which is that of a record.
fn stated(bytes: &[u8], goes_on: bool) -> [u8; 4] {
    let length = u32::try_from(bytes.len()).expect("a record is at most 65,535 bytes");
    (if goes_on { length | GOES_ON } else { length }).to_le_bytes()
}

fn sum(stated: [u8; 4], bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&stated), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(bytes: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        encode(bytes, false, &mut frame);
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
        let mut next = Vec::new();
        encode(b"{}", true, &mut next);
        let damaged = |cut: usize| [&good[..cut], &good[..]].concat();
        for (rest, expected, why) in [
            (torn.to_vec(), Search::None, "the last frame, a byte short"),
            (vec![0; 4096], Search::None, "zeros"),
            ([torn, &next].concat(), Search::None, "a hole in what was written together"),
            ([torn, &next, &good].concat(), Search::Good(torn.len() + next.len()), "another group"),
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
