//! The tokens of clients: `hf_`, the role, 32 random bytes and a checksum, so that scanners of secrets recognise them and a typing
//! error is refused without a look-up.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Named as _, Role};

/// The beginning of every token.
const MARK: &str = "hf_";
/// The digits of the random part: 62^43 is more than 2^256.
const RANDOM_DIGITS: usize = 43;
/// The digits of the checksum: 62^6 is more than 2^32.
const CHECKSUM_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new token, which is shown once. Nothing else prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientToken(String);

impl ClientToken {
    /// Makes a token for a client with this role.
    pub fn mint(role: Role) -> Self {
        let random: [u8; 32] = rand::random();
        let body = format!("{MARK}{}_{}", role.as_str(), base62::<RANDOM_DIGITS>(&random));
        let checksum = checksum(body.as_bytes());
        Self(body + &checksum)
    }

    /// Returns the text that the client sends.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns the digest that is stored.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(&self.0).into())
    }
}

impl fmt::Debug for ClientToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientToken")
    }
}

/// The SHA-256 of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Returns the digest of a text that has the shape and the checksum of a token; `None` for any other text.
    pub fn of(text: &[u8]) -> Option<Self> {
        let (role, digits) = std::str::from_utf8(text).ok()?.strip_prefix(MARK)?.split_once('_')?;
        Role::from_name(role)?;
        let is_whole =
            digits.len() == RANDOM_DIGITS + CHECKSUM_DIGITS && digits.bytes().all(|digit| DIGITS.contains(&digit));
        let (body, sum) = text.split_at(text.len().checked_sub(CHECKSUM_DIGITS)?);
        (is_whole && checksum(body).as_bytes() == sum).then(|| Self(Sha256::digest(text).into()))
    }

    /// Accepts a stored digest; `None` for another number of bytes.
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to store.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The half by which a map finds it.
    pub fn handle(&self) -> [u8; 16] {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0[..16]);
        half
    }

    /// Whether both are digests of the same token. The duration reveals nothing: whole digests are compared.
    pub fn matches(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(other.0).fold(0, |differing, (one, other)| differing | (one ^ other));
        std::hint::black_box(differing) == 0
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenDigest")
    }
}

/// Returns the digits of the first four bytes of the text's SHA-256.
fn checksum(text: &[u8]) -> String {
    base62::<CHECKSUM_DIGITS>(&Sha256::digest(text)[..4])
}

/// Writes a number, most significant byte first, with this many digits.
fn base62<const N: usize>(bytes: &[u8]) -> String {
    let mut number = bytes.to_vec();
    let mut digits = [DIGITS[0]; N];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_by_its_shape_and_its_checksum_alone() {
        for &role in Role::ALL {
            let token = ClientToken::mint(role);
            let text = token.reveal();
            assert!(text.starts_with(&format!("hf_{role}_")), "{role}");
            let digest = TokenDigest::of(text.as_bytes()).expect("its own shape");
            assert!(digest.matches(&token.digest()) && !digest.matches(&ClientToken::mint(role).digest()));
            for place in 0..text.len() {
                let mut other = text.as_bytes().to_vec();
                other[place] = if other[place] == b'x' { b'y' } else { b'x' };
                assert_eq!(TokenDigest::of(&other), None, "another character at {place}");
            }
            for other in
                [&text[1..], &text[..text.len() - 1], &format!("{text}0"), &format!(" {text}"), "hf_", "hf_admin_", ""]
            {
                assert_eq!(TokenDigest::of(other.as_bytes()), None, "{} characters", other.len());
            }
        }
    }

    #[test]
    fn neither_a_token_nor_its_digest_is_ever_shown() {
        let token = ClientToken::mint(Role::Admin);
        assert_eq!(format!("{token:?} {:?}", token.digest()), "ClientToken TokenDigest");
    }

    #[test]
    fn numbers_are_written_with_all_their_digits() {
        assert_eq!(base62::<6>(&[0, 0, 0, 0]), "000000");
        assert_eq!(base62::<6>(&[0, 0, 0, 61]), "00000z");
        assert_eq!(base62::<6>(&[0, 0, 0, 62]), "000010");
        assert_eq!(base62::<6>(&u32::MAX.to_be_bytes()), "4gfFC3");
        assert_eq!(base62::<43>(&[255; 32]).len(), 43);
    }
}
