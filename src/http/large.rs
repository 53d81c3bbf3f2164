//! Bodies that need more care than a small JSON object: a large one, and a JSON Merge Patch.

use std::marker::PhantomData;
use std::time::Duration;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::json::{BODY_BYTES, parse, read_up_to};
use super::problem::Problem;

/// The largest body of a list, in bytes.
pub const LARGE_BYTES: usize = 8 * 1024 * 1024;
/// How long a client may take to send a large body.
const LARGE_TIME: Duration = Duration::from_secs(30);
/// How long a client may take to send a patch.
const PATCH_TIME: Duration = Duration::from_secs(10);

/// Large bodies that are in memory at the same time.
static PLACES: Semaphore = Semaphore::const_new(4);
/// How long a request waits for one of these places, before its body is read.
const PLACE_TIME: Duration = Duration::from_secs(4);

/// A JSON body of up to [`LARGE_BYTES`]. It is parsed on a thread where no buyer waits, and only a few are in memory at a time.
#[derive(Debug)]
pub struct LargeJson<T> {
    /// The body.
    pub body: T,
    _place: SemaphorePermit<'static>,
}

impl<'a, T: Type + DeserializeOwned + Send + 'static> ApiExtractor<'a> for LargeJson<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta::<T>(&["application/json"]))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let too_many =
            "Too many large requests are under way. This request was not processed, and nothing was changed.";
        let place = timeout(PLACE_TIME, PLACES.acquire()).await;
        let Ok(Ok(place)) = place else { return Err(Problem::unavailable("overloaded", too_many).into()) };
        let bytes = read_up_to(LARGE_BYTES, LARGE_TIME, request, body).await?;
        let parsed = spawn_blocking(move || parse(&bytes)).await.map_err(|_| Problem::internal())?;
        Ok(Self { body: parsed?, _place: place })
    }
}

/// A JSON Merge Patch (RFC 7396), documented as a `T`.
#[derive(Debug)]
pub struct MergePatch<T> {
    /// The patch.
    pub patch: Map<String, Value>,
    documented: PhantomData<T>,
}

impl<'a, T: Type> ApiExtractor<'a> for MergePatch<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta::<T>(&["application/merge-patch+json", "application/json"]))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = read_up_to(BODY_BYTES, PATCH_TIME, request, body).await?;
        Ok(Self { patch: parse(&bytes)?, documented: PhantomData })
    }
}

fn request_meta<T: Type>(types: &[&'static str]) -> MetaRequest {
    let content = |&content_type| MetaMediaType { content_type, schema: T::schema_ref() };
    MetaRequest { description: None, content: types.iter().map(content).collect(), required: true }
}

/// Applies a patch to an object (RFC 7396, 2): null removes a field, objects are merged, other values replace.
pub fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.remove(name)),
            Value::Object(inner) => {
                let place = target.entry(name.clone()).or_insert_with(|| Map::new().into());
                if !place.is_object() {
                    *place = Map::new().into();
                }
                if let Value::Object(place) = place {
                    merge(place, inner);
                }
            }
            other => drop(target.insert(name.clone(), other.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_merges_as_the_rfc_says() {
        for (target, patch, result) in [
            (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
            (json!({ "a": "b" }), json!({ "b": "c" }), json!({ "a": "b", "b": "c" })),
            (json!({ "a": "b", "b": "c" }), json!({ "a": null }), json!({ "b": "c" })),
            (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
            (json!({ "a": { "b": "c" } }), json!({ "a": { "b": "d", "c": null } }), json!({ "a": { "b": "d" } })),
            (json!({ "a": "foo" }), json!({ "a": { "bb": { "ccc": null } } }), json!({ "a": { "bb": {} } })),
            (json!({}), json!({ "a": null }), json!({})),
        ] {
            let (Value::Object(mut merged), Value::Object(patch)) = (target, patch) else { panic!("objects") };
            merge(&mut merged, &patch);
            assert_eq!(Value::Object(merged), result);
        }
    }
}
