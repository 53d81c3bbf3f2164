//! `holdfast client`: the same use cases as the operators' routes, for a machine that reaches the database.

use std::fmt::Write as _;
use std::io;

use clap::{Args, Subcommand, ValueEnum};
use holdfast::checkout::clients::{COMMAND_LINE, ClientFile};
use holdfast::checkout::{Checkout, Error};
use holdfast::config::DatabaseUrl;
use holdfast::domain::{ClientToken, Named as _, Role};

/// Clients per page of the list.
const PAGE: u32 = 100;

/// What to do about clients.
#[derive(Subcommand)]
pub(crate) enum ClientCommand {
    /// Add a client and print its token, once
    Add(Add),
    /// List all clients, also those that are revoked
    List(DatabaseUrl),
    /// Give a client a new token and print it, once; the last one stays live beside it
    Rotate(Rotate),
    /// End the older of a client's two tokens, after a rotation
    EndOld(Named),
    /// Revoke a client for good, with its tokens and keys
    Revoke(Named),
    /// Manage the public keys with which tokens of a storefront's buyers are verified
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Add a key; a client has up to four
    Add(AddKey),
    /// Remove a key: the tokens that it signed are dead
    Remove(RemoveKey),
}

#[derive(Args)]
pub(crate) struct Named {
    #[command(flatten)]
    database: DatabaseUrl,
    /// Name of the client
    name: String,
}

#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    client: Named,
    /// What the client may do
    #[arg(long)]
    role: RoleName,
}

#[derive(Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    client: Named,
    /// End all other tokens of the client at once
    #[arg(long)]
    end_old: bool,
}

#[derive(Args)]
pub(crate) struct AddKey {
    #[command(flatten)]
    client: Named,
    /// The client's name for the key, which its tokens have in their header
    kid: String,
    /// The Ed25519 public key: PEM, the base64 of its DER file or of its 32 bytes; `-` reads it from standard input
    public_key: String,
}

#[derive(Args)]
pub(crate) struct RemoveKey {
    #[command(flatten)]
    client: Named,
    /// The client's name for the key
    kid: String,
}

/// A role, as an option.
#[derive(Clone, Copy, ValueEnum)]
enum RoleName {
    Storefront,
    Provider,
    Gate,
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Storefront => Self::Storefront,
            RoleName::Provider => Self::Provider,
            RoleName::Gate => Self::Gate,
            RoleName::Admin => Self::Admin,
        }
    }
}

impl ClientCommand {
    /// The database that it is about.
    pub(crate) fn database(&self) -> &DatabaseUrl {
        match self {
            Self::List(database) => database,
            Self::Add(Add { client, .. }) | Self::Rotate(Rotate { client, .. }) => &client.database,
            Self::EndOld(client) | Self::Revoke(client) => &client.database,
            Self::Key(KeyCommand::Add(AddKey { client, .. }) | KeyCommand::Remove(RemoveKey { client, .. })) => {
                &client.database
            }
        }
    }

    /// Runs the command, and returns what to print.
    pub(crate) async fn run(self, checkout: &Checkout) -> Result<String, Error> {
        match self {
            Self::Add(Add { client, role }) => {
                let (file, token) = checkout.add_client(COMMAND_LINE, &client.name, role.into()).await?;
                Ok(with_token(&file, &token))
            }
            Self::List(_) => list(checkout).await,
            Self::Rotate(Rotate { client, end_old }) => {
                let client_id = checkout.client_id(&client.name).await?;
                let (file, token) = checkout.rotate_client(COMMAND_LINE, client_id, end_old).await?;
                Ok(with_token(&file, &token))
            }
            Self::EndOld(client) => {
                let client_id = checkout.client_id(&client.name).await?;
                checkout.end_old_token(COMMAND_LINE, client_id).await.map(|file| line(&file))
            }
            Self::Revoke(client) => {
                let client_id = checkout.client_id(&client.name).await?;
                checkout.revoke_client(COMMAND_LINE, client_id).await.map(|file| line(&file))
            }
            Self::Key(KeyCommand::Add(AddKey { client, kid, public_key })) => {
                let public_key = match public_key.as_str() {
                    "-" => io::read_to_string(io::stdin()).unwrap_or_default(),
                    _ => public_key,
                };
                let client_id = checkout.client_id(&client.name).await?;
                checkout.add_client_key(COMMAND_LINE, client_id, &kid, &public_key).await.map(|file| line(&file))
            }
            Self::Key(KeyCommand::Remove(RemoveKey { client, kid })) => {
                let client_id = checkout.client_id(&client.name).await?;
                checkout.remove_client_key(COMMAND_LINE, client_id, &kid).await.map(|file| line(&file))
            }
        }
    }
}

async fn list(checkout: &Checkout) -> Result<String, Error> {
    let (mut text, mut after) = (String::new(), Some(0));
    while let Some(behind) = after {
        let page = checkout.list_clients(behind, PAGE).await?;
        page.items.iter().for_each(|file| text.push_str(&line(file)));
        after = page.next_after;
    }
    Ok(text)
}

/// Describes a client on one line.
fn line(ClientFile { client, keys }: &ClientFile) -> String {
    let state = match (client.revoked_at, client.has_older) {
        (Some(at), _) => format!("revoked {}Z", at.format("%Y-%m-%dT%H:%M:%S")),
        (None, true) => "two tokens".to_owned(),
        (None, false) => "one token".to_owned(),
    };
    let mut line = format!("{}\t{}\t{}\t{state}", client.id, client.name, client.role.as_str());
    for key in keys {
        let _ = write!(line, "\tkey {} {}", key.kid, key.public_key.text());
    }
    line + "\n"
}

/// The token stands alone on the last line, for scripts.
fn with_token(file: &ClientFile, token: &ClientToken) -> String {
    format!("{}this token is shown once:\n{}\n", line(file), token.reveal())
}
