//! What is asked of one provider, and what its silence means.

use alloy_primitives::hex;
use confirmd_rpc::{Answer, CallError, Failure, Provider, Request};
use serde::Deserialize;
use serde_json::json;

use crate::config::BitcoinConfig;
use crate::header::{HEADER_BYTES, RawHeader};
use crate::{Hash256, Refusal};

/// The node's own codes: no such block or transaction; a height or another value that it has not.
const NOT_FOUND: i64 = -5;
const OUT_OF_RANGE: i64 = -8;

/// Holds a provider's chain against ours, unless that was done since it took over.
pub(crate) async fn check_chain(
    provider: &Provider,
    config: &BitcoinConfig,
) -> Result<(), Failure> {
    if provider.is_trusted() {
        return Ok(());
    }
    let (height, expected) = (config.identity.height.0, config.identity.hash);
    match block_hash(provider, height).await {
        Ok(found) if found == expected => {
            provider.trust();
            Ok(())
        }
        Ok(found) => {
            Err(Failure::wrong_chain(format!("its block {height} is {found}, expected {expected}")))
        }
        Err(Failure::Missing(_)) => {
            Err(Failure::stale(format!("it is not at block {height} yet, by which it is known")))
        }
        Err(failure) => Err(failure),
    }
}

/// The hash of the block that stands at a height now.
pub(crate) async fn block_hash(provider: &Provider, height: u64) -> Result<Hash256, Failure> {
    let answer = known(provider.call("getblockhash", (height,)).await)?;
    hash(&answer)
}

/// The same for several.
pub(crate) async fn block_hashes(
    provider: &Provider,
    heights: impl Iterator<Item = u64>,
) -> Result<Vec<Hash256>, Failure> {
    let requests = heights.map(|height| Request::new("getblockhash", &(height,)));
    let answers = provider.batch(&requests.collect::<Result<Vec<_>, _>>()?).await?;
    answers.into_iter().map(|answer| hash(&known(answer)?)).collect()
}

/// The hash of the newest block.
pub(crate) async fn best_hash(provider: &Provider) -> Result<Hash256, Failure> {
    hash(&known(provider.call("getbestblockhash", ()).await)?)
}

/// A header and the height that the provider says it has. The header is the asked one.
pub(crate) async fn header(
    provider: &Provider,
    asked: Hash256,
) -> Result<(RawHeader, u64), Failure> {
    let answer = known(provider.call("getblockheader", (asked.to_string(), true)).await)?;
    Ok(read_header(&answer, asked)?)
}

/// The same for several.
pub(crate) async fn headers(
    provider: &Provider,
    asked: &[Hash256],
) -> Result<Vec<(RawHeader, u64)>, Failure> {
    let request = |hash: &Hash256| Request::new("getblockheader", &(hash.to_string(), true));
    let requests = asked.iter().map(request).collect::<Result<Vec<_>, _>>()?;
    let answers = provider.batch(&requests).await?;
    let read = |(answer, asked)| Ok(read_header(&known(answer)?, asked)?);
    answers.into_iter().zip(asked.iter().copied()).map(read).collect()
}

/// A block's bytes.
pub(crate) async fn block(provider: &Provider, asked: Hash256) -> Result<Vec<u8>, Failure> {
    let answer = known(provider.call("getblock", (asked.to_string(), 0)).await)?;
    bytes(&answer)
}

/// The ids in the provider's mempool.
pub(crate) async fn mempool(provider: &Provider) -> Result<Vec<Hash256>, Failure> {
    let answer = known(provider.call("getrawmempool", (false,)).await)?;
    let ids: Vec<&str> = answer.decode()?;
    let read = |id: &str| id.parse().map_err(|_| Failure::malformed("an id that is none"));
    ids.into_iter().map(read).collect()
}

/// Unconfirmed transactions' bytes; none for those that are gone.
pub(crate) async fn transactions(
    provider: &Provider,
    ids: &[Hash256],
) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let request = |id: &Hash256| Request::new("getrawtransaction", &(id.to_string(), false));
    let requests = ids.iter().map(request).collect::<Result<Vec<_>, _>>()?;
    let answers = provider.batch(&requests).await?;
    answers.into_iter().map(|answer| there(known(answer), bytes)).collect()
}

/// What a node says of a transaction in its mempool.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Entry {
    vsize: Option<u64>,
    size: Option<u64>,
    fees: Option<Fees>,
    /// Bitcoin Cash nodes have none.
    #[serde(default)]
    pub(crate) bip125_replaceable: bool,
}

#[derive(Deserialize)]
struct Fees {
    base: serde_json::Number,
}

impl Entry {
    /// The fee in satoshis and the virtual size.
    pub(crate) fn fee(&self) -> Option<(u64, u64)> {
        let fee = coins(&self.fees.as_ref()?.base.to_string())?;
        Some((fee, self.vsize.or(self.size)?))
    }
}

/// Their entries; none for those that are gone.
pub(crate) async fn entries(
    provider: &Provider,
    ids: &[Hash256],
) -> Result<Vec<Option<Entry>>, Failure> {
    let request = |id: &Hash256| Request::new("getmempoolentry", &(id.to_string(),));
    let requests = ids.iter().map(request).collect::<Result<Vec<_>, _>>()?;
    let answers = provider.batch(&requests).await?;
    let read = |answer: &Answer| Ok(answer.decode()?);
    answers.into_iter().map(|answer| there(known(answer), read)).collect()
}

