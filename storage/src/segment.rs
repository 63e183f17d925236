//! One file of the log: a header that says its version and first index, then frames.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ballast::Ballast;
use crate::frame;
use crate::fs::{self, FsError, at};

/// Magic (8), version (u32), first index (u64), CRC-32C of these twenty bytes (u32); little-endian.
pub(crate) const HEADER: usize = 24;
const MAGIC: [u8; 8] = *b"attestd\n";
/// The version of segments that this release writes and reads.
const VERSION: u32 = 1;
/// The most bytes a segment may have: 64 MiB, or one group commit of 16 MiB beyond it; offsets are 32 bits.
const FILE_MAX: u64 = 128 << 20;
/// Read ahead while scanning: few system calls, and little beside the daemon's 30 MB.
const READ_AHEAD: usize = 256 * 1024;

/// A segment and where its records are.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// The index of its first record.
    pub first: u64,
    /// Its file's path.
    pub path: PathBuf,
    /// Its file.
    pub file: Arc<File>,
    /// Where each record's frame begins, in bytes.
    pub offsets: Vec<u32>,
    /// Where the last good frame ends, in bytes.
    pub end: u32,
    /// Up to where there is room already, in bytes: zeros, that a sync need not note the file's length each time.
    pub room: u64,
}

/// How the good frames of a segment end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At the end of the file, or at zeros that go on to it: room for what comes next.
    Clean,
    /// At bytes that are no good frame, or no good header.
    Bad,
    /// At once: a newer attestd wrote it.
    Newer(u32),
}

/// The name of the segment that begins with record `first`.
pub(crate) fn name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// The first index that a name states; other files in the directory are not segments.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

impl Segment {
    /// Makes a segment; it is there after a power cut once this returns.
    pub fn create(directory: &Path, first: u64, ballast: &Ballast) -> Result<Segment, FsError> {
        let path = directory.join(name(first));
        let file = ballast.spend(|| fs::create_new(&path))?;
        ballast.spend(|| fs::write_at(&file, &path, &header(first), 0))?;
        fs::sync_data(&file, &path)?;
        fs::sync_dir(directory)?;
        let (end, room) = (HEADER as u32, HEADER as u64);
        Ok(Segment { first, path, file: Arc::new(file), offsets: Vec::new(), end, room })
    }

    /// Reads a segment's frames in order, to where they end; `on_record` sees each record's index and bytes.
    pub fn scan<E: From<FsError>>(
        path: PathBuf,
        first: u64,
        writable: bool,
        mut on_record: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(Segment, End), E> {
        let file = if writable { fs::open_or_create(&path)? } else { fs::open(&path)? };
        let file = Arc::new(file);
        let mut segment = Segment { first, path, file, offsets: Vec::new(), end: 0, room: 0 };
        let end = match segment.frames(&mut on_record)? {
            End::Bad if segment.end > 0 && segment.is_room()? => End::Clean,
            end => end,
        };
        Ok((segment, end))
    }

    fn frames<E: From<FsError>>(
        &mut self,
        on_record: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<End, E> {
        let file = Arc::clone(&self.file);
        let mut reader = BufReader::with_capacity(READ_AHEAD, (&*file).take(FILE_MAX));
        match self.read_header(&mut reader)? {
            End::Clean => self.end = HEADER as u32,
            other => return Ok(other),
        }
        let mut bytes = Vec::new();
        loop {
            let mut start = [0; frame::HEADER];
            match self.fill(&mut reader, &mut start)? {
                0 if u64::from(self.end) < FILE_MAX => return Ok(End::Clean),
                frame::HEADER => {}
                _ => return Ok(End::Bad),
            }
            let Some(header) = frame::header(start) else { return Ok(End::Bad) };
            bytes.resize(header.length, 0);
            let filled = self.fill(&mut reader, &mut bytes)?;
            if filled < header.length || !frame::is_good(&bytes, header) {
                return Ok(End::Bad);
            }
            on_record(self.first + self.offsets.len() as u64, &bytes)?;
            self.offsets.push(self.end);
            self.end += (frame::HEADER + header.length) as u32;
        }
    }

    fn read_header(&self, reader: &mut impl Read) -> Result<End, FsError> {
        let mut bytes = [0; HEADER];
        if self.fill(reader, &mut bytes)? < HEADER || bytes[..8] != MAGIC {
            return Ok(End::Bad);
        }
        let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        let good = bytes[20..] == crc32c::crc32c(&bytes[..20]).to_le_bytes();
        match version {
            _ if !good => Ok(End::Bad),
            VERSION if bytes == header(self.first) => Ok(End::Clean),
            VERSION => Ok(End::Bad),
            newer => Ok(End::Newer(newer)),
        }
    }

    /// As many bytes as there are, up to all of `bytes`.
    fn fill(&self, reader: &mut impl Read, bytes: &mut [u8]) -> Result<usize, FsError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match reader.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(at("read", &self.path)(error)),
            }
        }
        Ok(filled)
    }

    /// Whether there are but zeros after the good frames.
    fn is_room(&mut self) -> Result<bool, FsError> {
        let (rest, length) = self.rest()?;
        self.room = length;
        Ok(length <= FILE_MAX && rest.iter().all(|byte| *byte == 0))
    }

    /// Cuts off what room there is still, so that a closed log is its records and nothing else.
    pub fn give_back_room(&mut self) -> Result<(), FsError> {
        if self.room > self.end.into() {
            fs::cut(&self.file, &self.path, self.end.into())?;
        }
        self.room = self.end.into();
        Ok(())
    }

    /// The bytes from the end of the good frames to the end of the file, and how long the file is.
    pub fn rest(&self) -> Result<(Vec<u8>, u64), FsError> {
        let length = self.file.metadata().map_err(at("look at", &self.path))?.len();
        let size = length.min(FILE_MAX).saturating_sub(self.end.into());
        let mut rest = vec![0; usize::try_from(size).expect("at most FILE_MAX")];
        self.file.read_exact_at(&mut rest, self.end.into()).map_err(at("read", &self.path))?;
        Ok((rest, length))
    }

    /// Where the frame of the record at `index` begins and ends.
    pub fn bounds(&self, index: u64) -> Option<(u32, u32)> {
        let place = usize::try_from(index.checked_sub(self.first)?).ok()?;
        let start = *self.offsets.get(place)?;
        Some((start, self.offsets.get(place + 1).copied().unwrap_or(self.end)))
    }

    /// The index after its last record.
    pub fn next(&self) -> u64 {
        self.first + self.offsets.len() as u64
    }
}

fn header(first: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&first.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..].copy_from_slice(&crc.to_le_bytes());
    bytes
}
