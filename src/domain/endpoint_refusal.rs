//! Why an endpoint is not registered or not changed.

/// The longest URL, in bytes.
pub(super) const URL_BYTES: usize = 2000;

/// Why a URL is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// It is too long.
    #[error("must have at most {URL_BYTES} bytes")]
    Length,
    /// It is no URL.
    #[error("must be an absolute URL without spaces, such as https://shop.example/events")]
    NoUrl,
    /// It has another scheme.
    #[error("must begin with https://")]
    Scheme,
    /// It has the name or the password of a user.
    #[error("must not have a user or a password: events are signed")]
    User,
    /// It has a fragment, which is never sent.
    #[error("must not have a fragment")]
    Fragment,
    /// Its host is, or is embedded in, an address that is not of the internet.
    #[error("must not name a private, local or reserved address")]
    Address,
}

/// Why an endpoint is not registered or not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointRefusal {
    /// No push may go to this URL.
    #[error("`url` {0}.")]
    Url(UrlProblem),
    /// There are no events of this type.
    #[error("`types`: there is no event type `{name}`.")]
    UnknownType {
        /// What was sent, as far as it can be shown.
        name: String,
    },
    /// Only storefronts have events of their own.
    #[error("`client_id` must name a storefront: other clients have no events.")]
    NotAStorefront,
    /// It was deleted.
    #[error("This endpoint was deleted; register another one.")]
    Deleted,
    /// Another replay is under way.
    #[error("Another replay of this endpoint is under way.")]
    ReplayUnderWay,
    /// The endpoint had none of these events.
    #[error("The endpoint has not come to these positions yet.")]
    NothingToReplay,
}

impl EndpointRefusal {
    /// The stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "endpoint_url_not_allowed",
            Self::UnknownType { .. } => "unknown_event_type",
            Self::NotAStorefront => "not_a_storefront",
            Self::Deleted => "endpoint_deleted",
            Self::ReplayUnderWay => "replay_under_way",
            Self::NothingToReplay => "nothing_to_replay",
        }
    }
}
