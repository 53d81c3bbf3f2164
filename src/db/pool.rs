//! How we connect: session settings, pool size, and what a URL may not change.

use std::time::Duration;

use mysql_async::{Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, UrlError};

/// What every session starts with. READ COMMITTED, because every guard is one statement and gaps need no locks; strict
/// mode, because a truncated value is a bug; UTC, because every time is; a short lock wait, for rows and for tables, because
/// the door retries; room for the trail of an order in one text, which MySQL cuts at 1,024 bytes. On Galera a read first waits for what the cluster has committed. MariaDB turns an IN list of 1,000
/// values into a derived table, whose plan may read a whole table; a threshold of 0 keeps the list a range. MySQL takes both
/// for comments.
const SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION time_zone = '+00:00', \
     sql_mode = 'STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
     innodb_lock_wait_timeout = 2, lock_wait_timeout = 2, group_concat_max_len = 1048576, autocommit = 1 \
     /*M!, wsrep_sync_wait = 1, in_predicate_conversion_threshold = 0 */",
];

/// Reads a database URL, `mysql://user:password@host:port/database?…`.
///
/// # Errors
/// When it is not such a URL or names no database.
pub fn options(url: &str) -> Result<Opts, String> {
    let options = Opts::from_url(url).map_err(|error: UrlError| error.to_string())?;
    match options.db_name() {
        Some(name) if !name.is_empty() => Ok(options),
        _ => Err("it names no database: mysql://user:password@host:port/database".to_owned()),
    }
}

/// What every connection is made by, in the pool or past it. The server's own socket is not asked for: a path that a
/// server on another machine tells would lead to a stranger on this one.
pub fn session(options: Opts) -> OptsBuilder {
    let names_socket = options.socket().is_some();
    OptsBuilder::from_opts(options)
        .setup(SESSION.map(str::to_owned).to_vec())
        // affected rows must mean changed rows
        .client_found_rows(false)
        .prefer_socket(names_socket)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .stmt_cache_size(128)
}

/// A pool of `size` connections that are opened when first needed and kept.
pub fn pool(options: Opts, size: usize) -> Pool {
    let constraints = PoolConstraints::new(size, size).expect("as many at most as at least");
    let pool_options = PoolOpts::default()
        .with_constraints(constraints)
        // a reset costs a round trip and every prepared statement
        .with_reset_connection(false);
    Pool::new(session(options).pool_opts(pool_options))
}
