//! What a caller writes on a hold or an order: its buyer, a reference, and metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Caller, Owner, Refusal};

/// The longest name of a buyer, and the longest reference, in bytes.
pub const NAME_BYTES: usize = 128;
/// The most keys of metadata.
const KEYS: usize = 20;
/// The longest key of metadata, in characters.
const KEY_CHARS: usize = 40;
/// The longest value of metadata, in characters.
const VALUE_CHARS: usize = 500;
/// The most that a reference and metadata may take together, in bytes of their JSON.
pub const TOTAL_BYTES: usize = 2048;

/// Metadata: text by name. It is kept and returned, never interpreted.
pub type Metadata = BTreeMap<String, String>;

/// Who owns a hold or an order, and what was written on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The owner.
    pub owner: Owner,
    /// The caller's own name for it; not unique.
    pub reference: Option<String>,
    /// Metadata; empty: none.
    pub metadata: Metadata,
}

impl Details {
    /// Collects what a caller writes on a hold. `None` when there is nothing to store: an anonymous caller wrote nothing.
    ///
    /// # Errors
    /// [`Refusal::BuyerMismatch`], [`Refusal::InvalidBuyer`], [`Refusal::InvalidReference`], [`Refusal::InvalidMetadata`].
    pub fn of_hold(
        caller: &Caller,
        buyer: Option<String>,
        reference: Option<String>,
        metadata: Option<Metadata>,
    ) -> Result<Option<Arc<Self>>, Refusal> {
        if let Some(buyer) = &buyer {
            if !is_name(buyer) {
                return Err(Refusal::InvalidBuyer);
            }
            if caller.buyer().is_some_and(|narrowed| **narrowed != **buyer) {
                return Err(Refusal::BuyerMismatch);
            }
        }
        let mut owner = caller.owner();
        owner.buyer = owner.buyer.or(buyer.map(Arc::from));
        Self::of(owner, reference, metadata)
    }

    /// Collects what is written on something of this owner. `None` when there is nothing to store.
    ///
    /// # Errors
    /// [`Refusal::InvalidReference`], [`Refusal::InvalidMetadata`].
    pub fn of(
        owner: Owner,
        reference: Option<String>,
        metadata: Option<Metadata>,
    ) -> Result<Option<Arc<Self>>, Refusal> {
        if !reference.as_deref().is_none_or(is_name) {
            return Err(Refusal::InvalidReference);
        }
        let details = Self { owner, reference, metadata: metadata.unwrap_or_default() };
        if !details.metadata_fits() {
            return Err(Refusal::InvalidMetadata);
        }
        Ok((details != Self::default()).then(|| Arc::new(details)))
    }

    /// Returns the metadata as JSON; `None` without any.
    pub fn metadata_json(&self) -> Option<String> {
        (!self.metadata.is_empty()).then(|| serde_json::json!(self.metadata).to_string())
    }

    /// Returns the parts that a fingerprint of the request gets in addition, each with its length, since they may contain any
    /// text; none when nothing was written, so that such a request keeps its fingerprint.
    pub fn parts(&self) -> Vec<String> {
        let buyer = self.owner.buyer.as_deref().map(str::to_owned);
        let parts = [("buyer", buyer), ("reference", self.reference.clone()), ("metadata", self.metadata_json())];
        let part = |(name, text): (&str, Option<String>)| text.map(|text| format!("{name}:{}:{text}", text.len()));
        parts.into_iter().filter_map(part).collect()
    }

    /// Returns the client that owns what has these details; 0: an anonymous caller.
    pub fn client_id(details: Option<&Self>) -> i64 {
        details.and_then(|details| details.owner.client_id).unwrap_or(0)
    }

    /// Whether this caller may see what has these details; without any, it is an anonymous caller's.
    pub fn are_seen(details: Option<&Self>, caller: &Caller) -> bool {
        details.map_or_else(|| caller.sees(&Owner::default()), |details| caller.sees(&details.owner))
    }

