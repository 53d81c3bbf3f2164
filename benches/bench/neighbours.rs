//! A hot product beside connections that send other requests: how these slow its buyers, compared with the same number of
//! connections that send `GET /healthz`.

use std::time::Duration;

use uuid::Uuid;

use crate::Plan;
use crate::client::{Client, get, hold};
use crate::database::{Ground, PLENTY};
use crate::measure::{Buyer, Crowd, Load, Same, cell};
use crate::report::{self, Bounds, Target};
use crate::service::Served;

/// Connections that buy the hot product.
const BUYERS: usize = 16;
/// Connections beside them.
const NEIGHBOURS: [usize; 2] = [64, 512];
/// No product has an id above this.
const NO_PRODUCT: i64 = 1 << 40;

/// The requests that the other connections send.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neighbour {
    /// The control.
    Health,
    UnknownProducts,
    OtherProducts,
    UnknownHolds,
    UnknownOrders,
}

impl Neighbour {
    const ALL: [Self; 5] =
        [Self::Health, Self::UnknownProducts, Self::OtherProducts, Self::UnknownHolds, Self::UnknownOrders];

    fn name(self) -> &'static str {
        match self {
            Self::Health => "healthz",
            Self::UnknownProducts => "holds of unknown products",
            Self::OtherProducts => "holds of other products",
            Self::UnknownHolds => "unknown holds",
            Self::UnknownOrders => "unknown orders",
        }
    }
}

/// A client that repeats the same kind of request, each time with another id, and accepts any answer.
struct Asker {
    client: Client,
    neighbour: Neighbour,
    /// The product of which it takes holds; no other client uses it.
    product_id: i64,
}

impl Buyer for Asker {
    async fn ask(&mut self) {
        let request = match self.neighbour {
            Neighbour::Health => get("/healthz"),
            Neighbour::UnknownProducts => hold(NO_PRODUCT + i64::from(rand::random::<u32>())),
            Neighbour::OtherProducts => hold(self.product_id),
            Neighbour::UnknownHolds => get(&format!("/api/holds/{}", Uuid::now_v7())),
            Neighbour::UnknownOrders => get(&format!("/api/orders/{}", Uuid::now_v7())),
        };
        self.client.send(&request).await;
    }
}

/// Measures every kind of neighbour in two numbers.
pub(crate) async fn run(ground: &Ground, plan: &Plan, bounds: &mut Bounds) {
    report::heading(&format!("one hot product with {BUYERS} buyers, beside connections that ask for something else"));
    let served = Served::start(ground, plan).await;
    let hot = ground.product(PLENTY).await;
    let mut others = Vec::new();
    for _ in 0..NEIGHBOURS[NEIGHBOURS.len() - 1] {
        others.push(ground.product(PLENTY).await);
    }
    let alone = measure(ground, plan, &served, hot, &[], Neighbour::Health).await;
    report::line("", &["holds/s", "p50", "p99", "rate/control", "p99/control"]);
    show("alone", alone, None);
    for count in NEIGHBOURS {
        let mut control = Load::default();
        for neighbour in Neighbour::ALL {
            let load = measure(ground, plan, &served, hot, &others[..count], neighbour).await;
            let name = format!("{count}: {}", neighbour.name());
            if neighbour == Neighbour::Health {
                control = load;
                show(&name, load, None);
                continue;
            }
            let [rate, p99] = [load.per_second / control.per_second, seconds(load.p99) / seconds(control.p99)];
            show(&name, load, Some((rate, p99)));
            bounds.add(format!("beside {name}: rate / control"), Some(rate), Target::AtLeast(0.5));
            bounds.add(format!("beside {name}: p99 / control"), Some(p99), Target::AtMost(3.0));
        }
    }
    served.stop().await;
}

/// Measures the buyers of the hot product beside one neighbour for each of the `others`.
async fn measure(
    ground: &Ground,
    plan: &Plan,
    served: &Served,
    hot: i64,
    others: &[i64],
    neighbour: Neighbour,
) -> Load {
    let clients = served.clients(others.len()).await.into_iter().zip(others);
    let beside = Crowd::start(clients.map(|(client, &product_id)| Asker { client, neighbour, product_id }));
    let buyers = served.clients(BUYERS).await.into_iter();
    let load = cell(ground, plan, buyers.map(|client| Same { client, request: hold(hot), status: 201 })).await.0;
    beside.stop().await;
    load
}

fn show(name: &str, load: Load, ratios: Option<(f64, f64)>) {
    let [rate, p99] = match ratios {
        Some((rate, p99)) => [format!("{rate:.2}"), format!("{p99:.2}")],
        None => Default::default(),
    };
    let Load { per_second, p50, p99: longest } = load;
    report::line(name, &[&report::whole(per_second), &report::short(p50), &report::short(longest), &rate, &p99]);
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
