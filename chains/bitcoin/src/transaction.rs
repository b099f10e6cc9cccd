//! Transactions, read from borrowed bytes.

use crate::bytes::Reader;
use crate::{Hash256, Refusal};

/// A transaction whose parts were all read once, so that they can be walked without failing.
#[derive(Clone, Debug)]
pub struct Transaction<'a> {
    version: &'a [u8],
    /// Inputs and outputs with their counts: with version and lock time, what the id commits to.
    body: &'a [u8],
    lock_time: &'a [u8],
    inputs: &'a [u8],
    outputs: &'a [u8],
    is_coinbase: bool,
}

/// What an input spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// The transaction and the index of the output: 32 and 4 bytes, as on the wire.
    pub outpoint: &'a [u8; 36],
    /// Its script; of a coinbase, where a block's height stands.
    pub script: &'a [u8],
    /// Its sequence number.
    pub sequence: u32,
}

/// What an output pays to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output<'a> {
    /// In satoshis.
    pub value: u64,
    /// The scriptPubKey.
    pub script: &'a [u8],
}

/// A coinbase spends nothing: an outpoint of zeros, at the last index.
const NOTHING: [u8; 36] = {
    let mut outpoint = [0; 36];
    let mut at = 32;
    while at < 36 {
        outpoint[at] = 0xff;
        at += 1;
    }
    outpoint
};

/// The lowest sequence number that does not ask for replacement (BIP-125).
const FINAL: u32 = 0xffff_fffe;

impl<'a> Transaction<'a> {
    /// Reads a whole transaction, and nothing behind it.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(bytes);
        let transaction = Self::read(&mut reader)?;
        match reader.is_empty() {
            true => Ok(transaction),
            false => Err(Refusal::malformed("bytes behind the transaction")),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Refusal> {
        let version = reader.take(4)?;
        // BIP-144: no transaction has no inputs, so a zero announces witnesses.
        let has_witness = reader.rest().starts_with(&[0, 1]);
        if has_witness {
            reader.take(2)?;
        }
        let start = reader.rest();
        let count = reader.count()?;
        let inputs = walked(reader, count, |reader| input(reader).map(drop))?;
        let (input_count, first) = (count, inputs);
        let count = reader.count()?;
        let outputs = walked(reader, count, |reader| output(reader).map(drop))?;
        let body = &start[..start.len() - reader.rest().len()];
        if input_count == 0 || count == 0 {
            return Err(Refusal::malformed("a transaction without inputs or outputs"));
        }
        if has_witness {
            for _ in 0..input_count {
                let items = reader.count()?;
                walked(reader, items, |reader| reader.counted().map(drop))?;
            }
        }
        let lock_time = reader.take(4)?;
        let is_coinbase = input_count == 1 && first.starts_with(&NOTHING);
        Ok(Self { version, body, lock_time, inputs, outputs, is_coinbase })
    }

    /// The id: the hash of all but the witnesses.
    #[must_use]
    pub fn id(&self) -> Hash256 {
        Hash256::of(&[self.version, self.body, self.lock_time])
    }

    /// All but the witnesses, as [`Self::parse`] reads it.
    #[must_use]
    pub fn without_witness(&self) -> Box<[u8]> {
        [self.version, self.body, self.lock_time].concat().into()
    }

    /// Whether it makes new coins, and spends none.
    #[must_use]
    pub const fn is_coinbase(&self) -> bool {
        self.is_coinbase
    }

    /// What it spends.
    pub fn inputs(&self) -> impl Iterator<Item = Input<'a>> + use<'a> {
        walk(self.inputs, input)
    }

    /// Whom it pays.
    pub fn outputs(&self) -> impl Iterator<Item = Output<'a>> + use<'a> {
        walk(self.outputs, output)
    }

    /// Whether it says of itself that it may be replaced (BIP-125).
    #[must_use]
    pub fn is_replaceable(&self) -> bool {
        self.inputs().any(|input| input.sequence < FINAL)
    }
}

/// Reads so many items; answers their bytes.
fn walked<'a>(
    reader: &mut Reader<'a>,
    count: usize,
    item: impl Fn(&mut Reader<'a>) -> Result<(), Refusal>,
) -> Result<&'a [u8], Refusal> {
    let start = reader.rest();
    for _ in 0..count {
        item(reader)?;
    }
    Ok(&start[..start.len() - reader.rest().len()])
}

