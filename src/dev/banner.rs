//! What `holdfast dev` prints: commands that sell a unit, with payments that it accepts.

use std::fmt;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::server::PrivateServer;
use crate::config::{OFF, Settings};
use crate::domain::{StorefrontMode, WebhookAuth};

/// The database that `holdfast dev` makes on its private server.
pub const DATABASE: &str = "holdfast";

/// How the payment in the banner of `dev` is signed.
#[derive(Debug)]
pub enum Signer {
    /// It is not: verification is off.
    Off,
    /// With a secret that was made for this start.
    StoredResult {
        /// The secret.
        key: [u8; 32],
        /// Whether no other is accepted.
        alone: bool,
    },
}

impl Signer {
    /// Makes a secret that is accepted beside the given ones: the banner does not show those, and its commands work in a
    /// terminal that does not have them.
    pub fn of(settings: &mut Settings) -> Self {
        let given = settings.webhook_secrets.take().filter(|given| !given.trim().is_empty());
        if given.as_deref().is_some_and(|given| given.trim() == OFF) {
            settings.webhook_secrets = given;
            return Self::Off;
        }
        let key = rand::random();
        let alone = given.is_none();
        settings.webhook_secrets = Some(given.into_iter().chain([secret(&key)]).collect::<Vec<_>>().join(","));
        Self::StoredResult { key, alone }
    }

    /// Returns the assignments before a curl command that reports `$BODY` under the id `$HOLD`, and its signature options.
    fn sign(&self) -> (&'static str, String) {
        let Self::StoredResult { key, .. } = self else { return ("", String::new()) };
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let code = format!("openssl dgst -sha256 -mac HMAC -macopt hexkey:{key} -binary | base64");
        let headers = format!(
            r#" -H "webhook-id: $HOLD" -H "webhook-timestamp: $NOW" -H "webhook-signature: v1,$(printf %s "$HOLD.$NOW.$BODY" | {code})""#
        );
        ("NOW=$(date +%s); ", headers)
    }

    /// Returns a secret that is accepted: any one if nothing is verified.
    fn secret(&self) -> String {
        match self {
            Self::Off => secret(&[0; 32]),
            Self::StoredResult { key, .. } => secret(key),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Off => "off: every client can report payments".to_owned(),
            Self::StoredResult { key, alone: true } => {
                format!("{}, made for this start; HOLDFAST_WEBHOOK_SECRETS=off requires none", secret(key))
            }
            Self::StoredResult { alone: false, .. } => {
                "with the secrets that were given; the third line uses a key made for this start".to_owned()
            }
        }
    }
}

/// The operators' token of `dev`.
pub enum DevOperator {
    /// The one that was given, which the banner does not show.
    Given,
    /// One that was made for this start.
    Made(String),
}

impl DevOperator {
    /// Makes a token unless one is given.
    pub fn of(settings: &mut Settings) -> Self {
        if settings.admin_token.as_deref().is_some_and(|given| !given.trim().is_empty()) {
            return Self::Given;
        }
        let random: [u8; 16] = rand::random();
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        settings.admin_token = Some(token.clone());
        Self::Made(token)
    }
}

impl DevOperator {
    /// Returns the option of curl that sends the token, which every route takes: one that was given is named, not shown.
    fn header(&self) -> String {
        match self {
            Self::Given => {
                r#" -H "authorization: Bearer ${HOLDFAST_ADMIN_TOKEN:-$(cat "$HOLDFAST_ADMIN_TOKEN_FILE")}""#.to_owned()
            }
            Self::Made(token) => format!(" -H 'authorization: Bearer {token}'"),
        }
    }

    /// Returns the token as a word of a shell: one that was given is named, not shown.
    fn word(&self) -> &str {
        match self {
            Self::Given => r#""${HOLDFAST_ADMIN_TOKEN:-$(cat "$HOLDFAST_ADMIN_TOKEN_FILE")}""#,
            Self::Made(token) => token,
        }
    }
}

impl fmt::Debug for DevOperator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Given => "Given",
            Self::Made(_) => "Made",
        })
    }
}

impl fmt::Display for DevOperator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => formatter.write_str("with the token that was given"),
            Self::Made(token) => write!(formatter, "with the token {token}, made for this start"),
        }
    }
}

/// The option of curl for a JSON body.
const JSON: &str = "-H 'content-type: application/json'";

fn secret(key: &[u8; 32]) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

/// The banner. Its commands use only options that curl has had for ten years (`--json` is from 2022), and run in `sh`.
#[derive(Debug)]
pub struct Banner<'a> {
    /// Where the service listens.
    pub address: SocketAddr,
    /// The event that it sells.
    pub event_id: i64,
    /// Its private server.
    pub database: &'a PrivateServer,
    /// Whether the URL of another database was given.
    pub ignored_url: bool,
    /// Where metrics go.
    pub statsd: Option<&'a str>,
    /// How its payment is signed.
    pub signer: &'a Signer,
    /// The token of its operators.
    pub operator: &'a DevOperator,
    /// Whether only storefronts with a token may hold and order.
    pub storefront: StorefrontMode,
    /// What a payment provider must show.
    pub webhook_auth: WebhookAuth,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, event_id, database, ignored_url, statsd, signer, operator, storefront, webhook_auth } =
            self;
        let base = format!("http://{address}");
        let (set, signature) = signer.sign();
        let token = |is_needed: bool| if is_needed { operator.header() } else { String::new() };
        let shop = token(*storefront == StorefrontMode::Token);
        let provider = token(matches!(webhook_auth, WebhookAuth::Token | WebhookAuth::Both));
        let (payment, word) = (signer.secret(), operator.word());
        let example = match provider.is_empty() {
            true => {
                format!("OPERATOR_TOKEN={word} PAYMENT_SECRET={payment} SERVICE_URL={base} python3 examples/shop.py")
            }
            false => "examples/shop.py cannot pay here: it signs, and sends no provider's token".to_owned(),
        };
        write!(
            formatter,
            r#"
Holdfast is selling product 1, and the places and seats of event {event_id}.

  Explore   {base}/docs, where POST /dev/pay/{{order_id}} pays an order
  Sell      HOLD=$(curl -s {base}/api/holds {JSON}{shop} -d '{{"product_id":1,"qty":1}}' | cut -d '"' -f 4)
            curl -s {base}/api/orders {JSON}{shop} -d "{{\"hold_id\":\"$HOLD\"}}"
            BODY="{{\"hold_id\":\"$HOLD\",\"status\":\"paid\",\"txn_id\":\"$HOLD\"}}"; {set}curl -s {base}/api/payments/webhook {JSON} -d "$BODY"{signature}{provider}
  Shop      {example}
  Seats     {base}/api/events/{event_id}/seats; the example of POST /api/holds takes two of a new hall
  Signing   {signing}
  Operators {operator}
  Logs      JSON lines on standard error; the database's own in {log}
  Metrics   {metrics}
  Database  {engine} at {url}{ignored}
  Stop      Ctrl-C; the data stays
"#,
            signing = signer.describe(),
            log = database.log_path().display(),
            metrics = statsd.map_or("off".to_owned(), |server| format!("StatsD over UDP to {server}")),
            engine = database.engine(),
            url = database.url(DATABASE),
            ignored = if *ignored_url { "; HOLDFAST_DATABASE_URL is ignored" } else { "" },
        )
    }
}
