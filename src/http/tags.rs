//! The groups of operations in the document.

#[derive(poem_openapi::Tags)]
pub(super) enum Tags {
    /// Products on sale and their stock.
    Products,
    /// Events, their ticket types, and the maps of their seats.
    Events,
    /// Short reservations of units.
    Holds,
    /// Orders, each made from a hold and paid by a provider.
    Orders,
    /// What happened, in one order that never changes.
    Feed,
    /// For the gates of events.
    Gate,
    /// Webhooks for payment providers.
    Payments,
    /// For operators, with the admin token.
    Operators,
    /// For load balancers and operators.
    Health,
}
