//! Signatures. Made afresh at every attempt; what they sign never changes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::config::SignatureEncoding;

/// The secret cannot be used to sign. It is not shown (I12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    /// There is none.
    #[error("the endpoint has no secret to sign with")]
    NoSecret,
    /// It is not `whsec_` and base64.
    #[error("a secret of the endpoint is not whsec_ and base64")]
    NotBase64,
    /// The header's name or value cannot be sent.
    #[error("the signature cannot be sent in the header that is configured")]
    Header,
}

/// Standard Webhooks 1.0: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`, for each
/// secret, newest first; `timestamp` in seconds since the epoch.
pub(super) fn standard(
    secrets: &[SecretString],
    id: &str,
    timestamp: i64,
    body: &str,
) -> Result<String, SignatureError> {
    let mut signatures = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let secret = secret.expose_secret();
        let key = BASE64
            .decode(secret.strip_prefix("whsec_").unwrap_or(secret))
            .map_err(|_| SignatureError::NotBase64)?;
        let signed = format!("{id}.{timestamp}.{body}");
        signatures.push(format!("v1,{}", BASE64.encode(hmac_sha256(&key, signed.as_bytes()))));
    }
    match signatures.is_empty() {
        true => Err(SignatureError::NoSecret),
        false => Ok(signatures.join(" ")),
    }
}

/// HMAC-SHA256 over the body as it is sent, keyed with the first secret's text.
pub(super) fn of_body(
    secrets: &[SecretString],
    encoding: SignatureEncoding,
    body: &str,
) -> Result<String, SignatureError> {
    let secret = secrets.first().ok_or(SignatureError::NoSecret)?;
    let signature = hmac_sha256(secret.expose_secret().as_bytes(), body.as_bytes());
    Ok(match encoding {
        SignatureEncoding::Hex => hex::encode(signature),
        SignatureEncoding::Base64 => BASE64.encode(signature),
    })
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length: RFC 2104 hashes the long ones and pads the short ones.
    #[expect(clippy::expect_used, reason = "an HMAC key cannot have a wrong length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(texts: &[&str]) -> Vec<SecretString> {
        texts.iter().map(|text| SecretString::from(*text)).collect()
    }

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_vector_of_standard_webhooks_comes_out() {
        let signature = standard(
            &secrets(&[SECRET]),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature.as_deref(), Ok(expected));
    }

    #[test]
    fn while_rotating_there_is_one_signature_a_secret_f19() {
        let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let of = |texts: &[&str]| standard(&secrets(texts), "evt_1", 1, "{}").expect("signs");
        assert_eq!(of(&[SECRET, other]), format!("{} {}", of(&[SECRET]), of(&[other])));
    }

    #[test]
    fn a_body_is_signed_with_the_first_secret_as_in_rfc_4231() {
        let keys = secrets(&["Jefe", "unused"]);
        let body = "what do ya want for nothing?";
        assert_eq!(
            of_body(&keys, SignatureEncoding::Hex, body).as_deref(),
            Ok("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        );
        assert_eq!(
            of_body(&keys, SignatureEncoding::Base64, body).as_deref(),
            Ok("W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=")
        );
    }

    #[test]
    fn what_cannot_sign_is_refused_without_showing_the_secret_i12() {
        assert_eq!(standard(&[], "evt_1", 1, "{}"), Err(SignatureError::NoSecret));
        assert_eq!(of_body(&[], SignatureEncoding::Hex, "{}"), Err(SignatureError::NoSecret));
        let error = standard(&secrets(&["whsec_not base64!"]), "evt_1", 1, "{}").expect_err("bad");
        assert_eq!(error, SignatureError::NotBase64);
        assert!(!error.to_string().contains("not base64!"));
    }
}
