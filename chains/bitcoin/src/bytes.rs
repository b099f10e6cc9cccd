//! The wire format, read without a copy.

use crate::Refusal;

/// Bytes that are read from the front.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(Refusal::malformed("ends too early"));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Refusal> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(Refusal::malformed("ends too early"));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Refusal> {
        self.array::<1>().map(|[byte]| *byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Refusal> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Refusal> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// A count (`CompactSize`), in its shortest form only: a longer one would let one transaction
    /// have two ids.
    pub(crate) fn count(&mut self) -> Result<usize, Refusal> {
        let (count, least) = match self.byte()? {
            0xfd => (u64::from(u16::from_le_bytes(*self.array()?)), 0xfd),
            0xfe => (u64::from(self.u32()?), 0x1_0000),
            0xff => (self.u64()?, 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if count < least {
            return Err(Refusal::malformed("a count that is not in its shortest form"));
        }
        usize::try_from(count).map_err(|_| Refusal::malformed("a count that is too large"))
    }

    /// Bytes behind their count.
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], Refusal> {
        let count = self.count()?;
        self.take(count)
    }
}
