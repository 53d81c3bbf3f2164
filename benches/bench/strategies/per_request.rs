//! Strategies with one transaction per request: their common part, and the strategy that sends Holdfast's own packets.

use std::future::Future;
use std::sync::Arc;

use holdfast::db::packets::OneTrip as _;
use holdfast::db::packets::counters::Counted;
use holdfast::db::packets::keys::Keys;
use holdfast::db::packets::take_holds::TakeHolds;
use holdfast::domain::mint_id;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};
use uuid::Uuid;

use crate::connections::Connections;
use crate::database::{Ground, terms};
use crate::measure::Buyer;

/// Lifetime of the holds of all strategies.
pub(super) const TTL_SECONDS: u64 = 120;
/// Deadlock, lock wait timeout, and "record has changed since last read".
const RETRIED: [u16; 3] = [1213, 1205, 1020];

/// Whether the transaction must be rolled back and run again after this error.
pub(super) fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Server(error) if RETRIED.contains(&error.code))
}

/// The statements of one way to sell a unit.
pub(super) trait Statements: Send + Sync + Sized + 'static {
    /// Resets the strategy's own tables.
    fn prepare(_ground: &Ground, _product_id: i64) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Prepares the statements for a product.
    fn new(product_id: i64) -> Self;

    /// Runs one transaction and commits it. Returns false when another transaction changed the row first; the caller rolls
    /// back and tries again.
    fn attempt(&self, conn: &mut Conn, hold_id: Uuid) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// A strategy with its connections.
pub(super) struct PerRequest<S> {
    pub(super) connections: Connections,
    pub(super) statements: S,
}

impl<S: Statements> PerRequest<S> {
    async fn take(&self) {
        let hold_id = mint_id();
        let mut conn = self.connections.borrow().await;
        loop {
            match self.statements.attempt(&mut conn, hold_id).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => panic!("a strategy failed: {error}"),
            }
            conn.query_drop("ROLLBACK").await.expect("the connection is usable after the error");
        }
    }

    pub(super) async fn close(&self) {
        self.connections.close().await;
    }
}

impl<S: Statements> Buyer for Arc<PerRequest<S>> {
    async fn ask(&mut self) {
        self.take().await;
    }
}

/// Returns the statements of a batch as one text, with BEGIN.
pub(super) fn packet(product_id: i64, holds: &[(Uuid, i64)]) -> String {
    let (terms, holds, ttl_seconds, keys) = (&terms(), holds.to_vec(), TTL_SECONDS, Keys::default());
    let packet = TakeHolds {
        product_id,
        terms,
        holds,
        owners: Vec::new(),
        counted: Counted::default(),
        ttl_seconds,
        keys,
        is_second: false,
    };
    format!("BEGIN;\n{}", packet.statements().join(";\n"))
}

/// Sends a batch, checks the counts of the insert and of the guarded update, and commits.
pub(super) async fn send(conn: &mut Conn, packet: &[u8], count: u64) -> Result<(), Error> {
    let mut result = conn.query_iter(packet).await?;
    let mut affected = [0; 4];
    for reply in &mut affected {
        *reply = result.affected_rows();
        let _: Vec<Row> = result.collect().await?;
    }
    let [_begin, inserted, reserved, _left] = affected;
    assert_eq!((inserted, reserved), (count, 1), "a batch must be taken completely");
    conn.query_drop("COMMIT").await
}

/// d. The guarded update and the insert, sent as a batch of one in two packets.
pub(super) struct Guarded {
    product_id: i64,
}

impl Statements for Guarded {
    fn new(product_id: i64) -> Self {
        Self { product_id }
    }

    async fn attempt(&self, conn: &mut Conn, hold_id: Uuid) -> Result<bool, Error> {
        let packet = packet(self.product_id, &[(hold_id, 1)]);
        send(conn, packet.as_bytes(), 1).await?;
        Ok(true)
    }
}