/// What a node says of a transaction wherever it is.
#[derive(Deserialize)]
pub(crate) struct Told {
    pub(crate) blockhash: Option<String>,
    #[serde(default)]
    pub(crate) confirmations: u64,
}

/// Where a transaction stands; `block` helps a node that keeps no index of them.
pub(crate) async fn told(
    provider: &Provider,
    id: Hash256,
    block: Option<Hash256>,
) -> Result<Option<Told>, Failure> {
    let mut params = vec![json!(id.to_string()), json!(true)];
    params.extend(block.map(|block| json!(block.to_string())));
    let answer = known(provider.call("getrawtransaction", params).await);
    there(answer, |answer| Ok(answer.decode()?))
}

/// An output that is not spent yet.
#[derive(Deserialize)]
pub(crate) struct Unspent {
    pub(crate) bestblock: String,
    pub(crate) confirmations: u64,
}

/// The first of a transaction's outputs that is in a block and not spent.
pub(crate) async fn unspent(
    provider: &Provider,
    id: Hash256,
    outputs: u32,
) -> Result<Option<Unspent>, Failure> {
    let request = |vout| Request::new("gettxout", &(id.to_string(), vout, false));
    let requests = (0..outputs).map(request).collect::<Result<Vec<_>, _>>()?;
    for answer in provider.batch(&requests).await? {
        if let Some(found) = known(answer)?.decode::<Option<Unspent>>()? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// An answer, or that the provider does not have what was asked for.
fn known(answer: Result<Answer, CallError>) -> Result<Answer, Failure> {
    match answer {
        Err(CallError::Refused(error)) if [NOT_FOUND, OUT_OF_RANGE].contains(&error.code) => {
            Err(Failure::Missing(error.to_string()))
        }
        other => Ok(other.map_err(CallError::indivisible)?),
    }
}

fn there<T>(
    answer: Result<Answer, Failure>,
    read: impl FnOnce(&Answer) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => read(&answer).map(Some),
        Err(Failure::Missing(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn hash(answer: &Answer) -> Result<Hash256, Failure> {
    let text: &str = answer.decode()?;
    text.parse().map_err(|_| Failure::malformed("a hash that is none"))
}

fn bytes(answer: &Answer) -> Result<Vec<u8>, Failure> {
    let text: &str = answer.decode()?;
    hex::decode(text).map_err(|_| Failure::malformed("bytes that are no hex"))
}

#[derive(Deserialize)]
struct HeaderJson<'a> {
    height: u64,
    version: i64,
    #[serde(rename = "previousblockhash")]
    parent: Option<&'a str>,
    merkleroot: &'a str,
    time: u32,
    bits: &'a str,
    nonce: u32,
}

/// Puts the 80 bytes together again, whose hash is then what was asked for or not.
fn read_header(answer: &Answer, asked: Hash256) -> Result<(RawHeader, u64), Refusal> {
    let malformed = |what: &str| Refusal::malformed(format!("a header whose {what} is none"));
    let json: HeaderJson<'_> = answer.decode()?;
    let hash = |text: &str, what| text.parse::<Hash256>().map_err(|_| malformed(what));
    // The version is a signed number of 32 bits, which some show as one without a sign.
    let version = i32::try_from(json.version).map(i32::to_le_bytes);
    let version = version.or_else(|_| u32::try_from(json.version).map(u32::to_le_bytes));
    let bits = u32::from_str_radix(json.bits, 16).map_err(|_| malformed("target"))?;
    let mut bytes = [0; HEADER_BYTES];
    bytes[..4].copy_from_slice(&version.map_err(|_| malformed("version"))?);
    bytes[4..36]
        .copy_from_slice(&json.parent.map_or(Ok(Hash256::default()), |p| hash(p, "parent"))?.0);
    bytes[36..68].copy_from_slice(&hash(json.merkleroot, "merkle root")?.0);
    bytes[68..72].copy_from_slice(&json.time.to_le_bytes());
    bytes[72..76].copy_from_slice(&bits.to_le_bytes());
    bytes[76..].copy_from_slice(&json.nonce.to_le_bytes());
    let header = RawHeader::read(&bytes);
    if header.hash != asked {
        return Err(Refusal::unproven(format!("a header that does not hash to {asked}")));
    }
    Ok((header, json.height))
}

/// Satoshis of a number of coins as nodes write it: `0.00001`, `1e-05`.
fn coins(number: &str) -> Option<u64> {
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent = exponent.parse::<i32>().ok()? + 8 - i32::try_from(fraction.len()).ok()?;
    let units: u64 = format!("{whole}{fraction}").parse().ok()?;
    let power = 10_u64.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 {
        units.checked_mul(power)
    } else {
        units.is_multiple_of(power).then_some(units / power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_are_read_exactly_i10() {
        let cases = [
            ("0.00001", Some(1_000)),
            ("1e-05", Some(1_000)),
            ("1.5e-7", Some(15)),
            ("1E-8", Some(1)),
            ("0.00000141", Some(141)),
            ("2", Some(200_000_000)),
            ("0", Some(0)),
            ("0.000000001", None),
            ("-1", None),
            ("1e99", None),
            ("1e-99", None),
        ];
        for (text, expected) in cases {
            assert_eq!(coins(text), expected, "{text}");
        }
    }
}