    fn metadata_fits(&self) -> bool {
        let fits = |(key, value): (&String, &String)| {
            (1..=KEY_CHARS).contains(&key.chars().count()) && value.chars().count() <= VALUE_CHARS
        };
        let bytes =
            self.reference.as_ref().map_or(0, String::len) + self.metadata_json().map_or(0, |metadata| metadata.len());
        self.metadata.len() <= KEYS && self.metadata.iter().all(fits) && bytes <= TOTAL_BYTES
    }
}

/// Whether a text can name a buyer or be a reference: 1 to [`NAME_BYTES`] visible ASCII characters.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata<const N: usize>(pairs: [(&str, &str); N]) -> Option<Metadata> {
        Some(pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn of(reference: Option<&str>, metadata: Option<Metadata>) -> Result<Option<Arc<Details>>, Refusal> {
        Details::of_hold(&Caller::anonymous(), None, reference.map(str::to_owned), metadata)
    }

    #[test]
    fn an_anonymous_caller_that_writes_nothing_stores_nothing_and_keeps_its_fingerprint() {
        assert_eq!(of(None, None), Ok(None));
        assert_eq!(of(None, metadata([])), Ok(None));
        assert_eq!(Details::default().parts(), Vec::<String>::new());
        let narrowed = Details::of_hold(&Caller::anonymous().for_buyer("b".into()), None, None, None);
        assert_eq!(narrowed.expect("valid").expect("a buyer").parts(), ["buyer:1:b"]);
    }

    #[test]
    fn the_buyer_of_the_body_must_be_the_callers() {
        let caller = Caller::anonymous().for_buyer("b".into());
        let of = |buyer: &str| Details::of_hold(&caller, Some(buyer.to_owned()), None, None).map(drop);
        assert_eq!(of("b"), Ok(()));
        assert_eq!(of("c"), Err(Refusal::BuyerMismatch));
        for buyer in ["", "a b", "ä", "a\n", &"b".repeat(129)] {
            assert_eq!(of(buyer), Err(Refusal::InvalidBuyer), "{buyer:?}");
        }
    }

    #[test]
    fn references_and_metadata_have_bounds() {
        let (full, long) = ("r".repeat(128), "r".repeat(129));
        assert!(of(Some(&full), None).is_ok());
        for reference in ["", &long, "a b", "ü"] {
            assert_eq!(of(Some(reference), None), Err(Refusal::InvalidReference), "{reference}");
        }
        let keys = |count: usize| Some((0..count).map(|n| (format!("k{n}"), "v".to_owned())).collect::<Metadata>());
        assert!(of(None, keys(20)).is_ok());
        assert_eq!(of(None, keys(21)), Err(Refusal::InvalidMetadata));
        // characters, not bytes
        assert!(of(None, metadata([(&"ä".repeat(40), &"€".repeat(500))])).is_ok());
        assert_eq!(of(None, metadata([(&"k".repeat(41), "")])), Err(Refusal::InvalidMetadata));
        assert_eq!(of(None, metadata([("", "")])), Err(Refusal::InvalidMetadata));
        assert_eq!(of(None, metadata([("k", &"v".repeat(501))])), Err(Refusal::InvalidMetadata));
        // together 2,048 bytes: `{"a":"…","b":"…",…}` takes 6 bytes for each pair, and one more
        let values = ["v".repeat(500), "v".repeat(500), "v".repeat(500), "v".repeat(395)];
        let most = metadata([("a", &values[0]), ("b", &values[1]), ("c", &values[2]), ("d", &values[3])]);
        let bytes = serde_json::json!(most).to_string().len();
        assert!(of(Some(&"r".repeat(TOTAL_BYTES - bytes)), most.clone()).is_ok(), "{bytes}");
        assert_eq!(of(Some(&"r".repeat(TOTAL_BYTES - bytes + 1)), most), Err(Refusal::InvalidMetadata));
    }
}