/// The items in bytes that were read before.
fn walk<'a, T: 'a>(
    bytes: &'a [u8],
    item: fn(&mut Reader<'a>) -> Result<T, Refusal>,
) -> impl Iterator<Item = T> + use<'a, T> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || if reader.is_empty() { None } else { item(&mut reader).ok() })
}

fn input<'a>(reader: &mut Reader<'a>) -> Result<Input<'a>, Refusal> {
    let outpoint = reader.array()?;
    let script = reader.counted()?;
    Ok(Input { outpoint, script, sequence: reader.u32()? })
}

fn output<'a>(reader: &mut Reader<'a>) -> Result<Output<'a>, Refusal> {
    let value = reader.u64()?;
    Ok(Output { value, script: reader.counted()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;
    use bitcoin::consensus::{deserialize, serialize};
    use proptest::prelude::*;

    /// The first transaction between two people, and one with a witness (BIP-143's P2WPKH).
    const PLAIN: &str = "0100000001c997a5e56e104102fa209c6a852dd90660a20b2d9c352423edce25857fcd3704000000004847304402204e45e16932b8af514961a1d3a1a25fdf3f4f7732e9d624c6c61548ab5fb8cd410220181522ec8eca07de4860a4acdd12909d831cc56cbbac4622082221a8768d1d0901ffffffff0200ca9a3b00000000434104ae1a62fe09c5f51b13905f07f06b99a2f7159b2225f374cd378d71302fa28414e7aab37397f554a7df5f142c21c1b7303b8a0626f1baded5c72a704f7e6cd84cac00286bee0000000043410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97b1482ecad7b148a6909a5cb2e0eaddfb84ccf9744464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3ac00000000";
    const WITNESS: &str = "01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000";

    #[test]
    fn a_transaction_is_read_as_the_reference_client_reads_it() {
        for text in [PLAIN, WITNESS] {
            let bytes = hex::decode(text).unwrap();
            let ours = Transaction::parse(&bytes).unwrap();
            let theirs: bitcoin::Transaction = deserialize(&bytes).unwrap();
            assert_eq!(ours.id().to_string(), theirs.compute_txid().to_string());
            assert_eq!(ours.is_replaceable(), theirs.is_explicitly_rbf());
            assert!(!ours.is_coinbase());
            let outputs: Vec<_> = ours.outputs().map(|out| (out.value, out.script)).collect();
            let expected = theirs.output.iter();
            let expected = expected.map(|out| (out.value.to_sat(), out.script_pubkey.as_bytes()));
            assert_eq!(outputs, expected.collect::<Vec<_>>());
            let spent: Vec<_> = ours.inputs().map(|input| input.outpoint.to_vec()).collect();
            let expected = theirs.input.iter().map(|input| serialize(&input.previous_output));
            assert_eq!(spent, expected.collect::<Vec<_>>());
            let stripped = ours.without_witness();
            assert_eq!(Transaction::parse(&stripped).unwrap().id(), ours.id());
        }
    }

    #[test]
    fn a_transaction_that_is_cut_or_has_more_is_refused_f20() {
        for text in [PLAIN, WITNESS] {
            let bytes = hex::decode(text).unwrap();
            for end in 0..bytes.len() {
                assert!(Transaction::parse(&bytes[..end]).is_err(), "cut at {end}");
            }
            assert!(Transaction::parse(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_count_has_one_form() {
        let read = |bytes: &[u8]| Reader::new(bytes).count().ok();
        assert_eq!(read(&[0xfc]), Some(0xfc));
        assert_eq!(read(&[0xfd, 0xfd, 0]), Some(0xfd));
        assert_eq!(read(&[0xfe, 0, 0, 1, 0]), Some(0x1_0000));
        for longer in [&[0xfd, 0xfc, 0][..], &[0xfe, 0xff, 0xff, 0, 0], &[0xff; 3]] {
            assert_eq!(read(longer), None, "{longer:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_f20(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Transaction::parse(&bytes);
        }

        #[test]
        fn any_changed_byte_is_another_transaction_or_none(at in 0_usize..200, bit in 0_u8..8) {
            let mut bytes = hex::decode(PLAIN).unwrap();
            let before = Transaction::parse(&bytes).unwrap().id();
            bytes[at] ^= 1 << bit;
            if let Ok(changed) = Transaction::parse(&bytes) {
                prop_assert_ne!(changed.id(), before);
            }
        }
    }
}
