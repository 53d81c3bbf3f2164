//! Callers of the service.

/// The caller of a request, as its credentials show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A client without credentials.
    Anonymous,
    /// A client with the token of operators.
    Operator,
}

impl Caller {
    /// Returns the scope of the caller's idempotency keys. All callers share one scope, so their keys must be random.
    pub fn key_scope(self) -> &'static str {
        match self {
            Self::Anonymous | Self::Operator => "",
        }
    }
}
