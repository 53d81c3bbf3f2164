//! Holdfast's batches, and as the limit the same batches sent on bare connections.

use std::sync::Arc;

use holdfast::checkout::{Checkout, NewHold, Policy};
use holdfast::db::Database;
use holdfast::domain::{Details, Owner};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use uuid::Uuid;

use super::per_request::{TTL_SECONDS, is_passing, packet, send};
use crate::connections::connect;
use crate::measure::Buyer;

/// The service's default.
pub(super) const POOL_SIZE: usize = 16;

/// e. Holdfast in this process, without HTTP.
#[derive(Clone)]
pub(super) struct Service {
    checkout: Arc<Checkout>,
    product_id: i64,
}

impl Service {
    pub(super) fn start(opts: &Opts, product_id: i64) -> Self {
        let database = Database::new(opts.clone(), POOL_SIZE);
        let policy = Policy { hold_ttl_seconds: TTL_SECONDS, ..Policy::default() };
        Self { checkout: Arc::new(Checkout::new(database, policy)), product_id }
    }

    pub(super) async fn stop(&self) {
        self.checkout.finish().await;
        self.checkout.database().close().await;
    }
}

impl Buyer for Service {
    async fn ask(&mut self) {
        let taken = self.checkout.create_hold(NewHold::new(self.product_id, 1, None)).await;
        taken.unwrap_or_else(|error| panic!("a hold failed: {error}"));
    }
}

/// Units of one buyer of a product with a limit.
const PER_BUYER: u64 = 4;

/// g. Holdfast with a limit per buyer: every hold has a buyer, who takes as many units as the limit allows.
pub(super) struct Limited {
    service: Service,
    place: usize,
    asked: u64,
}

impl Limited {
    /// Makes the buyer at this place.
    pub(super) fn new(service: &Service, place: usize) -> Self {
        Self { service: service.clone(), place, asked: 0 }
    }

    /// Returns the columns of a product with the limit.
    pub(super) fn terms() -> String {
        format!("max_per_buyer = {PER_BUYER}, limit_state = 'enforced'")
    }
}

impl Buyer for Limited {
    async fn ask(&mut self) {
        let name = format!("buyer-{}-{}", self.place, self.asked / PER_BUYER);
        self.asked += 1;
        let owner = Owner { client_id: Some(1), buyer: Some(name.into()) };
        let details = Details::of(owner, None, None).expect("a name");
        let new = NewHold { details, ..NewHold::new(self.service.product_id, 1, None) };
        let taken = self.service.checkout.create_hold(new).await;
        taken.unwrap_or_else(|error| panic!("a hold within the limit failed: {error}"));
    }
}

/// f. A connection that sends one batch after the other. The statements are built once; each batch only gets new ids.
pub(super) struct Bare {
    conn: Conn,
    text: Vec<u8>,
    /// Offsets of the ids in `text`, ascending.
    places: Vec<usize>,
    lane: u128,
    last_id: u128,
}

impl Bare {
    pub(super) async fn open(opts: &Opts, product_id: i64, size: usize, lane: usize) -> Self {
        let numbers = 1..=size as u128;
        let holds: Vec<(Uuid, i64)> = numbers.map(|number| (Uuid::from_u128(number), 1)).collect();
        let text = packet(product_id, &holds);
        let mut places = Vec::with_capacity(size);
        for (id, _) in &holds {
            let from = places.last().copied().unwrap_or(0);
            let found = text[from..].find(&id.simple().to_string()).expect("every id is in the text");
            places.push(from + found);
        }
        let (conn, lane) = (connect(opts).await, (lane as u128) << 64);
        Self { conn, text: text.into_bytes(), places, lane, last_id: 0 }
    }

    /// Writes new ids, which begin with the time in milliseconds as the service's do.
    #[expect(clippy::disallowed_methods, reason = "the time in an id only sorts it")]
    fn renew_ids(&mut self) {
        let millis = u128::from(chrono::Utc::now().timestamp_millis().unsigned_abs());
        for &place in &self.places {
            self.last_id += 1;
            let id = Uuid::from_u128(millis << 80 | self.lane | self.last_id);
            id.simple().encode_lower(&mut self.text[place..place + uuid::fmt::Simple::LENGTH]);
        }
    }
}

impl Buyer for Bare {
    async fn ask(&mut self) {
        self.renew_ids();
        while let Err(error) = send(&mut self.conn, &self.text, self.places.len() as u64).await {
            assert!(is_passing(&error), "a bare batch failed: {error}");
            self.conn.query_drop("ROLLBACK").await.expect("the connection is usable after the error");
        }
    }
}
