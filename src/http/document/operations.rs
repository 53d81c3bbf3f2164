//! The operations of a document.

use serde_json::Value;

/// Returns all operations.
pub(super) fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(_, methods)| methods.as_object_mut().into_iter().flatten()).map(|(_, operation)| operation)
}
